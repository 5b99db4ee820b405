"""A runner that has done enough makes room for another: nothing is lost, nobody is blamed."""

from __future__ import annotations

import pytest

from tests.worker.worker_driver import FID, ME, found, run
from trio_dask.messages.tasks import (
    OK_HELD,
    Done,
    Free,
    Functions,
    Recall,
    Returned,
    RunnerDied,
    Slots,
)
from trio_dask.messages.values import UNPICKLABLE, Fetch, Values
from trio_dask.worker.core import (
    Action,
    KillRunner,
    RecycleRules,
    StartRunner,
    Store,
    ToRunner,
    ToScheduler,
    WorkerCore,
)


def recycled(**rules: float) -> WorkerCore:
    """A core whose runners are replaced, with one that is ready."""
    core = WorkerCore("me", ME, 2, Store(), recycle_rules=RecycleRules(**rules))  # type: ignore[arg-type]
    core.flush()
    core.runner_ready(1)
    core.on_scheduler(Functions([FID], ["f"], [b"f"]))
    core.flush()
    return core


def held(core: WorkerCore, *attempts: int) -> None:
    """The runner has run these; their values stay with it."""
    core.on_scheduler(run(*((attempt, {}) for attempt in attempts)))
    core.flush()
    n = len(attempts)
    core.on_runner(1, Done(list(attempts), [OK_HELD] * n, [0.1] * n, [9] * n, [b""] * n))


def said(actions: list[Action], kind: type) -> list[object]:
    """What is said to the runner or the scheduler of one kind."""
    messages = [
        m for each in actions if isinstance(each, ToRunner | ToScheduler) for m in each.messages
    ]
    return [message for message in messages if type(message) is kind]


@pytest.mark.parametrize(
    ("rules", "uses", "reason"),
    [
        ({"max_tasks": 3}, {"tasks": 3}, "recycled: it has run 3 tasks"),
        ({"max_tasks": 3}, {"tasks": 2}, ""),
        ({"max_rss": 2 << 20}, {"rss": 3 << 20, "tasks": 1}, "recycled: it had 3.0 MiB of memory"),
        ({"max_rss": 2 << 20}, {"rss": 1 << 20, "tasks": 1}, ""),
        ({"max_rss": 2 << 20}, {"rss": 3 << 20}, ""),
        ({"max_age_s": 60.0}, {"age_s": 60.5}, "recycled: it has run for 60 s"),
        ({"max_age_s": 60.0}, {"age_s": 59.0}, ""),
        ({}, {"tasks": 1 << 40, "rss": 1 << 50, "age_s": 1e9}, ""),
    ],
)
def test_limits(rules: dict[str, int], uses: dict[str, int], reason: str) -> None:
    """Each by itself; without any nothing is ever replaced."""
    limits = RecycleRules(**rules)
    assert limits.any == bool(rules)
    known = {"tasks": 0, "rss": 0, "age_s": 0} | uses
    assert limits.reached(**known) == reason


def test_it_takes_nothing_new_and_ends_when_it_has_given_all() -> None:
    """Slots go first; what has not begun comes back; values are packed; then it is told to leave."""
    core = recycled(max_tasks=1)
    core.on_scheduler(run((1, {}), (2, {}), (3, {})))
    core.flush()
    core.on_runner(1, Done([1], [OK_HELD], [0.1], [9], [b""]))
    actions = core.flush()
    assert said(actions, Slots) == [Slots(0)]
    assert said(actions, Recall) == [Recall([2, 3])]
    core.on_runner(1, Returned([3]))
    core.on_scheduler(run((4, {})))
    assert said(core.flush(), Returned) == [Returned([3, 4])]
    core.on_runner(1, Done([2], [OK_HELD], [0.1], [9], [b""]))
    (fetch,) = said(core.flush(), Fetch)
    assert isinstance(fetch, Fetch)
    assert fetch.tids == [1001, 1002]
    core.on_runner(1, found(fetch.serial, {1001: b"one"}, last=False))
    assert core.flush() == []
    core.on_runner(1, found(fetch.serial, {1002: b"two"}))
    assert core.flush() == [KillRunner(1, "recycled: it has run 1 tasks", gently=True)]
    core.runner_died(1, [], {"exit_code": 0})
    actions = core.flush()
    died = RunnerDied([], [], [], {"exit_code": 0, "on_purpose": True})
    assert said(actions, RunnerDied) == [died]
    assert StartRunner(2, 0.0) in actions
    assert core.state.store.held_by("me") == {1001, 1002}
    core.runner_ready(2)
    assert said(core.flush(), Slots) == [Slots(2)]


def test_by_its_memory_and_age() -> None:
    """The shell looks at it, now and then; without values it leaves at once."""
    core = recycled(max_rss=100, max_age_s=50.0)
    core.look(1, 100, 49.0, 1.0)
    assert core.flush() == [], "it has done nothing, so another would be as large"
    held(core, 1)
    core.on_scheduler(Free([1001]))
    core.look(1, 99, 49.0, 1.0)
    assert not any(isinstance(each, KillRunner) for each in core.flush())
    core.look(1, 100, 49.0, 2.0)
    actions = core.flush()
    assert actions[-1] == KillRunner(1, "recycled: it had 0.0 MiB of memory", gently=True)
    core.look(1, 100, 50.0, 3.0)
    core.look(1, 100, 51.0, 4.0)
    assert core.flush() == []
    core.look(1, 100, 52.0, 5.0)
    assert isinstance(core.flush()[0], KillRunner), "it does not leave by itself"
    core.look(7, 100, 52.0, 5.0)  # one that is gone


def test_what_cannot_be_packed_keeps_it_at_work() -> None:
    """Its consumers run there and nowhere else; when it is not needed any more the runner goes."""
    core = recycled(max_tasks=2)
    held(core, 1, 2)
    (fetch,) = said(core.flush(), Fetch)
    assert isinstance(fetch, Fetch)
    core.on_runner(
        1, Values(fetch.serial, [1001, 1002], [UNPICKLABLE, 0], [b"why"], [b"two"], last=True)
    )
    assert said(core.flush(), Slots) == [Slots(2)]
    held(core, 3)
    assert not any(isinstance(each, KillRunner) for each in core.flush())
    core.on_scheduler(Free([1001]))
    (again,) = said(core.flush(), Fetch)
    assert isinstance(again, Fetch)
    core.on_runner(1, found(again.serial, dict.fromkeys(again.tids, b"v")))
    assert any(isinstance(each, KillRunner) for each in core.flush())


def test_what_is_let_go_of_meanwhile_is_not_kept() -> None:
    """Values that nobody needs any more do not come back into the store."""
    core = recycled(max_tasks=1)
    held(core, 1)
    (fetch,) = said(core.flush(), Fetch)
    assert isinstance(fetch, Fetch)
    core.on_scheduler(Free([1001]))
    core.flush()
    core.on_runner(1, found(fetch.serial, {1001: b"one"}))
    assert any(isinstance(each, KillRunner) for each in core.flush())
    assert len(core.state.store) == 0


def test_a_death_on_the_way_is_a_death() -> None:
    """Before it was told to leave, whatever ends it is to blame, and its values are lost."""
    core = recycled(max_tasks=1)
    held(core, 1)
    core.flush()
    core.runner_died(1, [], {"signal": 11})
    assert said(core.flush(), RunnerDied) == [RunnerDied([], [], [1001], {"signal": 11})]
    assert core.books()["exports"] == 0
