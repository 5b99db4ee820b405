"""The graph of functions and tasks: bounded in what is told, and in what is done at once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.dashboard.test_view import Watched, graph_of
from trio_dask.messages import tasks as words
from trio_dask.scheduler.observing import graph as made
from trio_dask.scheduler.observing.describing import task_name


def with_functions(count: int, sizes: list[int]) -> Watched:
    """A cluster with so many functions, of each so many tasks; each takes the one before."""
    cluster = Watched()
    first = cluster.client()
    fids = [first + (1 << 20) + at for at in range(count)]
    names = [f"function-{at}" for at in range(count)]
    cluster.tell(1, words.Functions(fids, names, [b"code"] * count))
    before = 0
    for fid, size in zip(fids, sizes, strict=True):
        counts, deps = ([1] * size, [before] * size) if before else ([], [])
        args = [b"x"] * size
        cluster.tell(
            1, words.Submit(first, [fid], args, counts, deps, [], [], wanted=True, options={})
        )
        before = first
        first += size
    while cluster.core.busy:
        cluster.core.work(8)
    return cluster


def test_of_very_many_functions_the_largest_are_told() -> None:
    """The others are one; no task and no value between them is lost from the count."""
    more = 300
    sizes = [2 if at % 3 == 1 else 1 for at in range(made.GROUPS_MAX + more)]
    cluster = with_functions(len(sizes), sizes)
    graph = graph_of(cluster)
    told = {each["name"] for each in graph["groups"]}
    assert len(told) == made.GROUPS_MAX
    assert {f"function-{at}" for at, size in enumerate(sizes) if size == 2} <= told
    assert graph["others"]["groups"] == more
    states = [*(each["states"] for each in graph["groups"]), graph["others"]["states"]]
    assert sum(sum(each.values()) for each in states) == graph["count"] == sum(sizes)
    assert sum(count for _, _, count in graph["edges"]) == sum(sizes[1:])
    named = {end for one, other, _ in graph["edges"] for end in (one, other)}
    assert named == told | {None}
    assert graph["edges_left_out"] == 0
    assert graph == graph_of(cluster)
    json.dumps(graph)


def test_the_ways_with_the_most_values_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """And how many others there are."""
    monkeypatch.setattr(made, "EDGES_MAX", 2)
    graph = graph_of(with_functions(4, [1, 5, 1, 7]))
    assert graph["edges"] == [
        ["function-0", "function-1", 5],
        ["function-2", "function-3", 7],
    ]
    assert graph["edges_left_out"] == 1


def test_lines_between_tasks_have_a_bound(
    cluster: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left out is counted."""
    monkeypatch.setattr(made, "LINKS_MAX", 3)
    first = cluster.client()
    cluster.submit(first, [b"x"] * 4, [[], [first], [first], [first, first + 1, first + 2]])
    graph = graph_of(cluster, limit=9)
    assert len(graph["links"]) == 3
    assert graph["links_left_out"] == 2


@pytest.mark.parametrize("what", [{}, {"limit": 5000}, {"limit": 5000, "name": "inc"}])
def test_a_slice_is_bounded_by_inputs(
    cluster: Watched, monkeypatch: pytest.MonkeyPatch, what: dict[str, Any]
) -> None:
    """A single task with very many of them is looked at in parts, and so are many with many."""
    size, seen, most = 20, 0, 0

    def looked(task: Any) -> str:
        nonlocal seen
        seen += 1
        return task_name(task)

    monkeypatch.setattr(made, "SLICE", size)
    monkeypatch.setattr(made, "task_name", looked)
    first = cluster.client()
    wide = list(range(first, first + 300))
    cluster.submit(first, [b"x"] * 340, [*([[]] * 300), *([wide] * 40)])
    for _ in cluster.view.graph(**what):
        most, seen = max(most, seen), 0
    assert 0 < most <= 3 * size


def test_what_is_beside_a_function_stops_at_the_bound(cluster: Watched) -> None:
    """One task of it with more inputs than may be told is too much, and the others are not asked."""
    first = cluster.client()
    cluster.submit(first, [b"x"] * 101, [*([[]] * 100), list(range(first, first + 100))])
    graph = graph_of(cluster, limit=50, name="inc")
    assert not graph["complete"]
    assert "tasks" not in graph
    assert graph["edges"] == [["inc", "inc", 100]]


@pytest.fixture
def cluster() -> Watched:
    """A watched core with nobody there."""
    return Watched()
