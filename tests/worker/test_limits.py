"""Limits of attempts at the worker: when it looks, whom it stops, and how that is reported."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.worker.worker_driver import FID, B, after, ready_core
from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.tasks import (
    ASK,
    COOPERATE,
    INTERRUPT,
    KILL,
    OK_INLINE,
    OVERDUE,
    RAISE,
    STOPPED,
    TIMED_OUT,
    Done,
    Interrupt,
    Interrupting,
    Recall,
    Returned,
    Run,
    RunnerDied,
    Slots,
)
from trio_dask.messages.values import FOUND, Values
from trio_dask.worker.core import (
    FetchFrom,
    KillRunner,
    StartRunner,
    ToRunner,
    ToScheduler,
    WorkerCore,
)

INF = math.inf


def limited(
    *attempts: int, timeout: float = INF, deadline: float = INF, way: int = INTERRUPT, **more: Any
) -> Run:
    """Attempts that all have these limits."""
    n = len(attempts)
    return Run(
        list(attempts), [100 + each for each in attempts], [FID] * n, list(attempts), [b"x"] * n,
        more.get("dep_counts", []), more.get("dep_tids", []), more.get("dep_at", []), [],
        more.get("places", []), [], [], [timeout] * n, [deadline] * n, [way] * n,
    )  # fmt: skip


def given(*attempts: int, now: float = 100.0, **limits: Any) -> WorkerCore:
    """A core that was told at `now` to run these."""
    core = ready_core()
    core.on_scheduler(limited(*attempts, **limits), now)
    core.flush()
    return core


def climb(core: WorkerCore, now: float, board: dict[int, float]) -> list[object]:
    """What is to be done at a time at which these run, since when."""
    core.climb(list(board.items()), now)
    return list(core.flush())


def done(attempt: int, status: int, seconds: float = 0.1) -> Done:
    """One that has ended."""
    return Done([attempt], [status], [seconds], [0], [b""])


def test_the_runner_is_told_times_of_its_own_clock() -> None:
    """What is left of a deadline becomes a time; a timeout is counted from the beginning."""
    core = ready_core()
    core.on_scheduler(limited(1, timeout=5.0, deadline=2.0), 100.0)
    assert after(core) == [
        ToRunner(1, [limited(1, timeout=5.0, deadline=102.0)]),
    ]


def test_what_waits_for_inputs_keeps_its_limits() -> None:
    """However long the input takes: the deadline is a time by then."""
    core = ready_core()
    run = limited(
        1,
        timeout=5.0,
        deadline=2.0,
        way=KILL,
        dep_counts=[1],
        dep_tids=[50],
        dep_at=[0],
        places=[B],
    )
    core.on_scheduler(run, 100.0)
    assert after(core) == [FetchFrom(B, 1, [50])]
    assert core.look_at == INF
    core.fetched(Values(1, [50], [FOUND], [], [b"value"], last=True))
    runs = [m for a in after(core) if isinstance(a, ToRunner) for m in a.messages]
    told = [each for each in runs if isinstance(each, Run)]
    assert [(each.timeouts, each.deadlines, each.ways) for each in told] == [
        ([5.0], [102.0], [KILL])
    ]
    assert core.look_at == -INF


def test_without_limits_nobody_looks() -> None:
    """Nothing is on the books."""
    core = ready_core()
    core.on_scheduler(
        Run([1], [101], [FID], [1], [b"x"], [], [], [], [], [], [], [], [INF], [INF], [INTERRUPT])
    )
    assert core.look_at == INF
    assert core.books()["limits"] == 0
    assert not core.stopping


def test_it_is_looked_at_when_it_may_be_over() -> None:
    """When it begins is on the board alone."""
    core = given(1, timeout=5.0)
    assert core.look_at == -INF
    assert climb(core, 100.0, {}) == []
    assert core.look_at == 100.25
    assert climb(core, 105.0, {1: 103.0}) == []
    assert core.look_at == 108.0
    assert not core.stopping
    assert climb(core, 108.0, {1: 103.0}) == [ToRunner(1, [Interrupt([1], [ASK])])]
    assert core.stopping


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        ({"timeout": 1.0}, TIMED_OUT),
        ({"deadline": 1.0}, OVERDUE),
        ({"timeout": 1.0, "deadline": 2.0}, TIMED_OUT),
        ({"timeout": 2.0, "deadline": 1.0}, OVERDUE),
    ],
)
def test_how_it_is_reported(limits: dict[str, float], status: int) -> None:
    """By the limit that was over first. An outcome of its own stands."""
    for said, reported in ((STOPPED, status), (OK_INLINE, OK_INLINE), (status, status)):
        core = given(1, **limits)
        assert climb(core, 101.0, {1: 100.0}) == [ToRunner(1, [Interrupt([1], [ASK])])]
        core.on_runner(1, done(1, said))
        assert after(core) == [ToScheduler([done(1, reported)])]
        assert not core.stopping
        assert core.look_at == INF
        assert not any(core.books()[name] for name in ("in_runner", "stopping", "limits"))


def test_it_climbs_the_ladder() -> None:
    """Asked, then interrupted; before its runner is ended it is reported."""
    core = given(1, timeout=1.0)
    climb(core, 101.0, {1: 100.0})
    core.on_runner(1, Interrupting([1]))
    assert climb(core, 101.11, {1: 100.0}) == [ToRunner(1, [Interrupt([1], [RAISE])])]
    assert climb(core, 102.25, {1: 100.0}) == [
        ToScheduler([done(1, TIMED_OUT, 2.25)]),
        KillRunner(1, "a task did not stop when its time was up"),
    ]
    core.runner_died(1, [1], {"on_purpose": True})
    died = RunnerDied([], [], [], {"on_purpose": True})
    assert after(core) == [ToScheduler([Slots(0), died]), StartRunner(2, 0.0)]


def test_its_way_is_its_own() -> None:
    """Who only wants to be asked is given time; who wants to be killed is killed."""
    core = given(1, timeout=1.0, way=KILL)
    assert climb(core, 101.0, {1: 100.0}) == [
        ToScheduler([done(1, TIMED_OUT, 1.0)]),
        ToRunner(1, [Interrupt([1], [ASK])]),
        KillRunner(1, "a task did not stop when its time was up"),
    ]
    core = given(1, timeout=1.0, way=COOPERATE)
    climb(core, 101.0, {1: 100.0})
    assert climb(core, 110.0, {1: 100.0}) == []


def test_a_runner_that_dies_meanwhile_does_not_hide_it() -> None:
    """Its time was up before: that is its outcome, and its death blames nobody."""
    core = given(1, 2, timeout=1.0)
    climb(core, 101.0, {1: 100.0, 2: 100.5})
    core.runner_died(1, [1, 2], {"signal": 11})
    [said, _] = after(core)
    assert isinstance(said, ToScheduler)
    slots, late, died = said.messages
    assert slots == Slots(0)
    assert isinstance(late, Done)
    assert (late.attempts, late.statuses) == ([1], [TIMED_OUT])
    assert died == RunnerDied([2], [], [], {"signal": 11})


def test_a_cancellation_that_came_first_counts() -> None:
    """Its limit does not change what it is reported as; nor the other way round."""
    core = given(1, timeout=1.0)
    core.on_scheduler(Interrupt([1], [INTERRUPT]))
    assert after(core) == [ToRunner(1, [Interrupt([1], [ASK])])]
    climb(core, 102.0, {1: 100.0})
    core.on_runner(1, done(1, STOPPED))
    assert after(core)[-1] == ToScheduler([done(1, STOPPED)])
    core = given(1, timeout=1.0)
    climb(core, 101.0, {1: 100.0})
    core.on_scheduler(Interrupt([1], [INTERRUPT]))
    assert after(core) == []
    core.on_runner(1, done(1, STOPPED))
    assert after(core) == [ToScheduler([done(1, TIMED_OUT)])]


def test_what_has_not_begun_at_its_deadline_is_not_the_worker_s_to_stop() -> None:
    """The scheduler asks for it, and the runner refuses it; it is looked at in case it began."""
    core = given(1, deadline=1.0)
    assert climb(core, 101.0, {}) == []
    assert 101.0 < core.look_at < 102.0
    core.on_scheduler(Recall([1]))
    core.on_runner(1, Returned([1]))
    assert after(core) == [ToScheduler([Returned([1])]), ToRunner(1, [Recall([1])])]
    assert core.look_at == INF


def test_limits_end_with_their_runner() -> None:
    """The next one is not looked at for them."""
    core = given(1, 2, timeout=5.0)
    core.runner_died(1, [1], {})
    core.runner_ready(2)
    assert core.look_at == INF
    assert core.books()["limits"] == 0


def test_the_heap_does_not_keep_what_has_ended() -> None:
    """A timeout of an hour does not cost an hour's memory."""
    core = ready_core()
    for attempt in range(1, 500):
        core.on_scheduler(limited(attempt, timeout=3600.0), 100.0)
        climb(core, 100.0, {attempt: 100.0})
        core.on_runner(1, done(attempt, OK_INLINE))
    assert len(core.state.looks) < 100
    assert core.look_at == INF


@pytest.mark.parametrize(
    "columns",
    [
        ([1.0], [1.0], []),
        ([1.0], [], [INTERRUPT]),
        ([-1.0], [1.0], [INTERRUPT]),
        ([1.0], [math.nan], [INTERRUPT]),
        ([1.0], [1.0], [7]),
        ([1.0] * 2, [1.0] * 2, [INTERRUPT] * 2),
    ],
)
def test_limits_that_make_no_sense_are_refused(columns: tuple[Any, Any, Any]) -> None:
    """Nothing has changed then."""
    core = ready_core()
    run = limited(1)
    run.timeouts, run.deadlines, run.ways = columns
    with pytest.raises(RemoteProtocolError, match="limits"):
        core.on_scheduler(run, 100.0)
    assert after(core) == []


@pytest.mark.parametrize("timeout", [5e-324, 1e-300, 1e-12])
def test_a_limit_that_the_clock_cannot_tell(timeout: float) -> None:
    """A task that has not begun is looked at later, not again and again in the same moment."""
    core = given(1, timeout=timeout, now=1e6)
    assert climb(core, 1e6, {}) == []
    assert core.look_at > 1e6
    assert climb(core, 1e6 + 1, {1: 1e6}) != []
