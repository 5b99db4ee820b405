"""Tasks whose client was lost with a scheduler: they are stopped, and until they are over they count.

What their clients held, as locks, is nobody else's before that. So the next scheduler is told
which they are, and whenever one of them has ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.messages.reunion import Lingering

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.messages import Message
    from trio_dask.worker.core.state import WorkerState


def begin(state: WorkerState, strangers: Iterable[int]) -> list[Message]:
    """These have lost their clients; what there is to be told of it."""
    attempts = dict.fromkeys((*state.lingering, *strangers))
    state.lingering = {each: None for each in attempts if state.given(each) is not None}
    return [Lingering(list(state.lingering))] if state.lingering else []


def look(state: WorkerState) -> None:
    """Tell if some of them have ended."""
    left = {each: None for each in state.lingering if state.given(each) is not None}
    if len(left) < len(state.lingering):
        state.lingering = left
        state.out.scheduler.append(Lingering(list(left)))
