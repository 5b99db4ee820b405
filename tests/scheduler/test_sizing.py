"""How many workers a scheduler would like to have."""

from __future__ import annotations

from trio_dask.scheduler.core.state import ClusterState, CoreSettings
from trio_dask.scheduler.policies.sizing import answer, workers_wanted


def test_nothing_to_do_needs_nobody() -> None:
    """And odd questions are answered as if nothing had been said."""
    state = ClusterState(CoreSettings(), "cluster", 1)
    assert workers_wanted(state, target_s=5.0, threads=1) == 0
    for params in ({}, {"target_s": "x", "threads": -1}, {"target_s": True}, {"target_s": 0}):
        assert answer(state, params) == {"wanted": 0, "idle": 0, "here": 0}


class Task:
    """As much of a task as a queue looks at."""

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.queue = None


def waiting(count: int, seconds: float) -> ClusterState:
    """A cluster without workers, whose tasks take so long."""
    state = ClusterState(CoreSettings(), "cluster", 1)
    prefix = state.prefix("f")
    prefix.runs, prefix.seconds = 10, 10 * seconds
    for rank in range(count):
        state.anywhere.queue.push(Task(rank))  # type: ignore[arg-type]
    return state


def test_as_many_as_are_done_in_time() -> None:
    """A second of work for each of 100 in 5 s takes 20 slots; a blink takes one."""
    assert workers_wanted(waiting(100, 1.0), target_s=5.0, threads=1) == 20
    assert workers_wanted(waiting(100, 1.0), target_s=5.0, threads=4) == 5
    assert workers_wanted(waiting(100, 0.001), target_s=5.0, threads=1) == 1
    assert workers_wanted(waiting(3, 1000.0), target_s=5.0, threads=1) == 3
