"""Condemned runners: they take nothing more, and end when that harms nobody.

One is condemned because a task in it does not stop while others run there, or because it
has lived long enough. Another takes its place, and what it holds is put into the store, as
far as it can be pickled. There is a limit to how many there may be beside those that work:
beyond it a condemned runner is replaced only after its end, and if the task stops after all
it goes on as before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_dask.messages.tasks import Recall
from trio_dask.worker.core import apart, inputs, plugins, runners, serving
from trio_dask.worker.core.state import VALUES_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.worker.core.state import Runner, WorkerState

#: So many runners of a worker may be replaced while they live.
CONDEMNED_MAX: Final = 3
#: So much of what a runner holds is asked for at a time, so that peers need not wait for all.
SEAL_BYTES_MAX: Final = 64 << 20


def condemn(state: WorkerState, runner: Runner, reason: str, running: Iterable[int] = ()) -> None:
    """The runner takes nothing more; what is not in `running` goes back if it has not begun."""
    runner.condemned = reason
    plugins.runner_left(state, runner)
    shared = [each for each in state.runners.values() if not each.alone]
    replaced = sum(bool(each.condemned) and each.replaced for each in shared)
    if not runner.replaced and replaced < CONDEMNED_MAX:
        runner.replaced = True
        runners.start(state)
    state.review()
    state.out.returned(apart.keeper_left(state, runner))
    if not state.taking:
        state.out.returned(inputs.forget_all(state))
    unbegun = [attempt for attempt in runner.given if attempt not in set(running)]
    if unbegun:
        runner.out.append(Recall(unbegun))
    if runner.replaced:
        runner.unsealed += runner.held
        seal(state, runner)


def pardon(state: WorkerState, runner: Runner) -> None:
    """What did not stop has stopped after all, and nobody has taken the runner's place."""
    runner.condemned, runner.since = "", None
    state.review()
    apart.keeper_ready(state)


def recycle(state: WorkerState, runner: Runner, reason: str) -> None:
    """Have another take the runner's place when what it holds is in the store; one at a time.

    Otherwise those whose last tasks take long would become more and more. A runner that holds
    what cannot leave it, as an actor, stays: it would be lost.
    """
    if not runner.takes_tasks or any(each.recycled for each in state.runners.values()):
        return
    runner.bound.intersection_update(runner.held)
    if not runner.bound and not runner.replaced:
        runner.recycled = reason
        runner.unsealed += runner.held
        go_on(state, runner)


def _succeed(state: WorkerState, runner: Runner) -> None:
    """All that could be is in the store."""
    if state.draining or not runner.bound.isdisjoint(runner.held):
        runner.recycled = ""
    elif not runner.replaced:
        runner.replaced = True
        runners.start(state)
        runner.successor = state.last_runner


def on_ready(state: WorkerState, successor: Runner) -> None:
    """A runner has become ready: it may be the one that another waits for to go."""
    for runner in list(state.runners.values()):
        if runner.successor == successor.number and runner.takes_tasks:
            condemn(state, runner, runner.recycled)
            go_on(state, runner)


def seal(state: WorkerState, runner: Runner) -> None:
    """Ask for the next values that only the runner has."""
    if runner.exporting or runner.to_export:
        return
    nbytes = 0
    while runner.unsealed and nbytes < SEAL_BYTES_MAX and len(runner.to_export) < VALUES_MAX:
        tid = runner.unsealed.pop()
        if tid in runner.held and not state.store.holds(state.name, tid):
            nbytes += runner.held[tid]
            serving.ask(state, runner, tid)


def has_ended(state: WorkerState, runner: Runner) -> None:
    """Something in a condemned runner is over."""
    if runner.alone:
        apart.ended(state, runner)
    go_on(state, runner)


def go_on(state: WorkerState, runner: Runner) -> None:
    """Have a runner replaced that is to be recycled, end a condemned one: if all is done for that."""
    seal(state, runner)
    if runner.exporting or runner.to_export:
        return
    if not runner.condemned:
        _succeed(state, runner)
    elif runner.given.keys() <= runner.abandoned and not apart.is_awaited(state, runner):
        runner.kill = runner.condemned
