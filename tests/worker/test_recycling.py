"""Runners that have done enough: others take their place, and nothing is lost."""

from __future__ import annotations

import math

import pytest

from tests.worker.test_stopping import done, running
from tests.worker.worker_driver import after, found, run
from trio_dask.messages.tasks import (
    OK_HELD,
    OK_INLINE,
    Free,
    Recall,
    Returned,
    RunnerDied,
    Slots,
)
from trio_dask.messages.values import UNPICKLABLE, Fetch, Values
from trio_dask.worker.core import (
    KillRunner,
    RecycleRules,
    StartRunner,
    ToRunner,
    ToScheduler,
    WorkerCore,
)

MIB = 1 << 20


@pytest.mark.parametrize(
    ("rules", "tasks", "rss", "age_s", "why"),
    [
        (RecycleRules(), 10**9, 10**12, 1e9, ""),
        (RecycleRules(max_tasks=3), 2, 0, 0.0, ""),
        (RecycleRules(max_tasks=3), 3, 0, 0.0, "it has run 3 tasks"),
        (RecycleRules(max_rss=MIB), 1, MIB - 1, 0.0, ""),
        (RecycleRules(max_rss=MIB), 1, MIB, 0.0, "it has 1 MiB of memory"),
        (RecycleRules(max_rss=MIB), 0, 5 * MIB, 0.0, ""),  # its successor would have as much
        (RecycleRules(max_age_s=60), 0, 0, 59.9, ""),
        (RecycleRules(max_age_s=60), 0, 0, 61.0, "it has been there for 61 s"),
        (RecycleRules(max_age_s=60), 0, 0, -math.inf, ""),  # it is not ready yet
    ],
)
def test_enough(rules: RecycleRules, tasks: int, rss: int, age_s: float, why: str) -> None:
    """Each limit by itself."""
    assert rules.reached(tasks=tasks, rss=rss, age_s=age_s) == why
    assert rules.any == (rules != RecycleRules())


def holding(*attempts: int) -> WorkerCore:
    """A core whose runner holds the values of these."""
    core = running(*attempts)
    for attempt in attempts:
        core.on_runner(1, done(attempt, OK_HELD))
    core.flush()
    return core


def test_a_runner_is_recycled_without_loss() -> None:
    """It works on until the next one is ready; then it ends what it has begun, in its time."""
    core = running(1, 2, 3)
    core.recycle(1, "it has run 1000 tasks")
    core.recycle(1, "asked twice")
    assert after(core) == [StartRunner(2, 0.0)]
    core.on_scheduler(run((4, {})))
    assert after(core) == [ToRunner(1, [run((4, {}))])]
    core.runner_ready(2)
    assert after(core) == [ToRunner(1, [Recall([1, 2, 3, 4])])]
    core.on_runner(1, Returned([3, 4]))
    core.on_runner(1, done(1, OK_HELD))
    assert after(core) == [
        ToScheduler([Returned([3, 4]), done(1, OK_HELD)]),
        ToRunner(1, [Fetch(1, [1001])]),
    ]
    assert not core.stopping  # it is in no hurry
    core.on_runner(1, found(1, {1001: b"v"}))
    assert after(core) == []
    core.on_runner(1, done(2, OK_INLINE))
    assert after(core) == [
        ToScheduler([done(2, OK_INLINE)]),
        KillRunner(1, "it has run 1000 tasks", gently=True),
    ]
    core.runner_died(1, [], {"on_purpose": True})
    assert after(core) == [ToScheduler([RunnerDied([], [], [], {"on_purpose": True})])]


def test_what_it_holds_is_in_the_store_before_another_is_started() -> None:
    """And the runner itself works meanwhile."""
    core = holding(1)
    core.recycle(1, "old")
    assert after(core) == [ToRunner(1, [Fetch(1, [1001])])]
    core.on_scheduler(run((2, {})))
    assert after(core) == [ToRunner(1, [run((2, {}))])]
    core.on_runner(1, found(1, {1001: b"v"}))
    assert after(core) == [StartRunner(2, 0.0)]
    assert core.state.store.holds("me", 1001)


def test_what_cannot_leave_keeps_it() -> None:
    """As long as it is needed; then it can be recycled, and until then it is not asked again."""
    core = holding(1)
    core.recycle(1, "old")
    core.flush()
    core.on_runner(1, Values(1, [1001], [UNPICKLABLE], [b"why"], [], last=True))
    assert after(core) == []
    core.recycle(1, "older")
    assert after(core) == []
    core.on_scheduler(run((2, {})))
    assert after(core) == [ToRunner(1, [run((2, {}))])]
    core.on_scheduler(Free([1001]))
    core.recycle(1, "older still")
    assert StartRunner(2, 0.0) in after(core)


def test_what_cannot_leave_and_is_gone_when_that_is_known() -> None:
    """Nothing is in the way."""
    core = holding(1)
    core.recycle(1, "old")
    core.on_scheduler(Free([1001]))
    core.flush()
    core.on_runner(1, Values(1, [1001], [UNPICKLABLE], [b"why"], [], last=True))
    assert after(core) == [StartRunner(2, 0.0)]


def test_one_at_a_time() -> None:
    """The successor has done enough, too, while the first still runs its last task."""
    core = running(1)
    core.recycle(1, "old")
    core.runner_ready(2)
    core.flush()
    core.recycle(2, "old, too")
    assert after(core) == []
    core.on_runner(1, done(1, OK_INLINE))
    core.flush()
    core.runner_died(1, [], {"on_purpose": True})
    core.flush()
    core.recycle(2, "old, too")
    assert after(core) == [StartRunner(3, 0.0)]


def test_nobody_is_recycled_who_is_to_leave_anyway() -> None:
    """Neither before nor after it is known what the runner holds."""
    core = holding(1)
    core.recycle(1, "old")
    core.flush()
    core.drain("the end", patient=True)
    core.on_runner(1, found(1, {1001: b"v"}))
    core.recycle(1, "older")
    assert not any(isinstance(each, StartRunner) for each in after(core))


def test_a_successor_that_dies_has_one() -> None:
    """The runner that is to be recycled works as long as nobody can take over."""
    core = running(1)
    core.recycle(1, "old")
    core.runner_died(2, [], {})
    assert after(core) == [StartRunner(2, 0.0), StartRunner(3, 0.0)]
    core.runner_ready(3)
    assert after(core) == [ToRunner(1, [Recall([1])])]


def test_a_runner_that_dies_before_it_is_recycled() -> None:
    """Its successor is on its way already."""
    core = running(1)
    core.recycle(1, "old")
    core.runner_died(1, [1], {})
    core.flush()
    core.runner_ready(2)
    assert after(core) == [ToScheduler([Slots(2)])]
    core.recycle(1, "it is not there")
    core.recycle(2, "old, too")
    assert after(core) == [StartRunner(3, 0.0)]
