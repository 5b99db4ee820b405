"""What the worker says of itself, so that the scheduler sees whether both know of the same attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trio_dask.messages import agreeing
from trio_dask.messages.session import Heartbeat
from trio_dask.worker.core import apart

if TYPE_CHECKING:
    from trio_dask.worker.core.state import WorkerState


def beat(state: WorkerState, metrics: dict[str, Any]) -> None:
    """Say that the worker is alive, and what it has been given and not answered."""
    bond = state.bond
    if bond is None:
        state.out.scheduler.append(Heartbeat(metrics))
    elif not bond.away:
        there = _unanswered(state)
        numbers = bond.lasting.heard, len(there), agreeing.digest(there)
        state.out.scheduler.append(Heartbeat(metrics, *numbers))


def on_recount(state: WorkerState, _: agreeing.Recount) -> None:
    """The scheduler has found that the two do not agree."""
    there = _unanswered(state)
    heard = 0 if state.bond is None else state.bond.lasting.heard
    state.out.scheduler.append(agreeing.Counted(heard, list(there), list(there.values())))


def _unanswered(state: WorkerState) -> dict[int, int]:
    """Attempts and their tasks."""
    there = {row.attempt: row.tid for row in state.waiting.values()}
    there |= {attempt: state.apart[attempt].row.tid for attempt in apart.unbegun(state)}
    for runner in state.runners.values():
        if not runner.forgotten:
            there |= runner.given
            for attempt in runner.abandoned:  # reported, though they go on
                there.pop(attempt, None)
    return there
