"""Copies of values: as many as somebody wants, where there is room, and no more than that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trio_dask.messages import session, tasks as words
from trio_dask.messages.fleet import Copy, Uncopied
from trio_dask.messages.reunion import Holdings
from trio_dask.scheduler.core.returning import take_values

if TYPE_CHECKING:
    from tests.scheduler.conftest import Driver

CLIENT, A, B, C = 1, 10, 11, 12
#: Looks at copies that nobody needs, until they are let go of.
LOOKS = 6


def ask(cluster: Driver, topic: str, **params: Any) -> None:
    """The client wants copies."""
    cluster.tell(CLIENT, session.Ask(7, topic, params))


def answer(cluster: Driver) -> session.Answer | None:
    """What the client was answered, if it was."""
    found = [each for each in cluster.heard(CLIENT) if isinstance(each, session.Answer)]
    return found[0] if found else None


def stored(cluster: Driver, at: int, *values: tuple[int, int]) -> None:
    """The client leaves values of these sizes at a worker."""
    for tid, nbytes in values:
        cluster.tell(CLIENT, words.Put([tid], [nbytes], [f"tcp://host:{at}"], False))
        cluster.tell(at, words.Stored([tid], [nbytes]))
    cluster.heard(CLIENT)
    cluster.heard(at)


def holders(cluster: Driver, tid: int) -> list[str]:
    """Who holds it."""
    return [each.address for each in cluster.core.state.tasks[tid].holders or ()]


def addresses(*peers: int) -> list[str]:
    """Of workers."""
    return [f"tcp://host:{each}" for each in peers]


def test_a_copy_on_every_worker(cluster: Driver) -> None:
    """It is answered when all of them have it."""
    first = cluster.client()
    for peer in (A, B, C):
        cluster.worker(peer)
    stored(cluster, A, (first, 100))
    ask(cluster, "replicate", tids=[first])
    for peer in (B, C):
        assert answer(cluster) is None
        assert cluster.heard(peer) == [Copy([first], [0], addresses(A))]
        cluster.tell(peer, words.Replicas([first]))
    told = answer(cluster)
    assert told is not None
    assert told.data == {"copies": 2, "nbytes": 200, "failed": 0}
    for _ in range(LOOKS):
        cluster.tick(1.0)
    assert holders(cluster, first) == addresses(A, B, C)
    ask(cluster, "replicate", tids=[first], n=1)
    assert cluster.heard(B) == cluster.heard(C) == [words.Free([first])]
    assert holders(cluster, first) == addresses(A)


def test_what_cannot_be_copied(cluster: Driver) -> None:
    """The client is told how much that was: nobody has it any more, or it is lost with its receiver."""
    first = cluster.client()
    for peer in (A, B, C):
        cluster.worker(peer)
    stored(cluster, A, (first, 100))
    ask(cluster, "replicate", tids=[first, 99])
    cluster.tell(B, Uncopied([first], [b"cannot be pickled"]))
    cluster.leave(C)
    told = answer(cluster)
    assert told is not None
    assert told.data == {"copies": 0, "nbytes": 0, "failed": 2}
    assert not cluster.core.state.orders


def test_only_where_there_is_room(cluster: Driver) -> None:
    """Workers are not filled up for it."""
    first = cluster.client()
    cluster.worker(A)
    for peer, limit in ((B, 100), (C, 1000)):
        cluster.core.state.workers[cluster.worker(peer)].memory_limit = limit
    stored(cluster, A, (first, 90))
    ask(cluster, "replicate", tids=[first], n=2)
    assert cluster.heard(B) == []
    assert len(cluster.heard(C)) == 1


@pytest.mark.parametrize(
    "params",
    [
        {"tids": "all"},
        {"tids": ["x"]},
        {"tids": [1], "n": 0},
        {"tids": [1], "n": "2"},
        {"tids": [1], "workers": ["nobody"]},
        {"tids": [1], "workers": 3},
    ],
)
def test_questions_that_make_no_sense(cluster: Driver, params: dict[str, Any]) -> None:
    """They are refused, and nothing has changed."""
    cluster.client()
    cluster.worker(A)
    ask(cluster, "replicate", **params)
    told = answer(cluster)
    assert told is not None
    assert not told.ok
    assert not cluster.core.state.orders


def test_as_much_on_each(cluster: Driver) -> None:
    """Values move from who holds much, and are let go of there when they have arrived."""
    first = cluster.client()
    cluster.worker(A)
    cluster.worker(B)
    stored(cluster, A, (first, 100), (first + 1, 60), (first + 2, 40))
    ask(cluster, "rebalance")
    assert cluster.heard(B) == [Copy([first], [0], addresses(A))]
    assert cluster.heard(A) == []
    cluster.tell(B, words.Replicas([first]))
    assert cluster.heard(A) == [words.Free([first])]
    assert holders(cluster, first) == addresses(B)
    told = answer(cluster)
    assert told is not None
    assert told.data == {"copies": 1, "nbytes": 100, "failed": 0}
    ask(cluster, "rebalance", tids=[first, first + 1, first + 2])
    assert answer(cluster) is not None
    assert cluster.heard(A) == cluster.heard(B) == []


def test_what_was_copied_for_a_task_is_let_go_of(cluster: Driver) -> None:
    """When none needs it any more, after a while; whoever had it first keeps it, full as it may be."""
    first = cluster.client()
    cluster.worker(A)
    cluster.worker(B)
    cluster.tell(A, session.Heartbeat({"memory": 1 << 30}))
    stored(cluster, A, (first, 100))
    cluster.submit(first + 1, [b"a"], deps=[[first]])
    cluster.tell(B, words.Replicas([first]))
    for _ in range(LOOKS):
        cluster.tick(1.0)
    assert holders(cluster, first) == addresses(A, B)
    cluster.done(A, cluster.run_last(A))
    cluster.tell(CLIENT, words.Release([first + 1]))
    for _ in range(LOOKS):
        cluster.tick(1.0)
    assert holders(cluster, first) == addresses(A)
    assert not cluster.core.state.copied


def test_broadcast_values_stay_where_they_are(cluster: Driver) -> None:
    """Somebody wants them there."""
    first = cluster.client()
    cluster.worker(A)
    cluster.worker(B)
    cluster.tell(CLIENT, words.Put([first], [100], [], True))
    cluster.tell(A, words.Stored([first], [100]))
    cluster.tell(B, words.Replicas([first]))
    for _ in range(LOOKS):
        cluster.tick(1.0)
    assert holders(cluster, first) == addresses(A, B)


def test_restarted_meanwhile(cluster: Driver) -> None:
    """Who waits for copies is answered."""
    first = cluster.client()
    cluster.worker(A)
    cluster.worker(B)
    stored(cluster, A, (first, 100))
    ask(cluster, "replicate", tids=[first])
    cluster.tell(CLIENT, session.Ask(8, "restart", {}))
    told = answer(cluster)
    assert told is not None
    assert told.data["failed"] == 1
    assert not cluster.core.state.copies_asked


def test_a_worker_that_is_back_is_told_again(cluster: Driver) -> None:
    """What it was to copy it may not have heard of; what it has by now counts as a copy."""
    first = cluster.client()
    cluster.worker(A)
    b = cluster.worker(B)
    stored(cluster, A, (first, 100), (first + 1, 100))
    ask(cluster, "replicate", tids=[first, first + 1])
    cluster.heard(B)
    worker = cluster.core.state.workers[b]
    take_values(cluster.core.state, worker, [Holdings([first + 1], [100])])
    cluster.settle()
    assert cluster.heard(B) == [Copy([first], [0], addresses(A))]
    assert holders(cluster, first + 1) == addresses(A, B)
    assert answer(cluster) is None
    cluster.tell(B, words.Replicas([first]))
    told = answer(cluster)
    assert told is not None
    assert told.data == {"copies": 2, "nbytes": 200, "failed": 0}
