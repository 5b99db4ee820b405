"""Stopping attempts that run: asked, then interrupted, and in the end their process ended.

The worker climbs this ladder, the runner does what each step says. However far it
goes, the attempt is answered once: by `Returned`, `Done`, or the runner's death. A task
that shares the runner with one that will not stop is not to suffer for it: the runner is
*doomed*, takes nothing more, and ends when the others have ended, or their time is up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import reunion, tasks as words
from trio_dask.messages.tasks import (
    ASK,
    COOPERATE,
    INTERRUPT,
    KILL,
    OK_HELD,
    RAISE,
    STOPPED,
)
from trio_dask.worker.core import draining, inputs, room

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.worker.core.state import WorkerState

#: What was asked to stop is interrupted after so many seconds,
ASK_S: Final = 0.1
#: again after as many if it goes on,
AGAIN_S: Final = 0.2
#: and its runner is ended after so many, for want of another way.
LIMIT_S: Final = {COOPERATE: 30.0, INTERRUPT: 1.2, KILL: 0.0}
#: What has a shield may not be disturbed for so long at most.
SPARE_MAX_S: Final = 300.0
#: Tasks beside one that does not stop have so long to end.
DOOM_S: Final = 30.0


@dataclass(slots=True, eq=False)
class Stopping:
    """An attempt in the runner that is to end, and how far that has got."""

    way: int
    late: int = STOPPED  # what it is reported as: out of time, if that is why
    began: float = 0.0  # for those that are
    since: float | None = None
    struck: float = 0.0
    heard: bool = False  # the runner has: it is not stuck as a whole
    spare_s: float = 0.0  # so long it is not to be disturbed, from the next look on


def on_interrupt(state: WorkerState, message: words.Interrupt) -> None:
    """Stop these: what waits here is given back, the runner is asked about the rest.

    Raises:
        RemoteProtocolError: there is no such way of stopping; nothing has changed.
    """
    if not LIMIT_S.keys() >= set(message.ways):
        msg = "Interrupt with a way of stopping that there is not"
        raise RemoteProtocolError(msg)
    asked: list[int] = []
    for attempt, way in zip(message.attempts, message.ways, strict=True):
        row = state.waiting.get(attempt)
        if row is not None:
            inputs.forget(state, row)
            state.out.returned([attempt])
        elif attempt in state.given and attempt not in state.stopping:
            state.stopping[attempt] = Stopping(way)
            asked.append(attempt)
    if asked:
        state.out.runner.append(words.Interrupt(asked, [ASK] * len(asked)))


def on_disown(state: WorkerState, message: reunion.Disown) -> None:
    """Nobody counts on these any more."""
    disown(state, message.attempts)


def disown(state: WorkerState, attempts: Iterable[int]) -> None:
    """These are stopped, and nothing is said about them."""
    asked: list[int] = []
    for attempt in attempts:
        row = state.waiting.get(attempt)
        if row is not None:
            inputs.forget(state, row)
        elif attempt in state.given:
            state.abandoned.add(attempt)
            if attempt not in state.stopping:
                state.stopping[attempt] = Stopping(INTERRUPT)
                asked.append(attempt)
    if asked:
        state.out.runner.append(words.Interrupt(asked, [ASK] * len(asked)))


def on_interrupting(state: WorkerState, message: words.Interrupting) -> None:
    """The runner has heard it, and says who is not to be disturbed yet.

    Raises:
        RemoteProtocolError: that would be for too long.
    """
    spared = message.spared or [0.0] * len(message.attempts)
    if len(spared) != len(message.attempts) or not all(0 <= s <= SPARE_MAX_S for s in spared):
        msg = "Interrupting with times that make no sense"
        raise RemoteProtocolError(msg)
    for attempt, seconds in zip(message.attempts, spared, strict=True):
        stopping = state.stopping.get(attempt)
        if stopping is not None:
            if not stopping.heard:
                stopping.spare_s = seconds
            stopping.heard = True


def climb(state: WorkerState, board: Iterable[tuple[int, float]], now: float) -> None:
    """Some time has passed, and the runner runs what is on the board."""
    overdue: list[int] = []
    strike: list[int] = []
    for attempt, stopping in state.stopping.items():
        if stopping.since is None:
            stopping.since = stopping.struck = now
        if stopping.spare_s:
            stopping.since = stopping.struck = now + stopping.spare_s
            stopping.spare_s = 0.0
        waited = now - stopping.since
        if waited >= LIMIT_S[stopping.way]:
            overdue.append(attempt)
        elif stopping.way == INTERRUPT and waited >= ASK_S and now - stopping.struck >= ASK_S:
            stopping.struck = now + AGAIN_S - ASK_S
            strike.append(attempt)
    if strike:
        state.out.runner.append(words.Interrupt(strike, [RAISE] * len(strike)))
    if overdue and state.draining is not None:
        draining.abandon(state, overdue, now)  # the runner is needed as long as it has values
    elif overdue:
        _do_without(state, overdue, [attempt for attempt, _ in board], now)
    elif state.doomed is not None:
        state.doomed = None  # it has stopped after all
        state.out.scheduler.append(words.Slots(room.slots_of(state)))


def forget(state: WorkerState, attempts: Iterable[int]) -> None:
    """These have ended."""
    for attempt in attempts:
        state.stopping.pop(attempt, None)
        state.abandoned.discard(attempt)


def settled(state: WorkerState, message: words.Done) -> words.Done:
    """What the runner reports, and why what it has stopped was to stop."""
    message = _take_out_abandoned(state, message)
    for row, attempt in enumerate(message.attempts):
        if message.statuses[row] == STOPPED and attempt in state.stopping:
            message.statuses[row] = state.stopping[attempt].late
    return message


def runner_died(state: WorkerState, running: list[int]) -> list[int]:
    """Those that were out of time are that; the others are returned."""
    late = [each for each in running if _is_late(state, each)]
    if late:
        report(state, late, 0.0)
    return [each for each in running if each not in late]


def _is_late(state: WorkerState, attempt: int) -> bool:
    stopping = state.stopping.get(attempt)
    return stopping is not None and stopping.late != STOPPED


def report(state: WorkerState, attempts: list[int], now: float) -> None:
    """Report these in the runner's place."""
    found = [state.stopping[attempt] for attempt in attempts]
    seconds = [
        0.0 if each.late == STOPPED else max(0.0, now - each.began, each.struck - each.began)
        for each in found
    ]
    columns = [each.late for each in found], seconds, [0] * len(found), [b""] * len(found)
    state.out.scheduler.append(words.Done(attempts, *columns))


def _take_out_abandoned(state: WorkerState, message: words.Done) -> words.Done:
    """Without what was reported in the runner's place; that is over now."""
    if state.abandoned.isdisjoint(message.attempts):
        return message
    columns = (
        message.attempts, message.statuses, message.seconds, message.nbytes, message.values,
    )  # fmt: skip
    kept = []
    for row in zip(*columns, strict=True):
        if row[0] not in state.abandoned:
            kept.append(row)
        elif row[1] == OK_HELD:
            state.twice[state.given[row[0]]] = None
    for attempt in state.abandoned.intersection(message.attempts):
        del state.given[attempt]
        forget(state, [attempt])
    return (
        words.Done(*map(list, zip(*kept, strict=True))) if kept else words.Done([], [], [], [], [])
    )


def let_go(state: WorkerState) -> None:
    """What attempts have made that nobody counts on goes, unless another makes the same there."""
    making = set(state.given.values())
    for tid in [tid for tid in state.twice if tid not in making]:
        del state.twice[tid]
        if tid not in state.held:
            state.out.runner.append(words.Free([tid]))


def _do_without(state: WorkerState, overdue: list[int], running: list[int], now: float) -> None:
    """End the runner, as soon as that harms nobody else."""
    others = [each for each in running if each in state.given and each not in state.stopping]
    deaf = not all(state.stopping[attempt].heard for attempt in overdue)
    late = state.doomed is not None and now - state.doomed >= DOOM_S
    if not others or deaf or late:
        over = any(_is_late(state, attempt) for attempt in overdue)
        when = "its time was up" if over else "it was cancelled"
        state.out.kill = f"a task did not stop when {when}"
    elif state.doomed is None:
        state.doomed = now
        state.out.scheduler.append(words.Slots(0))
        for row in list(state.waiting.values()):
            inputs.forget(state, row)
            state.out.returned([row.attempt])
        unbegun = [attempt for attempt in state.given if attempt not in running]
        if unbegun:
            state.out.runner.append(words.Recall(unbegun))
    # Nothing that it may still say can change this: who waits for it need not wait. What is
    # cancelled and ends with its runner is reported by that.
    ended = bool(state.out.kill)
    given_up = [
        each
        for each in overdue
        if each in running
        and each not in state.abandoned
        and (_is_late(state, each) if ended else state.doomed is not None)
    ]
    if given_up:
        state.abandoned.update(given_up)
        report(state, given_up, now)
