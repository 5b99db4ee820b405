"""Stopping attempts that run: asked, then interrupted, and in the end their process ended.

The worker climbs this ladder, the runner does what each step says. However far it
goes, the attempt is answered once: by `Returned`, `Done`, or the runner's death. A task
that shares the runner with one that will not stop is not to suffer for it: the runner is
*condemned*, takes nothing more, and ends when the others have ended, or their time is up.
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
from trio_dask.worker.core import apart, condemning, draining, inputs, nested

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from trio_dask.worker.core.state import Runner, WorkerState

#: What was asked to stop is interrupted after so many seconds,
ASK_S: Final = 0.1
#: again after as many if it goes on,
AGAIN_S: Final = 0.2
#: and its runner is ended after so many, for want of another way.
LIMIT_S: Final = {COOPERATE: 30.0, INTERRUPT: 1.2, KILL: 0.0}
#: What has a shield may not be disturbed for so long at most.
SPARE_MAX_S: Final = 300.0
#: Tasks beside one that does not stop have so long to end.
CONDEMNED_S: Final = 30.0
WHY: Final = "a task did not stop when it was cancelled"
WHY_LATE: Final = "a task did not stop when its time was up"


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


def check(message: words.Interrupt) -> None:
    """Refuse what is no way of stopping.

    Raises:
        RemoteProtocolError: it is none.
    """
    if not LIMIT_S.keys() >= set(message.ways):
        msg = "Interrupt with a way of stopping that there is not"
        raise RemoteProtocolError(msg)


def begin(runner: Runner, attempts: dict[int, Stopping]) -> None:
    """Ask the runner to stop these attempts, which it was given."""
    new = {each: attempts[each] for each in attempts if each not in runner.stopping}
    if new:
        runner.stopping |= new
        runner.out.append(words.Interrupt(list(new), [ASK] * len(new)))


def on_disown(state: WorkerState, message: reunion.Disown) -> None:
    """Nobody counts on these any more."""
    disown(state, message.attempts)


def disown(state: WorkerState, attempts: Collection[int]) -> None:
    """These are stopped, and nothing is said about them."""
    asked: dict[Runner, dict[int, Stopping]] = {}
    apart.take_back(state, attempts)
    for attempt in attempts:
        row, runner = state.waiting.get(attempt), state.given(attempt)
        if row is not None:
            inputs.forget(state, row)
        elif runner is not None:
            runner.abandoned.add(attempt)
            asked.setdefault(runner, {})[attempt] = Stopping(INTERRUPT)
    for runner, stopped in asked.items():
        begin(runner, stopped)


def on_interrupting(_: WorkerState, runner: Runner, message: words.Interrupting) -> None:
    """The runner has heard it, and says who is not to be disturbed yet.

    Raises:
        RemoteProtocolError: that would be for too long.
    """
    spared = message.spared or [0.0] * len(message.attempts)
    if len(spared) != len(message.attempts) or not all(0 <= s <= SPARE_MAX_S for s in spared):
        msg = "Interrupting with times that make no sense"
        raise RemoteProtocolError(msg)
    for attempt, seconds in zip(message.attempts, spared, strict=True):
        stopping = runner.stopping.get(attempt)
        if stopping is not None:
            if not stopping.heard:
                stopping.spare_s = seconds
            stopping.heard = True


def climb(state: WorkerState, runner: Runner, running: list[int], now: float) -> None:
    """Some time has passed; what `running` has of the runner's attempts has begun."""
    overdue = _press(runner, now)
    if overdue and state.draining is not None:
        draining.abandon(state, runner, overdue, now)  # it is needed as long as it has values
    elif overdue:
        _do_without(
            state, runner, overdue, [each for each in running if each in runner.given], now=now
        )
    elif runner.condemned and not runner.replaced:
        condemning.pardon(state, runner)
    if runner.condemned:
        condemning.go_on(state, runner)
    if runner.since is not None and now - runner.since >= CONDEMNED_S:
        runner.kill = runner.condemned


def _press(runner: Runner, now: float) -> list[int]:
    """Interrupt what is due; what should have ended by now."""
    overdue: list[int] = []
    strike: list[int] = []
    for attempt, stopping in runner.stopping.items():
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
        runner.out.append(words.Interrupt(strike, [RAISE] * len(strike)))
    return overdue


def forget(runner: Runner, attempts: Iterable[int]) -> None:
    """These have ended."""
    for attempt in attempts:
        runner.stopping.pop(attempt, None)
        runner.abandoned.discard(attempt)


def settled(runner: Runner, message: words.Done) -> words.Done:
    """What the runner reports, and why what it has stopped was to stop."""
    message = _take_out_abandoned(runner, message)
    for row, attempt in enumerate(message.attempts):
        if message.statuses[row] == STOPPED and attempt in runner.stopping:
            message.statuses[row] = runner.stopping[attempt].late
    return message


def runner_died(state: WorkerState, runner: Runner, running: list[int]) -> list[int]:
    """Those that were out of time are that; the others are returned."""
    late = [each for each in running if _is_late(runner, each)]
    if late:
        report(state, runner, late, 0.0)
    return [each for each in running if each not in late]


def _is_late(runner: Runner, attempt: int) -> bool:
    stopping = runner.stopping.get(attempt)
    return stopping is not None and stopping.late != STOPPED


def report(state: WorkerState, runner: Runner, attempts: list[int], now: float) -> None:
    """Report these in the runner's place."""
    found = [runner.stopping[attempt] for attempt in attempts]
    seconds = [
        0.0 if each.late == STOPPED else max(0.0, now - each.began, each.struck - each.began)
        for each in found
    ]
    columns = [each.late for each in found], seconds, [0] * len(found), [b""] * len(found)
    nested.ended(state, attempts)
    state.out.scheduler.append(words.Done(attempts, *columns))


def _take_out_abandoned(runner: Runner, message: words.Done) -> words.Done:
    """Without what was reported in the runner's place; that is over now."""
    if runner.abandoned.isdisjoint(message.attempts):
        return message
    columns = (
        message.attempts, message.statuses, message.seconds, message.nbytes, message.values,
    )  # fmt: skip
    kept = []
    for row in zip(*columns, strict=True):
        if row[0] not in runner.abandoned:
            kept.append(row)
        elif row[1] == OK_HELD:
            runner.twice[runner.given[row[0]]] = None
    for attempt in runner.abandoned.intersection(message.attempts):
        del runner.given[attempt]
        forget(runner, [attempt])
    return (
        words.Done(*map(list, zip(*kept, strict=True))) if kept else words.Done([], [], [], [], [])
    )


def let_go(runner: Runner) -> None:
    """What attempts have made that nobody counts on goes, unless another makes the same there."""
    making = set(runner.given.values())
    for tid in [tid for tid in runner.twice if tid not in making]:
        del runner.twice[tid]
        if tid not in runner.held:
            runner.out.append(words.Free([tid]))


def _do_without(
    state: WorkerState, runner: Runner, overdue: list[int], running: list[int], *, now: float
) -> None:
    """End the runner, as soon as that harms nobody else."""
    others = [each for each in running if each not in runner.stopping]
    deaf = not all(runner.stopping[attempt].heard for attempt in overdue)
    why = WHY_LATE if any(_is_late(runner, each) for each in overdue) else WHY
    if deaf or not (others or runner.condemned):
        runner.kill = why
    else:
        if not runner.condemned:
            condemning.condemn(state, runner, why, running)
        if runner.since is None:
            runner.since = now
    # Nothing that it may still say can change this: who waits for it need not wait. What is
    # cancelled and ends with its runner is reported by that.
    given_up = [
        each
        for each in overdue
        if each in running
        and each not in runner.abandoned
        and (not runner.kill or _is_late(runner, each))
    ]
    if given_up:
        runner.abandoned.update(given_up)
        report(state, runner, given_up, now)
