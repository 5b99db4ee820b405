"""Why a task is where it is, if it is at rest or over; and the words that such answers are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.failure import Failure
from trio_dask.scheduler.core import state as st
from trio_dask.scheduler.core.failures import unpacked
from trio_dask.scheduler.core.lifecycle import KEPT, wants

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.scheduler.core.state import ClusterState, Task

#: So many of anything are named.
NAMED: Final = 3
_TEXT_MAX: Final = 500


@dataclass(slots=True)
class Why:
    """The answer: sentences, the most telling first; and what they say, for programs.

    `facts` always has a ``phase``; what else is there depends on it.
    """

    lines: list[str]
    facts: dict[str, Any] = field(default_factory=dict)


def rests(state: ClusterState, task: Task) -> Why:
    """It is described, and nobody needs a value."""
    line = "Nobody needs its value: no client holds it, and no pending task takes it."
    return Why([line], {"phase": "resting"})


def is_done(state: ClusterState, task: Task) -> Why:
    """It has a value."""
    futures, kept = (
        sum(each > KEPT for each in wants(task)),
        sum(each < KEPT for each in wants(task)),
    )
    parts = []
    if futures:
        parts.append(f"{count(futures, 'future')} of clients")
    if kept:
        parts.append(f"{count(kept, 'value')} in queues, variables or data sets")
    if task.needed:
        parts.append(f"{count(task.needed, 'pending task')}")
    lines = [f"It is done; its value is kept for {' and '.join(parts) or 'nobody'}."]
    holders = [worker.name for worker in task.holders or ()]
    if holders:
        lines.append(f"The value is at {named(holders)}.")
    elif task.value is not None:
        lines.append("The value is small, and with the scheduler.")
    return Why(lines, {"phase": "done", "holders": holders[:NAMED], "nbytes": task.nbytes})


def has_failed(state: ClusterState, task: Task) -> Why:
    """It has an error."""
    text = failure_line(task.value)
    lines = [f"It failed, or one of its inputs did: {text}."]
    bad = [dep for dep in task.deps if dep.state in (st.FAILED, st.LOST, st.CANCELLED)]
    if bad:
        names = named([state.key_of(dep) for dep in bad])
        lines.append(f"The error is that of {count(len(bad), 'input')}: {names}.")
    deaths = state.deaths.get(task.tid)
    if deaths is not None:
        ended = deaths.unexplained + deaths.starved
        lines.append(f"{count(ended, 'process', 'processes')} ended while it ran there.")
    tried = state.retried.get(task.tid, 0)
    if task.spec.retries:
        lines.append(f"It was tried again {tried} of {count(task.spec.retries, 'time')}.")
    return Why(lines, {"phase": "failed", "error": text, "inputs": [state.key_of(d) for d in bad]})


def failure_line(why: bytes | None) -> str:
    """An encoded failure in a line, as far as it can be read."""
    try:
        failure = Failure.from_bytes(why or b"")
    except RemoteProtocolError:
        return "with nothing that can be shown"
    kind = _shown(failure.kind.removeprefix("builtins."))
    message = _shown(failure.message.strip())
    return f"{kind}: {message}".rstrip(".") if message else kind


def _shown(text: str) -> str:
    """As much of it as is shown, with a sign where there is more."""
    return text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]} …"


def is_cancelled(state: ClusterState, task: Task) -> Why:
    """It will not run."""
    reason, who = unpacked(task.value), state.cancellers.get(task.tid, "")
    by = f" by {who}" if who else ""
    line = f"It was cancelled{by}: {reason or 'no reason was given'}."
    return Why([line], {"phase": "cancelled", "reason": reason, "by": who})


def is_lost(state: ClusterState, task: Task) -> Why:
    """It had a value that cannot be made again."""
    reason = unpacked(task.value)
    lines = [f"Its value is lost: {reason}."]
    if task.spec.function is None:
        lines.append("It came from a client, which alone can bring it again.")
    return Why(lines, {"phase": "lost", "reason": reason})


# ---------------------------------------------------------------- words


def count(number: int, word: str, plural: str = "") -> str:
    """A number of things."""
    return f"{number} {word}" if number == 1 else f"{number:,} {plural or f'{word}s'}"


def named(names: Iterable[str]) -> str:
    """The first of these, and how many more there are."""
    found = list(names)
    more = f" and {len(found) - NAMED:,} more" if len(found) > NAMED else ""
    return ", ".join(found[:NAMED]) + more


def spent(seconds: float) -> str:
    """A time that has passed."""
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds:,.0f} s"
