"""A new runner on request, with all that there was forgotten, or as if the old one had died."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.messages.fleet import Renewed
from trio_dask.messages.tasks import RunnerDied, Slots
from trio_dask.worker.core import inquiring, room, serving

if TYPE_CHECKING:
    from trio_dask.messages.fleet import Renew
    from trio_dask.worker.core.state import WorkerState


def on_renew(state: WorkerState, message: Renew) -> None:
    """The runner is to end; the next one is the answer."""
    state.renewals.append(message.serial)
    if state.up:
        state.out.kill = "it was restarted"
    if message.forget:
        _forget(state)


def _forget(state: WorkerState) -> None:
    """Nothing of what is here, or still comes from the runner, means anything to anybody."""
    state.store.leave(state.name)
    room.store_is_left(state)
    for want in state.wants.values():
        want.waiting.clear()
        want.copy = False
    if not state.up:
        return
    state.up, state.forgotten, state.died = False, True, True
    # Whatever is on its way here, functions too, comes to a runner that is not there any more.
    state.out.scheduler.append(Slots(0))
    state.out.scheduler.append(RunnerDied([], [], [], {"on_purpose": True}))
    empty(state)


def empty(state: WorkerState) -> None:
    """There is no runner: nothing is in it."""
    state.out.runner.clear()
    for books in (state.given, state.waiting, state.held, state.functions, state.limits):
        books.clear()
    state.looks.clear()
    state.sealed.clear()
    state.stopping.clear()
    state.abandoned.clear()
    state.twice.clear()
    state.nested.clear()
    inquiring.runner_died(state)
    state.doomed = None
    room.runner_is_gone(state)
    serving.runner_died(state)


def runner_ready(state: WorkerState) -> None:
    """There is a new runner."""
    room.runner_is_there(state)
    for serial in state.renewals:
        state.out.scheduler.append(Renewed(serial))
    state.renewals.clear()
