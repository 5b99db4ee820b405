"""The lives of runners: started, ready, gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trio_dask.messages import tasks as words
from trio_dask.worker.core import (
    apart,
    condemning,
    inputs,
    inquiring,
    limits,
    nested,
    plugins,
    renewing,
    room,
    serving,
    stopping,
)
from trio_dask.worker.core.actions import StartRunner
from trio_dask.worker.core.restart import GiveUp
from trio_dask.worker.core.state import Runner, WorkerState

if TYPE_CHECKING:
    from collections.abc import Iterable


def start(state: WorkerState, delay_s: float = 0.0, *, alone: int = 0) -> Runner:
    """Have one more; for one attempt alone, if that is said."""
    state.last_runner += 1
    made = state.runners[state.last_runner] = Runner(state.last_runner, alone=alone)
    state.out.runners.append(StartRunner(made.number, delay_s, alone=bool(alone)))
    return made


def on_ready(state: WorkerState, runner: Runner) -> None:
    """It can take work."""
    runner.ready = True
    plugins.runner_ready(state, runner)
    state.restarts.was_ready()
    if runner.alone:
        apart.own_ready(state, runner)
        room.runner_is_there(state)
        return
    condemning.on_ready(state, runner)
    state.review()
    apart.keeper_ready(state)
    room.runner_is_there(state)
    renewing.on_ready(state)


def on_died(
    state: WorkerState, runner: Runner, running: Iterable[int], certificate: dict[str, Any]
) -> None:
    """It has ended, or could not be started; what was in it is over, and another takes its place.

    The scheduler hears of the slots first, so that it sends nothing between the two.
    """
    del state.runners[runner.number]
    inquiring.runner_died(state, runner)
    plugins.runner_died(state, runner, certificate)
    room.runner_is_gone(state, runner)
    if runner.ready and not runner.forgotten:
        state.review()
        _bury(state, runner, running, certificate)
    answered = max(runner.answered, bool(certificate.get("on_purpose")))  # it did nothing wrong
    decision = state.restarts.ended(
        ready=runner.ready, answered=answered, lasted_s=certificate.get("lasted_s", 0.0)
    )
    if runner.alone:
        if not runner.ready:
            apart.own_failed(state, runner, decision)
        return
    if sum(not each.replaced for each in state.runners.values()) >= state.count:
        return  # another has taken its place before
    if isinstance(decision, GiveUp):
        state.out.runners.append(decision)
        return
    start(state, decision.delay_s)
    for each in state.runners.values():
        if each.successor == runner.number:
            each.successor = state.last_runner


def _bury(
    state: WorkerState, runner: Runner, running: Iterable[int], certificate: dict[str, Any]
) -> None:
    # Those that wait without a slot have begun, too: one of them may be to blame.
    begun = dict.fromkeys([*running, *state.nested.parked])
    nested.forget(state, runner.given)
    limits.forget(state, runner.given)
    for attempt in runner.abandoned:  # reported before
        del runner.given[attempt]
    doing = [attempt for attempt in begun if attempt in runner.given]
    for attempt in doing:
        del runner.given[attempt]
    doing = stopping.runner_died(state, runner, doing)
    queued = [*runner.given]
    if runner.alone:
        queued += apart.own_left(state, runner)
    else:
        queued += apart.keeper_left(state, runner)
        queued += inputs.forget_all(state) if not state.taking else []
    lost = [
        tid
        for tid in runner.held
        if not state.store.holds(state.name, tid) and state.holder(tid) is None
    ]
    if doing or queued or lost or not (runner.alone and certificate.get("on_purpose")):
        state.out.scheduler.append(words.RunnerDied(doing, queued, lost, certificate))
    serving.runner_died(state, runner)
