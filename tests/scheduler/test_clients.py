"""What clients may ask for, take back and get wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trio_dask.messages import Message, session, tasks as words
from trio_dask.messages.failure import Failure
from trio_dask.scheduler.core import Misuse

if TYPE_CHECKING:
    from tests.scheduler.conftest import Driver

CLIENT, A, B = 1, 10, 11


def test_release_recalls_what_has_not_begun(cluster: Driver) -> None:
    """The slot stays taken until the worker answers; either answer ends it."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a", b"b"])
    run = cluster.run(A)
    cluster.tell(CLIENT, words.Release([first, first + 1]))
    assert cluster.heard(A) == [words.Recall(run.attempts)]
    cluster.tell(A, words.Returned(run.attempts[1:]))
    begun = words.Run(run.attempts[:1], run.tids[:1], [first], [0], [b""], [], [], [], [], [], [])
    cluster.done(A, begun, None)
    assert cluster.heard(A) == [words.Free([first])]
    assert cluster.heard(CLIENT) == []
    assert cluster.at_rest()


def test_cancel_before_the_start(cluster: Driver) -> None:
    """What waits is cancelled at once, with what depends on it."""
    first = cluster.client()
    cluster.submit(first, [b"a"])
    cluster.submit(first + 1, [b"b"], [[first]])
    cluster.tell(CLIENT, words.Cancel([first], "enough"))
    assert cluster.heard(CLIENT) == [words.Cancelled([first, first + 1], "enough")]
    cluster.worker(A)
    assert cluster.heard(A) == []


@pytest.mark.parametrize("started", [True, False])
def test_cancel_is_answered_once(cluster: Driver, *, started: bool) -> None:
    """At the worker it is the worker that decides the race; a result that came first wins."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    run = cluster.run(A)
    cluster.tell(CLIENT, words.Cancel([first], "enough"))
    cluster.tell(CLIENT, words.Cancel([first], "twice"))
    asked = words.Interrupt(run.attempts * 2, [words.INTERRUPT] * 2)
    assert cluster.heard(A) == [words.Interrupt(asked.attempts[:1], asked.ways[:1])] * 2
    assert cluster.heard(CLIENT) == []
    if started:
        cluster.done(A, run)
        (answer,) = cluster.heard(CLIENT)
        assert isinstance(answer, words.Finished)
    else:
        cluster.tell(A, words.Returned(run.attempts))
        assert cluster.heard(CLIENT) == [words.Cancelled([first], "twice")]
    cluster.tell(CLIENT, words.Release([first]))
    assert cluster.at_rest()


def test_cancel_by_one_of_two(cluster: Driver) -> None:
    """A client takes back only its own claim."""
    first, second = cluster.client(1), cluster.client(2)
    cluster.submit(first, [b"a"], keys=["shared"])
    cluster.submit(second, [b"a"], keys=["shared"], peer=2)
    cluster.tell(2, words.Cancel([second], "not me"))
    assert cluster.heard(2) == [words.Cancelled([second], "not me")]
    cluster.worker(A)
    cluster.done(A, cluster.run(A))
    assert len(cluster.heard(1)) == 1
    assert cluster.heard(2) == []


def test_a_value_shared_by_key_is_fetched_by_the_id_that_workers_know(cluster: Driver) -> None:
    """The second client is told where the value is, and what it is called there."""
    first, second = cluster.client(), cluster.client(2)
    a = cluster.worker(3)
    cluster.submit(first, [b"a"], keys=["x"])
    run = cluster.run(3)
    cluster.submit(second, [b"b", b"a"], keys=["y", "x"], peer=2)
    cluster.done(3, run, None)
    (to_first,), (to_second,) = cluster.heard(1), cluster.heard(2)
    assert isinstance(to_first, words.Finished)
    assert isinstance(to_second, words.Finished)
    assert to_first.sources == []
    assert (to_second.tids, to_second.places) == ([second + 1], [a])
    assert to_second.sources == [first]


def test_a_value_that_could_not_be_stored_is_lost(cluster: Driver) -> None:
    """What needs it fails for that, and is not cancelled: nobody asked for it."""
    first = cluster.client()
    cluster.worker(3)
    cluster.tell(1, words.Put([first], [9], [], broadcast=False))
    cluster.submit(first + 1, [b"a"], [[first]])
    cluster.heard(1)
    cluster.tell(1, words.Cancel([first], "no way"))
    lost, failed = cluster.heard(1)
    assert lost == words.Lost([first], "no way")
    assert isinstance(failed, words.Failed)
    assert failed.tids == [first + 1]


def test_one_key_is_one_task(cluster: Driver) -> None:
    """Two clients that name the same key share the computation, and arguments find it by either id."""
    first, second = cluster.client(1), cluster.client(2)
    cluster.worker(A)
    cluster.submit(first, [b"a"], keys=["x"])
    cluster.submit(second, [b"a"], keys=["x"], peer=2)
    cluster.submit(second + 1, [b"b"], [[second]], peer=2)
    run = cluster.run(A)
    assert (run.tids, run.keys) == ([first], ["x"])
    cluster.done(A, run, b"1")
    assert [each.tids for each in cluster.heard(1) if isinstance(each, words.Finished)] == [[first]]
    run = cluster.run(A)
    assert (run.dep_tids, run.dep_refs) == ([first], [second])
    cluster.leave(1)
    cluster.done(A, run, b"2")
    finished = [each for each in cluster.heard(2) if isinstance(each, words.Finished)]
    assert [tid for each in finished for tid in each.tids] == [second, second + 1]
    cluster.leave(2)
    assert cluster.at_rest()


def test_a_key_is_made_anew_where_only_its_description_is_left(cluster: Driver) -> None:
    """What it was made of is gone, as its client has let go of it; a new one has inputs of its own."""
    first = cluster.client()
    cluster.worker(3)

    def stored(tid: int) -> None:
        cluster.tell(1, words.Put([tid], [9], ["tcp://host:3"], False))
        cluster.tell(3, words.Stored([tid], [9]))

    stored(first)
    cluster.submit(first + 1, [b"a"], [[first]], keys=["x"])
    cluster.submit(first + 2, [b"b"], [[first + 1]])
    cluster.done(3, cluster.run(3), None)
    cluster.tell(1, words.Release([first, first + 1]))
    cluster.done(3, cluster.run_last(3), None)
    cluster.heard(1)
    stored(first + 3)
    cluster.heard(1)
    cluster.submit(first + 4, [b"a"], [[first + 3]], keys=["x"])
    run = cluster.run_last(3)
    assert (run.tids, run.keys, run.dep_tids) == ([first + 4], ["x"], [first + 3])
    cluster.submit(first + 5, [b"a"], [[first + 3]], keys=["x"])  # now it is one task again
    cluster.done(3, run, None)
    [told] = cluster.heard(1)
    assert isinstance(told, words.Finished)
    assert told.tids == [first + 4, first + 5]
    cluster.tell(1, words.Release([first + 4, first + 5, first + 3]))
    cluster.tell(1, words.Release([first + 2]))
    assert cluster.at_rest()


@pytest.mark.parametrize("how", ["waits", "runs", "lost"])
def test_a_key_that_was_cancelled_or_lost_is_made_anew(cluster: Driver, *, how: str) -> None:
    """Who holds the old one keeps its end; who submits the key again has a task that runs."""
    first, second = cluster.client(1), cluster.client(2)
    if how != "waits":
        cluster.worker(A)
    options: dict[str, Any] = {"actor": True} if how == "lost" else {}
    cluster.submit(first, [b"a"], keys=["x"], **options)
    if how == "lost":
        cluster.done(A, cluster.run(A), None)
        cluster.leave(A)
    else:
        cluster.tell(CLIENT, words.Cancel([first], "enough"))
    old = cluster.heard(A)
    cluster.worker(B)
    cluster.submit(second, [b"b"], keys=["x"], peer=2)
    cluster.submit(first + 1, [b"b"], keys=["x"])  # now it is one task again
    run = cluster.run_last(B)
    assert (run.tids, run.keys) == ([second], ["x"])
    cluster.done(B, run)
    if how == "runs":
        [begun] = [each for each in old if isinstance(each, words.Run)]
        cluster.tell(A, words.Returned(begun.attempts))
    said = cluster.heard(CLIENT)
    [told] = [each for each in said if isinstance(each, words.Finished) and each.tids != [first]]
    assert told.tids == [first + 1]
    cancelled = [each.tids for each in said if isinstance(each, words.Cancelled)]
    assert cancelled == ([] if how == "lost" else [[first]])
    cluster.leave(CLIENT)
    cluster.leave(2)
    assert cluster.at_rest()


def test_fire_and_forget(cluster: Driver) -> None:
    """A kept task runs though nobody wants it, and is forgotten when it ended."""
    first = cluster.client()
    cluster.submit(first, [b"a"])
    cluster.tell(CLIENT, words.Keep([first]))
    cluster.tell(CLIENT, words.Release([first]))
    cluster.worker(A)
    cluster.done(A, cluster.run(A))
    assert cluster.at_rest()


def test_a_client_that_leaves_takes_its_wants_along(cluster: Driver) -> None:
    """Its tasks are dropped, those of others stay."""
    first, second = cluster.client(1), cluster.client(2)
    cluster.submit(first, [b"a"] * 3000)
    cluster.submit(second, [b"b"], peer=2)
    cluster.leave(1)
    cluster.worker(A)
    assert cluster.run(A).args == [b"b"]


def test_questions(cluster: Driver) -> None:
    """Each question has one answer; waiting for workers is answered when they are there."""
    cluster.client()
    cluster.tell(CLIENT, session.Ask(1, "flush", {}))
    cluster.tell(CLIENT, session.Ask(2, "wait_for_workers", {"n": 1}))
    cluster.tell(CLIENT, session.Ask(3, "meaning of life", {}))
    cluster.tell(CLIENT, session.Ask(4, "wait_for_workers", {"n": "many"}))
    answers = {
        each.serial: each for each in cluster.heard(CLIENT) if isinstance(each, session.Answer)
    }
    assert {serial: each.ok for serial, each in answers.items()} == {1: True, 3: False, 4: False}
    assert "meaning of life" in answers[3].data["error"]
    a = cluster.worker(A, nthreads=3)
    assert cluster.heard(CLIENT) == [session.Answer(2, ok=True, data={"n": 1})]
    cluster.tell(CLIENT, session.Ask(5, "info", {}))
    (info,) = cluster.heard(CLIENT)
    assert isinstance(info, session.Answer)
    assert info.data["total_threads"] == 3
    assert info.data["workers"][a]["name"] == "w10"


@pytest.mark.parametrize(
    "message",
    [
        words.Submit(1 << 41, [], [], [], [], [], [], True, {}),
        words.Submit(1 << 40, [(1 << 40) + 77], [b""], [], [], [], [], True, {}),
        words.Submit(1 << 40, [1 << 40], [b""], [2], [], [], [], True, {}),
        words.Submit(1 << 40, [1 << 40], [b""], [], [], ["a", "b"], [], True, {}),
        words.Submit(1 << 40, [1 << 40], [b""], [], [], [], [7], True, {}),
        words.Submit(1 << 40, [1 << 40], [b""], [], [], [], [], True, {"colour": "red"}),
        words.Submit(1 << 40, [1 << 40], [b""], [], [], [], [], True, {"priority": 1 << 60}),
        words.Submit(1 << 40, [1 << 40], [b""], [], [], [], [], True, {"retries": -1}),
        words.Submit(1 << 40, [1 << 40], [b""], [], [], [], [], True, {"workers": [3]}),
        words.Submit(1 << 40, [1 << 40], [b""], [], [], [], [], True, {"resources": {"G": -1}}),
        words.Release([7]),
        words.Functions([7], ["f"], [b""]),
        words.Done([], [], [], [], []),
        words.Run([], [], [], [], [], [], [], [], [], [], []),
    ],
    ids=repr,
)
def test_nonsense_is_refused(cluster: Driver, message: Message) -> None:
    """What makes no sense raises, and leaves the tables as they were."""
    cluster.client()
    with pytest.raises(Misuse):
        cluster.tell(CLIENT, message)
    cluster.settle()
    assert cluster.at_rest()


def test_an_unknown_input_fails_the_task(cluster: Driver) -> None:
    """A future of another cluster, say: the task fails, everything else goes on."""
    first = cluster.client()
    cluster.submit(first, [b"a"], [[12345]])
    (failed,) = cluster.heard(CLIENT)
    assert isinstance(failed, words.Failed)
    assert Failure.from_bytes(failed.failures[0]).kind.endswith("DataLost")


def test_names_are_unique(cluster: Driver) -> None:
    """A second worker of the same name is turned away, the first stays."""
    cluster.worker(A)
    message = session.RegisterWorker("w10", "tcp://other:1", 1, 0, {}, {})
    with pytest.raises(Misuse, match="w10"):
        cluster.core.worker_joined(B, message, 0.0)
    assert len(cluster.core.state.workers) == 1


def test_large_jobs_are_done_in_slices(cluster: Driver) -> None:
    """A large submission is taken in a slice at a time; what its client says next waits for it."""
    first = cluster.client()
    count = 5000
    cluster.core.handle(
        CLIENT, words.Submit(first, [first], [b"x"] * count, [], [], [], [], True, {}), 0.0
    )
    assert cluster.core.busy
    assert 0 < len(cluster.core.state.tasks) < count
    cluster.core.handle(CLIENT, session.Ask(1, "flush", {}), 0.0)
    cluster.core.flush()
    assert cluster.heard(CLIENT) == []
    cluster.settle()
    assert len(cluster.core.state.tasks) == count
    assert cluster.heard(CLIENT) == [session.Answer(1, ok=True, data={})]


def test_a_client_may_leave_in_the_middle(cluster: Driver) -> None:
    """Half a submission of somebody who is gone leaves nothing."""
    first = cluster.client()
    cluster.core.handle(
        CLIENT, words.Submit(first, [first], [b"x"] * 5000, [], [], [], [], True, {}), 0.0
    )
    cluster.leave(CLIENT)
    assert cluster.at_rest()


def test_a_long_chain_is_released_without_recursion(cluster: Driver) -> None:
    """Ten thousand links come to rest in one go."""
    first = cluster.client()
    count = 10_000
    deps = [[], *([first + link] for link in range(count - 1))]
    tids = cluster.submit(first, [b"x"] * count, deps)
    cluster.tell(CLIENT, words.Release(tids[:-1]))
    cluster.tell(CLIENT, words.Release(tids[-1:]))
    assert cluster.at_rest()
