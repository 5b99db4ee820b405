"""What is never made again, as calls of an actor: what it was made of is forgotten when it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, strategies as st

from tests.scheduler.conftest import Driver
from trio_dask.messages import tasks as words
from trio_dask.scheduler.core import state as states

if TYPE_CHECKING:
    from collections.abc import Sequence

C, A, B = 1, 10, 11


@given(flying=st.lists(st.integers(1, 8), min_size=1, max_size=60))
def test_a_row_of_calls_is_forgotten_as_it_goes_on(flying: Sequence[int]) -> None:
    """Each has the one before it as an input, and one is always under way: only these are known."""
    cluster = Driver()
    first = cluster.client()
    cluster.worker(A)
    tid, done, submitted = first, 0, list[int]()
    for most in flying:
        while len(submitted) < done + most:
            before = [[submitted[-1]]] if submitted else [[]]
            submitted += cluster.submit(tid, [b"x"], before, once=True)
            if len(submitted) > 1:
                cluster.tell(C, words.Release([submitted[-2]]))
            tid += 1
        cluster.done(A, cluster.run_last(A))
        done += 1
        # One that is over is the input of the next.
        assert len(cluster.core.state.tasks) <= len(submitted) - done + 1
    while done < len(submitted):
        cluster.done(A, cluster.run_last(A))
        done += 1
    cluster.tell(C, words.Release(submitted[-1:]))
    assert not cluster.core.state.tasks


def test_it_is_not_made_again(cluster: Driver) -> None:
    """Where its value is lost, that is said; others are made again, with what they were made of."""
    first = cluster.client()
    cluster.worker(A)
    for at, once in ((0, False), (2, True)):
        tids = cluster.submit(first + at, [b"a", b"b"], [[], [first + at]], once=once)
        cluster.done(A, cluster.run_last(A), None)
        cluster.done(A, cluster.run_last(A), None)
        cluster.tell(C, words.Release(tids[:1]))
    cluster.heard(C)
    cluster.leave(A)
    (lost,) = (each for each in cluster.heard(C) if isinstance(each, words.Lost))
    assert lost.tids == [first + 3]
    assert cluster.core.state.tasks[first + 1].state == states.WAITING
    cluster.worker(B)
    cluster.done(B, cluster.run_last(B))
    cluster.done(B, cluster.run_last(B))
    assert cluster.core.state.tasks[first + 1].state == states.DONE
