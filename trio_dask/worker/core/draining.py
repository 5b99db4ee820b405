"""A worker that is to leave: what it has not begun goes back, what runs gets a while, then it goes.

Its values are the scheduler's concern, which has others copy them. When nothing holds the
worker any more the scheduler says `Farewell`; where that takes longer than it may the worker
asks for it, and does not wait for the answer for long.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trio_dask.messages.fleet import Leave
from trio_dask.messages.tasks import INTERRUPT, Recall
from trio_dask.worker.core import inputs, stopping
from trio_dask.worker.core.actions import Depart

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.messages.fleet import Dismiss, Farewell
    from trio_dask.worker.core.state import Runner, WorkerState

#: What was interrupted is given back after so long, whether it has stopped or not.
GIVE_BACK_S: Final = 0.7
#: A runner that does not even hear that it is to stop something gives no values out either.
DEAF_S: Final = 30.0
#: So long the scheduler may take to answer who cannot wait.
ANSWER_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainRules:
    """How long a worker that is to leave waits for what."""

    #: Running tasks get so long to end.
    grace_s: float = 5.0
    #: Then values get so long to move, if whoever had it leave is in a hurry.
    move_s: float = 5.0


@dataclass(slots=True, eq=False)
class Draining:
    """How far a worker has got with leaving."""

    reason: str
    patient: bool  # there is no limit to how long values may take
    since: float | None = None
    idle_since: float | None = None  # nothing runs any more
    interrupted: bool = False
    urged_at: float | None = None  # the scheduler was told that it cannot wait any longer
    given_back: int = 0  # attempts


def begin(state: WorkerState, reason: str, *, patient: bool) -> None:
    """The worker is to leave: it says so, and takes nothing more."""
    if state.draining is None:
        _give_back(state, reason, patient=patient)
    elif not patient and state.draining.patient:
        state.draining.patient, state.draining.idle_since = False, None
    state.out.scheduler.append(Leave(reason, at_once=False))


def on_dismiss(state: WorkerState, message: Dismiss) -> None:
    """The scheduler has the worker leave."""
    if state.draining is None:
        _give_back(state, message.reason, patient=True)


def _give_back(state: WorkerState, reason: str, *, patient: bool) -> None:
    state.draining = Draining(reason, patient, given_back=inputs.give_back(state))
    for runner in state.runners.values():
        if runner.given:
            runner.out.append(Recall(list(runner.given)))


def on_farewell(state: WorkerState, message: Farewell) -> None:
    """Nothing holds the worker any more."""
    state.out.depart = Depart(message)


def go_on(state: WorkerState, board: Iterable[tuple[int, float]], now: float) -> None:
    """Some time has passed, and the runner runs what is on the board."""
    draining = state.draining
    if draining is None:
        return
    if draining.since is None:
        draining.since = now
    if now - draining.since >= state.drain_rules.grace_s:
        for runner in state.runners.values():
            _press(state, draining, runner, now)
        draining.interrupted = True
    busy = any(each.given.keys() - each.abandoned for each in state.runners.values())
    if busy or state.waiting:
        draining.idle_since = None
    elif draining.idle_since is None:
        draining.idle_since = now
    _hurry(state, draining, now)


def _press(state: WorkerState, draining: Draining, runner: Runner, now: float) -> None:
    """What runs has had its time."""
    assert draining.since is not None
    late_s = now - draining.since - state.drain_rules.grace_s
    left = [attempt for attempt in runner.given if attempt not in runner.abandoned]
    if not draining.interrupted:
        draining.given_back += len(left)
        stopping.begin(runner, {each: stopping.Stopping(INTERRUPT) for each in left})
    elif late_s >= GIVE_BACK_S:
        abandon(state, runner, left, now)
    if late_s >= DEAF_S and not all(each.heard for each in runner.stopping.values()):
        runner.kill = "it did not answer when it was to leave"


def abandon(state: WorkerState, runner: Runner, attempts: Iterable[int], now: float) -> None:
    """Report these as stopped: whatever they still do, it does not count."""
    left = [each for each in attempts if each in runner.stopping and each not in runner.abandoned]
    if left:
        runner.abandoned.update(left)
        stopping.report(state, runner, left, now)


def _hurry(state: WorkerState, draining: Draining, now: float) -> None:
    """See to it that somebody in a hurry does not wait for ever."""
    if draining.urged_at is not None:
        if now - draining.urged_at >= ANSWER_S:
            state.out.depart = Depart(None)
        return
    limit_s = math.inf if draining.patient else state.drain_rules.move_s
    if draining.idle_since is not None and now - draining.idle_since >= limit_s:
        draining.urged_at = now
        state.out.scheduler.append(Leave(draining.reason, at_once=True))
