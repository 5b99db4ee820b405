"""Clients inside tasks, as their worker sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.worker.worker_driver import ME, A, absent, after, found, ready_core, run
from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.nested import (
    Nested,
    NestedFetch,
    NestedGot,
    NestedStore,
    NestedStored,
    Numbers,
    NumbersWanted,
    Parked,
)
from trio_dask.messages.tasks import OK_HELD, OK_INLINE, Done, Replicas, Returned, RunnerDied
from trio_dask.messages.values import ABSENT, FOUND, UNPICKLABLE, Give, Values
from trio_dask.worker.core import AwaitDrain, FetchFrom, ToRunner, ToScheduler
from trio_dask.worker.core.nested import (
    ASKED_MAX,
    LINE_BYTES_MAX,
    SCHEDULER,
    UNDERWAY_BYTES_MAX,
)

if TYPE_CHECKING:
    from trio_dask.messages import Payload
    from trio_dask.worker.core import Action, WorkerCore


def working_core(*attempts: int) -> WorkerCore:
    """A core whose runner has these attempts."""
    core = ready_core()
    core.on_scheduler(run(*((attempt, {}) for attempt in attempts or (1,))))
    core.flush()
    return core


def left(core: WorkerCore) -> dict[str, int]:
    """What is on its books, but for functions."""
    return {name: rows for name, rows in core.books().items() if rows and name != "functions"}


def done(attempt: int) -> Done:
    """It has ended."""
    return Done([attempt], [OK_INLINE], [0.1], [1], [b"v"])


def test_envelopes_go_both_ways() -> None:
    """As they came."""
    core = working_core()
    said, answer = Nested(1, [b"abc"]), Nested(1, [b"def"])
    core.on_runner(1, said)
    core.on_scheduler(answer)
    [up, down] = after(core)
    assert isinstance(up, ToScheduler)
    assert isinstance(down, ToRunner)
    assert up.messages[0] is said
    assert down.messages[0] is answer


def test_of_tasks_that_are_not_there_nothing_is_passed_on() -> None:
    """Late, or made up."""
    core = working_core()
    for message in (
        Nested(2, [b"abc"]), Parked([2], [1]), NestedFetch(2, 1, A, [5]), NestedStore(2, 1, [5], [b"v"]),
    ):  # fmt: skip
        core.on_runner(1, message)
    core.on_scheduler(Nested(2, [b"abc"]))
    assert after(core) == []
    core.on_runner(1, done(1))
    after(core)
    core.on_runner(1, Nested(1, [b"abc"]))
    assert after(core) == []
    assert not left(core)


def test_numbers_are_passed_on() -> None:
    """Asked for, and given."""
    core = working_core()
    core.on_runner(1, NumbersWanted(3))
    assert after(core) == [ToScheduler([NumbersWanted(3)])]
    numbers = Numbers([5], [50])
    core.on_scheduler(numbers)
    assert after(core) == [ToRunner(1, [numbers])]
    core.runner_died(1, [], {})
    after(core)
    core.on_scheduler(numbers)
    assert after(core) == []


def test_much_waits_in_line_and_little_goes_in_between() -> None:
    """One frame of each task after the other, and the worker's own words before all of them."""
    core = working_core(1, 2)
    big: list[Payload] = [bytes(UNDERWAY_BYTES_MAX)]
    core.on_runner(1, Nested(1, big))
    assert after(core) == [ToScheduler([Nested(1, big)]), AwaitDrain(SCHEDULER)]
    for number in range(3):
        core.on_runner(1, Nested(1, [b"one %d" % number]))
    core.on_runner(1, Nested(2, [b"two"]))
    core.on_runner(1, NumbersWanted(1))
    assert after(core) == [ToScheduler([NumbersWanted(1)])]
    core.drained(SCHEDULER)
    [said] = after(core)
    assert isinstance(said, ToScheduler)
    assert [each.frame for each in said.messages if isinstance(each, Nested)] == [
        [b"one 0"], [b"two"], [b"one 1"], [b"one 2"],
    ]  # fmt: skip


def test_what_a_task_has_said_is_heard_before_its_end() -> None:
    """Also what waited in line."""
    core = working_core(1, 2)
    core.on_runner(1, Nested(2, [bytes(UNDERWAY_BYTES_MAX)]))
    core.on_runner(1, Nested(1, [b"last words"]))
    after(core)
    core.on_runner(1, done(1))
    assert after(core) == [ToScheduler([Nested(1, [b"last words"]), done(1)])]


def test_a_flood_is_refused() -> None:
    """The runner is ended for it."""
    core = working_core()
    piece: list[Payload] = [bytes(UNDERWAY_BYTES_MAX)]
    for _ in range(1 + LINE_BYTES_MAX // UNDERWAY_BYTES_MAX):
        core.on_runner(1, Nested(1, piece))
    with pytest.raises(RemoteProtocolError, match="ahead of the answers"):
        core.on_runner(1, Nested(1, piece))


def test_who_waits_is_told_to_the_scheduler() -> None:
    """And is one of those who run, when others are to be stopped."""
    core = working_core(1, 2)
    core.on_runner(1, Parked([1, 7], [1, 1]))
    assert after(core) == [ToScheduler([Parked([1], [1])])]
    assert core.books()["nested"] == 1
    core.on_runner(1, Parked([1], [0]))
    assert after(core) == [ToScheduler([Parked([1], [0])])]
    with pytest.raises(RemoteProtocolError, match="0 or 1"):
        core.on_runner(1, Parked([1], [2]))
    core.on_runner(1, Parked([1], [1]))
    core.on_runner(1, Returned([1]))
    core.on_runner(1, done(2))
    after(core)
    assert not left(core)


def fetch(core: WorkerCore, *tids: int, at: str = A, serial: int = 9) -> list[Action]:
    """A task's client asks."""
    core.on_runner(1, NestedFetch(1, serial, at, list(tids)))
    return after(core)


def test_values_come_into_the_runner() -> None:
    """From another worker, and are known to be here from then on."""
    core = working_core()
    [asked] = fetch(core, 5, 5, 6)
    assert isinstance(asked, FetchFrom)
    assert (asked.address, asked.tids) == (A, [5, 6])
    core.fetched(found(asked.serial, {5: b"five"}, last=False))
    core.fetched(absent(asked.serial, 6))
    assert after(core) == [
        ToScheduler([Replicas([5])]),
        ToRunner(1, [Give([5], [b"five"]), NestedGot(1, 9, [5, 6], [FOUND, ABSENT], [])]),
    ]
    assert fetch(core, 5) == [ToRunner(1, [NestedGot(1, 9, [5], [FOUND], [])])]


def test_values_that_are_here_are_told_at_once() -> None:
    """Made by the same runner; what is nowhere is not."""
    core = working_core(1, 2)
    core.on_runner(1, Done([2], [OK_HELD], [0.1], [10], [b""]))
    after(core)
    assert fetch(core, 1002, at=ME) == [ToRunner(1, [NestedGot(1, 9, [1002], [FOUND], [])])]
    assert fetch(core, 5, at=ME) == [ToRunner(1, [NestedGot(1, 9, [5], [ABSENT], [])])]
    assert fetch(core, 5, at="") == [ToRunner(1, [NestedGot(1, 9, [5], [ABSENT], [])])]


def test_values_that_cannot_leave() -> None:
    """The reason comes instead."""
    core = working_core()
    [asked] = fetch(core, 5)
    assert isinstance(asked, FetchFrom)
    core.fetched(Values(asked.serial, [5], [UNPICKLABLE], [b"why"], [], last=True))
    assert after(core) == [ToRunner(1, [NestedGot(1, 9, [5], [UNPICKLABLE], [b"why"])])]


def test_a_task_and_a_client_want_the_same() -> None:
    """It is fetched once."""
    core = working_core()
    core.on_scheduler(run((3, {5: A})))
    [asked] = after(core)
    assert isinstance(asked, FetchFrom)
    assert fetch(core, 5) == []
    core.fetched(found(asked.serial, {5: b"five"}))
    kinds = [
        type(each)
        for action in after(core)
        if isinstance(action, ToRunner)
        for each in action.messages
    ]
    assert sorted(kind.__name__ for kind in kinds) == ["Give", "NestedGot", "Run"]


def test_nobody_is_told_when_the_task_has_ended() -> None:
    """What was on its way is dropped."""
    core = working_core()
    [asked] = fetch(core, 5)
    assert isinstance(asked, FetchFrom)
    core.on_runner(1, done(1))
    after(core)
    core.fetched(found(asked.serial, {5: b"five"}))
    assert after(core) == []
    assert not left(core)


def test_too_many_questions() -> None:
    """The runner is ended for it."""
    core = working_core()
    with pytest.raises(RemoteProtocolError, match="values at a time"):
        fetch(core, *range(ASKED_MAX + 1))


def test_values_are_kept() -> None:
    """Told to the scheduler with the attempt; what is here is not taken from a runner's word."""
    core = working_core()
    core.on_runner(1, NestedStore(1, 4, [5, 6], [b"five", b"six"]))
    kept = [
        ToScheduler([NestedStored(1, [5, 6], [4, 3])]),
        ToRunner(1, [NestedGot(1, 4, [], [], [])]),
    ]
    assert after(core) == kept
    core.on_runner(1, NestedStore(1, 5, [5], [b"other"]))
    assert after(core) == [ToRunner(1, [NestedGot(1, 5, [], [], [])])]
    assert core.state.store.get(5) == b"five"


def test_the_runner_dies() -> None:
    """Nothing is left of its tasks' clients."""
    core = working_core(1, 2)
    core.on_runner(1, Nested(1, [bytes(UNDERWAY_BYTES_MAX)]))
    core.on_runner(1, Nested(2, [b"in line"]))
    core.on_runner(1, Parked([1], [1]))
    fetch(core, 5)
    core.runner_died(1, [2], {})
    [*_, said] = [each for each in after(core) if isinstance(each, ToScheduler)]
    [died] = [each for each in said.messages if isinstance(each, RunnerDied)]
    assert (died.running, died.queued) == ([2, 1], []), "who waits there has begun"
    core.drained(SCHEDULER)
    assert after(core) == []
    assert core.books()["nested"] == 0
    assert core.books()["in_runner"] == 0
