"""Spans of OpenTelemetry for tasks that came with one: loaded when the first of these begins.

They go to the provider that something in this process has set: what is preloaded, or a plugin.
Whatever goes wrong with a span is no concern of its task.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.ids import auto_key
from trio_dask.messages.tasks import AGAIN, ERROR, OVERDUE, STOPPED, TIMED_OUT

if TYPE_CHECKING:
    from trio_dask.runner.slots import Task

_OUTCOMES: Final = {
    AGAIN: "rescheduled",
    ERROR: "error",
    OVERDUE: "timeout",
    STOPPED: "cancelled",
    TIMED_OUT: "timeout",
}


class TaskSpan:
    """The span of one attempt at a task."""

    def __init__(self, task: Task, told: str, settings: dict[str, Any]) -> None:
        """Begin it, as a child of the one whose context is `told`.

        Raises:
            ImportError: OpenTelemetry is not here.
        """
        from opentelemetry import context, trace
        from opentelemetry.trace.propagation import tracecontext

        self._context: Final[Any] = context
        self._trace: Final[Any] = trace
        self._entered: Any = None
        name, (parent, _, state) = task[4].name, told.partition(" ")
        carrier = {"traceparent": parent, "tracestate": state}
        self._span: Final[Any] = trace.get_tracer("trio_dask").start_span(
            name,
            context=tracecontext.TraceContextTextMapPropagator().extract(carrier),
            kind=trace.SpanKind.CONSUMER,
            attributes={
                "trio_dask.key": task[7] or auto_key(name, task[3]),
                "trio_dask.attempt": task[2],
                "trio_dask.worker": str(settings.get("name", "")),
                "trio_dask.host": os.uname().nodename,
            },
        )

    def enter(self) -> None:
        """What the thread does from now on is part of it: spans that it begins are its children."""
        self._entered = self.enter_for_good()

    def leave(self) -> None:
        """No more; in the same thread."""
        self._context.detach(self._entered)

    def enter_for_good(self) -> Any:
        """The same for a context of its own, which nobody has to leave."""
        return self._context.attach(self._trace.set_span_in_context(self._span))

    def end(self, status: int, error: BaseException | None) -> None:
        """The attempt has ended, so or so."""
        try:
            outcome = _OUTCOMES.get(status, "ok")
            self._span.set_attribute("trio_dask.outcome", outcome)
            if status == ERROR and error is not None:
                self._span.record_exception(error)
            if outcome in ("error", "timeout"):
                why = outcome if error is None else f"{type(error).__name__}: {error}"
                self._span.set_status(self._trace.StatusCode.ERROR, why)
            self._span.end()
        except Exception as failure:  # noqa: BLE001 - such as an error that has no text
            _complain(failure)


def begun(task: Task, told: str, settings: dict[str, Any]) -> TaskSpan | None:
    """The span of an attempt that begins; None if there can be none."""
    try:
        return TaskSpan(task, told, settings)
    except ImportError:
        return None
    except Exception as failure:  # noqa: BLE001 - it is somebody's provider
        _complain(failure)
        return None


def _complain(failure: Exception) -> None:
    sys.stderr.write(f"trio_dask.runner: a span was lost: {failure!r}\n")
