"""Values that clients bring: which worker is to keep them, and what waits for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.messages import tasks as words

if TYPE_CHECKING:
    from tests.scheduler.conftest import Driver

C, A, B = 1, 10, 11


def test_a_value_waits_for_the_worker_that_is_named(cluster: Driver) -> None:
    """Others come and go; it is placed when that one is there."""
    first = cluster.client()
    cluster.worker(A)
    cluster.tell(C, words.Put([first], [10], ["w11"], broadcast=False))
    assert not cluster.heard(C)
    cluster.worker(B)
    assert cluster.heard(C) == [words.PutAt([first], [0], ["tcp://host:11"])]
    assert not cluster.core.state.waiting_puts


def test_what_was_given_up_is_forgotten(cluster: Driver) -> None:
    """Who tries again and again for a worker that never comes leaves nothing behind for each."""
    first = cluster.client()
    cluster.worker(A)
    for tid in range(first, first + 1000):
        cluster.tell(C, words.Put([tid], [10], ["nobody"], broadcast=False))
        cluster.tell(C, words.Release([tid]))
    assert len(cluster.core.state.waiting_puts) < 3
    assert not cluster.core.state.tasks


def test_what_is_wanted_waits_beside_what_was_given_up(cluster: Driver) -> None:
    """All of it, however much there is."""
    first = cluster.client()
    for tid in range(first, first + 100):
        cluster.tell(C, words.Put([tid], [10], ["w11"], broadcast=False))
        if tid % 2:
            cluster.tell(C, words.Release([tid]))
    cluster.worker(B)
    (placed,) = cluster.heard(C)
    assert isinstance(placed, words.PutAt)
    assert placed.tids == [tid for tid in range(first, first + 100) if not tid % 2]
