"""Spans of OpenTelemetry for what a client submits; its tasks' spans are children of these.

Loaded only by who has tracing switched on, and inside tasks that are traced.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from trio_dask.errors import ConfigError
from trio_dask.messages.payload import function_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Tracing:
    """Where a client's spans go: to the provider that the program has set, now or later."""

    def __init__(self) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.trace.propagation import tracecontext
        except ImportError as error:
            msg = "client.tracing needs OpenTelemetry: pip install 'trio-dask[otel]'"
            raise ConfigError(msg) from error
        self._producer: Final[Any] = trace.SpanKind.PRODUCER
        self._tracer: Final[Any] = trace.get_tracer("trio_dask")
        self._inject: Final[Any] = tracecontext.TraceContextTextMapPropagator().inject

    @contextmanager
    def submission(
        self, fn: Callable[..., Any], options: dict[str, Any]
    ) -> Iterator[tuple[Any, dict[str, Any]]]:
        """A span for what is submitted in the block, and the options that carry it on.

        One that nobody records is carried nowhere.
        """
        name = function_name(fn)
        with self._tracer.start_as_current_span(
            f"submit {name}", kind=self._producer, attributes={"trio_dask.function": name}
        ) as span:
            told = self._told()
            yield span, {**options, "trace": told} if told else options

    @contextmanager
    def graph(self, tasks: int) -> Iterator[str]:
        """A span for a graph of so many tasks, and what its tasks are told of it; maybe nothing."""
        with self._tracer.start_as_current_span(
            "submit graph", kind=self._producer, attributes={"trio_dask.tasks": tasks}
        ):
            yield self._told()

    def _told(self) -> str:
        """The current span, as it is carried on."""
        carrier: dict[str, str] = {}
        self._inject(carrier)
        return " ".join(carrier.values())
