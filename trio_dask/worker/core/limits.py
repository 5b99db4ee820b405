"""How long attempts may run, in side tables: nothing of this exists for those without a limit.

When an attempt begins is known from the runner's board alone. So each is looked at now and
then until it is there, and then when it may be over. A task that waits for others goes on
being counted. What is over its limit is stopped as what was cancelled is, and reported as out
of time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import tasks as words
from trio_dask.messages.tasks import OVERDUE, TIMED_OUT
from trio_dask.worker.core import stopping

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.messages.tasks import Run
    from trio_dask.worker.core.state import Runner, WorkerState

#: What has not begun is looked at so often.
_AGAIN_S: Final = 0.25
#: And no more often than that, however short its limit is: now and a femtosecond is now.
_SOON_S: Final = 0.001
#: So many of those to be looked at may have ended before the heap is made anew.
_STALE_MAX: Final = 64

#: Seconds of running, a time on the host's clock, and a way of stopping.
Limits = tuple[float, float, int]
NONE: Final[Limits] = (math.inf, math.inf, words.INTERRUPT)


@dataclass(slots=True, eq=False)
class Limited:
    """The limits of an attempt in the runner, and when it began."""

    timeout: float
    deadline: float
    way: int
    began: float | None = None


def check(message: Run) -> None:
    """Whether the limits in a message make sense.

    Raises:
        RemoteProtocolError: they do not.
    """
    rows = len(message.attempts)
    fits = (
        len(message.timeouts) == len(message.deadlines) == len(message.ways) == rows
        and all(each >= 0 for each in message.timeouts)
        and all(each >= 0 for each in message.deadlines)
        and stopping.LIMIT_S.keys() >= set(message.ways)
    )
    if not fits:
        msg = "Run with limits that make no sense"
        raise RemoteProtocolError(msg)


def anchor(message: Run, now: float) -> None:
    """From seconds that are left to times on the clock of this host, which the runner shares."""
    message.deadlines = [now + each for each in message.deadlines]


def rows(message: Run) -> Iterable[Limits]:
    """The limits of each row."""
    return zip(message.timeouts, message.deadlines, message.ways, strict=True)


def give(state: WorkerState, attempt: int, limits: Limits) -> None:
    """The runner is given this attempt; if it has a limit, it is looked at from now on."""
    if min(limits[0], limits[1]) < math.inf:
        state.limits[attempt] = Limited(*limits)
        heappush(state.looks, (-math.inf, attempt))
        if len(state.looks) > 2 * len(state.limits) + _STALE_MAX:
            state.looks = [entry for entry in state.looks if entry[1] in state.limits]
            heapify(state.looks)


def add(run: Run, limits: Limits) -> None:
    """The limits of a row that was added to `run`."""
    run.timeouts.append(limits[0])
    run.deadlines.append(limits[1])
    run.ways.append(limits[2])


def forget(state: WorkerState, attempts: Iterable[int]) -> None:
    """These are not in the runner any more."""
    for attempt in attempts:
        state.limits.pop(attempt, None)


def look_at(state: WorkerState) -> float:
    """When `look` is to be called next; `inf` if nothing has a limit."""
    looks = state.looks
    while looks and looks[0][1] not in state.limits:
        heappop(looks)
    return looks[0][0] if looks else math.inf


def look(state: WorkerState, board: Iterable[tuple[int, float]], now: float) -> None:
    """Begin to stop what has run for too long, and see when to look again."""
    asked: dict[Runner, dict[int, stopping.Stopping]] = {}
    began = dict(board)
    while state.looks and state.looks[0][0] <= now:
        _, attempt = heappop(state.looks)
        runner = state.given(attempt)
        if runner is None or attempt not in state.limits or attempt in runner.stopping:
            continue
        limited = state.limits[attempt]
        if limited.began is None:
            limited.began = began.get(attempt)
        if limited.began is None:
            again_s = max(_SOON_S, min(limited.timeout, _AGAIN_S))
            heappush(state.looks, (now + again_s, attempt))
            continue
        over, deadline = limited.began + limited.timeout, limited.deadline
        if min(over, deadline) > now:
            heappush(state.looks, (min(over, deadline), attempt))
            continue
        late = TIMED_OUT if over <= deadline else OVERDUE
        begun = stopping.Stopping(limited.way, late=late, began=limited.began)
        asked.setdefault(runner, {})[attempt] = begun
    for runner, attempts in asked.items():
        stopping.begin(runner, attempts)
