"""What peers get wrong, and what comes together badly, costs nobody else anything."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from trio_dask.messages import Message, session, tasks as words
from trio_dask.messages.failure import Failure
from trio_dask.scheduler.core import Misuse
from trio_dask.scheduler.core.ready import ReadyQueue

if TYPE_CHECKING:
    from tests.scheduler.conftest import Driver
    from trio_dask.scheduler.core.state import Task

CLIENT, OTHER, A, B = 1, 2, 10, 11
FIRST = 1 << 40


def test_a_failure_that_comes_two_ways_is_told_once(cluster: Driver) -> None:
    """A task that needs both a failed one and what depends on it has one end."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a", b"b", b"c", b"d"], [[], [first], [first, first + 1], []])
    cluster.submit(first + 4, [b"e"], [[first + 2, first, first + 1]])
    run = cluster.run(A)
    row = run.tids.index(first)
    attempt = run.attempts[row]
    cluster.tell(A, words.Done([attempt], [words.ERROR], [0.1], [0], [b"oops"]))
    told = [tid for m in cluster.heard(CLIENT) if isinstance(m, words.Failed) for tid in m.tids]
    assert sorted(told) == [first, first + 1, first + 2, first + 4]


@pytest.mark.parametrize("where", ["waiting", "assigned"])
def test_any_text_may_be_a_reason(cluster: Driver, where: str) -> None:
    """A lone surrogate in a reason comes back as it was."""
    first = cluster.client()
    if where == "assigned":
        cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.tell(CLIENT, words.Cancel([first], "\ud800"))
    if where == "assigned":
        cluster.tell(A, words.Returned(cluster.run_of(A)))
    assert cluster.heard(CLIENT) == [words.Cancelled([first], "\ud800")]


def test_any_text_may_be_the_end_of_a_worker(cluster: Driver) -> None:
    """What a peer says in its farewell is repeated to those who lost values."""
    first = cluster.client()
    cluster.worker(A, name="w\ud800")
    cluster.tell(CLIENT, words.Put([first], [100], [], False))
    cluster.tell(A, words.Stored([first], [100]))
    cluster.submit(first + 1, [b"b"], [[first]])
    cluster.heard(CLIENT)
    cluster.leave(A)
    cluster.submit(first + 2, [b"c"], [[first]])
    kinds = sorted(type(each).__name__ for each in cluster.heard(CLIENT))
    assert kinds == ["Failed", "Failed", "Lost"]


def test_a_resource_of_zero_units_is_none(cluster: Driver) -> None:
    """It asks for nothing, so a worker without it will do."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"], resources={"GPU": 0})
    assert cluster.run(A).tids == [first]


def test_fractions_of_resources_come_back_whole(cluster: Driver) -> None:
    """After tenths were taken and given back, a task that needs all of it runs."""
    first = cluster.client()
    cluster.worker(A, nthreads=4, resources={"GPU": 1.0})
    for row, units in enumerate([0.1, 0.2, 0.4]):
        cluster.submit(first + row, [b"a"], resources={"GPU": units})
    attempts = cluster.run_of(A)
    for attempt in attempts:
        cluster.tell(A, words.Done([attempt], [words.OK_INLINE], [0.1], [1], [b"v"]))
    cluster.submit(first + 3, [b"all"], resources={"GPU": 1})
    assert cluster.run(A).tids == [first + 3]


@pytest.mark.parametrize("units", [math.inf, math.nan, -1, "much", True])
def test_a_worker_has_so_much_of_a_resource(cluster: Driver, units: Any) -> None:
    """Anything that cannot be counted is refused, at a worker as in a task."""
    with pytest.raises(Misuse, match="GPU"):
        cluster.worker(A, resources={"GPU": units})
    first = cluster.client()
    with pytest.raises(Misuse, match="GPU"):
        cluster.submit(first, [b"a"], resources={"GPU": units})


@pytest.mark.parametrize("address", ["tcp://a tcp://b", "tcp://a\tb", "tcp://a\n", ""])
def test_a_place_is_one_word(cluster: Driver, address: str) -> None:
    """Places travel separated by spaces."""
    message = session.RegisterWorker("w", address, 1, 0, {}, {})
    with pytest.raises(Misuse, match="not an address"):
        cluster.core.worker_joined(A, message, 0.0)


def test_others_are_allowed_without_naming_any(cluster: Driver) -> None:
    """Then it is a task like any other."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"], allow_other_workers=True)
    assert cluster.run(A).tids == [first]


def test_a_kept_task_that_can_run_nowhere_ends(cluster: Driver) -> None:
    """It is forgotten while the last of its inputs is being finished."""
    first = cluster.client()
    cluster.worker(A)
    cluster.worker(B)
    cluster.submit(first, [b"a", b"b"])
    runs = {tid: (peer, run.attempts[0]) for peer in (A, B) for run in [cluster.run(peer)]
            for tid in run.tids}  # fmt: skip
    cluster.submit(first + 2, [b"c"], [[first, first + 1]])
    cluster.submit(first + 3, [b"d"], [[first]])
    cluster.tell(CLIENT, words.Keep([first + 2]))
    cluster.tell(CLIENT, words.Release([first + 2]))
    peer, attempt = runs[first]
    cluster.tell(peer, words.Done([attempt], [words.OK_HELD], [0.1], [1], [b""]))
    attempt = cluster.run_of(peer)[-1]
    cluster.tell(peer, words.Pinned([attempt], [first], [f"tcp://host:{peer}"], [b"stuck"]))
    peer, attempt = runs[first + 1]
    cluster.core.state.pinned[first + 1] = b"stuck"
    cluster.tell(peer, words.Done([attempt], [words.OK_HELD], [0.1], [1], [b""]))
    assert first + 2 not in cluster.core.state.tasks


@pytest.mark.parametrize(
    "message",
    [
        words.Submit(FIRST, [FIRST], [b""] * 3, [], [], [], [], True, {}),
        words.Cancel([5 << 40], "no"),
        words.Keep([5 << 40]),
        words.Unreachable([5 << 40], "tcp://nowhere"),
        words.Submit(FIRST + 9, [FIRST], [b""], [], [], [], [], True, {"resources": {"G": 1e999}}),
    ],
    ids=repr,
)
def test_what_is_of_others_is_refused(cluster: Driver, message: Message) -> None:
    """Ids that are taken, in the middle too, and ids of other clients."""
    first = cluster.client()
    cluster.submit(first + 1, [b"a"])
    with pytest.raises(Misuse):
        cluster.tell(CLIENT, message)
    cluster.leave(CLIENT)
    assert cluster.at_rest()


def test_cancelled_tasks_are_not_tried_again(cluster: Driver) -> None:
    """The attempt that could not be recalled fails: that is the last one."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"], retries=3)
    run = cluster.run(A)
    cluster.tell(CLIENT, words.Cancel([first], "enough"))
    cluster.heard(A)
    cluster.fail(A, run)
    assert cluster.heard(A) == []
    assert cluster.heard(CLIENT) == [words.Cancelled([first], "enough")]


def test_cancel_of_what_others_want_is_answered_once(cluster: Driver) -> None:
    """The second time it is no longer wanted by the one who asks."""
    first = cluster.client()
    other = cluster.client(OTHER)
    cluster.submit(first, [b"a"])
    cluster.tell(OTHER, words.Want([other], [first]))
    for _ in range(2):
        cluster.tell(CLIENT, words.Cancel([first], "enough"))
    assert cluster.heard(CLIENT) == [words.Cancelled([first], "enough")]


def test_a_put_that_was_released_is_not_placed(cluster: Driver) -> None:
    """When a worker comes at last, nothing is left of it."""
    first = cluster.client()
    cluster.tell(CLIENT, words.Put([first], [100], [], False))
    cluster.tell(CLIENT, words.Release([first]))
    cluster.worker(A)
    assert cluster.heard(CLIENT) == []
    assert not cluster.core.state.puts


def test_a_put_is_lost_with_its_client(cluster: Driver) -> None:
    """Who waits for it is told, instead of waiting for ever."""
    first = cluster.client()
    other = cluster.client(OTHER)
    cluster.tell(CLIENT, words.Put([first], [100], [], False))
    cluster.tell(OTHER, words.Want([other], [first]))
    cluster.tell(CLIENT, session.Ask(1, "wait_for_workers", {"n": 7}))
    cluster.leave(CLIENT)
    (lost,) = cluster.heard(OTHER)
    assert isinstance(lost, words.Lost)
    assert not cluster.core.state.waiting_puts
    assert not cluster.core.state.waiting_asks


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1.0])
def test_a_broken_clock_teaches_nothing(cluster: Driver, seconds: float) -> None:
    """Estimates stay numbers that can be compared."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.done(A, cluster.run(A), seconds=seconds)
    assert cluster.core.state.prefix("inc").estimate_s() == -1.0


def test_no_recall_of_what_is_answered(cluster: Driver) -> None:
    """An attempt that ended with the loss of its inputs is not asked back."""
    first = cluster.client()
    a = cluster.worker(A)
    cluster.tell(CLIENT, words.Put([first], [100], [], False))
    cluster.tell(A, words.Stored([first], [100]))
    cluster.submit(first + 1, [b"b"])
    cluster.submit(first + 2, [b"c"], [[first, first + 1]])
    cluster.tell(CLIENT, words.Release([first + 1]))
    attempts = cluster.run_of(A)
    cluster.tell(A, words.Unrunnable(attempts[:1], [first], [a]))
    assert not cluster.core.state.workers[a].recalled
    assert cluster.core.state.workers[a].window == {}


def test_a_copy_of_what_is_small_now_is_dropped(cluster: Driver) -> None:
    """The value was made again, and travels with its tasks."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.done(A, cluster.run(A), b"small")
    cluster.tell(A, words.Replicas([first]))
    assert cluster.heard(A) == [words.Free([first])]


def test_a_function_that_is_used_after_it_was_forgotten(cluster: Driver) -> None:
    """A worker that learns it late forgets it too."""
    first = cluster.client()
    cluster.submit(first, [b"a"])
    cluster.tell(CLIENT, words.ForgetFunctions([first]))
    cluster.worker(A)
    cluster.done(A, cluster.run(A))
    cluster.tick(1.0)
    assert cluster.heard(A) == [words.ForgetFunctions([first])]
    assert not cluster.core.state.unused_functions


def test_requirements_end_with_their_tasks(cluster: Driver) -> None:
    """Programs may ask for something else each time."""
    first = cluster.client()
    for row in range(10):
        cluster.submit(first + row, [b"a"], workers=[f"w{row}"])
    assert len(cluster.core.state.requirements) == 11
    cluster.tell(CLIENT, words.Release(list(range(first, first + 10))))
    cluster.worker(A)
    assert len(cluster.core.state.requirements) == 1


def test_function_names_are_not_remembered_for_ever(cluster: Driver) -> None:
    """The oldest go first."""
    first = cluster.client()
    count = 12_000
    fids = list(range(first, first + count))
    names = [f"f{row}" for row in range(count)]
    cluster.tell(CLIENT, words.Functions(fids, names, [b""] * count))
    assert len(cluster.core.state.prefixes) == 10_000
    assert "f0" not in cluster.core.state.prefixes


def test_what_waits_at_home_behind_a_long_task_moves(cluster: Driver) -> None:
    """Recalled for an idle worker, it goes there and takes its inputs along."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.done(A, cluster.run(A), None)
    cluster.submit(first + 1, [b"long"])
    cluster.submit(first + 2, [b"next"], [[first]])
    run = cluster.run_of(A)
    cluster.worker(B)
    cluster.tick(10.0)
    cluster.tell(A, words.Returned(run[1:]))
    assert cluster.run(B).tids == [first + 2]


def test_what_is_at_home_is_handed_out_and_what_is_not(cluster: Driver) -> None:
    """Of two tasks for a worker with free slots both go there, what has its input there first."""
    first = cluster.client()
    cluster.worker(A, nthreads=4)
    cluster.submit(first, [b"a"])
    cluster.done(A, cluster.run(A), None)
    cluster.submit(first + 1, [b"anywhere", b"at home"], [[], [first]])
    assert cluster.run(A).tids == [first + 2, first + 1]


def test_many_wants_of_one_task_are_cheap(cluster: Driver) -> None:
    """One key for a whole message: each row is let go of on its own."""
    first = cluster.client()
    count = 3_000
    cluster.submit(first, [b"a"] * count, keys=["same"] * count)
    cluster.tell(CLIENT, words.Release(list(range(first + count - 1, first - 1, -1))))
    assert cluster.at_rest()


def test_what_is_described_for_nobody_is_forgotten(cluster: Driver) -> None:
    """Rows that are not wanted live as long as others of the message need them."""
    first = cluster.client()
    cluster.submit(first, [b"a", b"b"], wanted=False)
    assert cluster.at_rest()
    cluster.submit(first + 2, [b"a"], keys=["k"])
    message = words.Submit(
        first + 3, [first], [b"a", b"b"], [0, 1], [first + 3], ["k", "n"], [], False, {}
    )
    cluster.tell(CLIENT, message)
    cluster.tell(CLIENT, words.Release([first + 2]))
    assert cluster.at_rest()


def test_a_mixed_queue_is_handed_out_in_order(
    cluster: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short tasks of two kinds fill one window by their own estimates."""
    first = cluster.client()
    cluster.worker(A)
    for row in range(2):
        message = words.Submit(first + row, [first + row], [b""], [], [], [], [], True, {})
        cluster.tell(CLIENT, message)
        cluster.done(A, cluster.run(A), seconds=0.001)
    returned = 0
    plain = ReadyQueue.push_sorted

    def counting(queue: ReadyQueue, tasks: list[Task]) -> None:
        nonlocal returned
        returned += len(tasks)
        plain(queue, tasks)

    monkeypatch.setattr(ReadyQueue, "push_sorted", counting)
    fids = [first + row % 2 for row in range(100)]
    cluster.tell(CLIENT, words.Submit(first + 2, fids, [b""] * 100, [], [], [], [], True, {}))
    (functions, run) = [*cluster.heard(A), None][:2]
    run = functions if isinstance(functions, words.Run) else run
    assert isinstance(run, words.Run)
    assert run.tids == list(range(first + 2, first + 2 + len(run.tids)))
    assert 25 <= len(run.tids) <= 35
    assert returned <= 2 * len(fids), "what does not fit is put back once, not for each task"


def test_failures_say_who(cluster: Driver) -> None:
    """Keys with lone surrogates are named in failures of the scheduler's own."""
    first = cluster.client()
    cluster.tell(CLIENT, words.Submit(first, [first], [b""], [], [], ["k\ud800"], [], True, {}))
    cluster.worker(A)
    attempt = cluster.run_of(A)[0]
    for _ in range(4):
        cluster.tell(A, words.RunnerDied([attempt], [], [], {"signal": 9}))
        attempt = ([*cluster.run_of(A)] or [0])[-1]
    (failed,) = cluster.heard(CLIENT)
    assert isinstance(failed, words.Failed)
    assert "\ud800" in Failure.from_bytes(failed.failures[0]).message
