"""New runners on request, with all that there was forgotten, or as if the old ones had died."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.messages.fleet import Renewed
from trio_dask.worker.core import apart, inputs, inquiring, limits, nested, plugins, room, serving

if TYPE_CHECKING:
    from trio_dask.messages.fleet import Renew
    from trio_dask.worker.core.state import Runner, WorkerState


def on_renew(state: WorkerState, message: Renew) -> None:
    """The runners are to end; the next ones are the answer."""
    old = [runner for runner in state.runners.values() if runner.ready]
    state.renewals[message.serial] = {runner.number for runner in old}
    for runner in old:
        runner.kill = "it was restarted"
    if message.forget:
        _forget(state, old)


def _forget(state: WorkerState, old: list[Runner]) -> None:
    """Nothing of what is here, or still comes from a runner, means anything to anybody."""
    state.store.leave(state.name)
    state.functions.clear()
    for row in list(state.waiting.values()):
        inputs.forget(state, row)
    apart.take_back(state)
    for want in state.wants.values():
        want.copy = False
    for runner in old:
        runner.forgotten = True
    state.review()
    for runner in old:
        _empty(state, runner)
    room.forget_absent(state)


def _empty(state: WorkerState, runner: Runner) -> None:
    nested.forget(state, runner.given)
    state.apart.pop(runner.alone, None)
    limits.forget(state, runner.given)
    for books in (runner.given, runner.held, runner.functions, runner.stopping, runner.abandoned):
        books.clear()
    inquiring.runner_died(state, runner)
    plugins.runner_left(state, runner)
    serving.runner_died(state, runner)
    room.runner_is_gone(state, runner)
    runner.sealed.clear()
    runner.twice.clear()
    runner.to_export.clear()
    runner.exporting.clear()
    runner.to_unload.clear()
    runner.unloading.clear()
    runner.numbers.clear()
    runner.numbers_wanted = 0
    runner.unsealed.clear()
    runner.out.clear()


def on_ready(state: WorkerState) -> None:
    """There is a new runner: maybe the last one that somebody waits for."""
    if len(state.taking) < state.count:
        return
    for serial, old in list(state.renewals.items()):
        if old.isdisjoint(state.runners):
            del state.renewals[serial]
            state.out.scheduler.append(Renewed(serial))
