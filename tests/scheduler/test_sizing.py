"""How many workers a scheduler would like to have."""

from __future__ import annotations

from trio_dask.messages.session import Answer, Ask
from trio_dask.scheduler.core.settings import CoreSettings
from trio_dask.scheduler.core.state import Client, ClusterState
from trio_dask.scheduler.policies.sizing import answer, on_adapting, workers_wanted


def test_nothing_to_do_needs_nobody() -> None:
    """And odd questions are answered as if nothing had been said."""
    state = ClusterState(CoreSettings(), "cluster", 1)
    assert workers_wanted(state, target_s=5.0, threads=1) == 0
    for params in ({}, {"target_s": "x", "threads": -1}, {"target_s": True}, {"target_s": 0}):
        assert answer(state, params) == {"wanted": 0, "idle": 0, "here": 0, "adapting": None}


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


class Out:
    """What somebody is told."""

    def __init__(self) -> None:
        self.told: list[Answer] = []
        self.add = self.told.append


def test_the_bounds_are_known_as_long_as_somebody_keeps_them() -> None:
    """They go with the client that has said them, and with nobody else of its number."""
    state = ClusterState(CoreSettings(), "cluster", 1)
    keeper = state.clients[7] = Client(7, 7, "adaptive", Out())  # type: ignore[arg-type]
    for wrong in ({}, {"minimum": "1"}, {"minimum": 1, "maximum": 2.5}, {"minimum": True}):
        said = on_adapting(state, keeper, Ask(1, "adapting", wrong))
        assert said is not None
        assert "whole numbers" in said
        assert answer(state, {})["adapting"] is None
    for most in (5, None):
        bounds = {"minimum": 1, "maximum": most}
        assert on_adapting(state, keeper, Ask(1, "adapting", bounds)) is None
        assert answer(state, {})["adapting"] == bounds
    assert keeper.out.told == [Answer(1, ok=True, data={})] * 2  # type: ignore[attr-defined]
    state.clients[7] = Client(7, 7, "another", keeper.out)
    assert answer(state, {})["adapting"] is None
    del state.clients[7]
    assert answer(state, {})["adapting"] is None
