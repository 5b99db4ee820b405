"""The graphs that are measured give what they say, on an executor of this process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from bench import graphs
from bench.clients import Pool
from bench.ray import RayClient

if TYPE_CHECKING:
    from collections.abc import Callable

GRAPHS = {
    "map": graphs.noop_map(50),
    "chains": graphs.chains(4, 7),
    "tree": graphs.tree(16),
    "merge": graphs.merge(20),
    "crossbar": graphs.crossbar(5),
    "texts": graphs.texts(10),
    "dozes": graphs.dozes(3, 0.0),
}


class Counting(Pool):
    """Counts what is submitted."""

    tasks = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Any:
        """One more."""
        self.tasks += 1
        return super().submit(fn, *args)


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_a_graph_gives_what_it_says(graph: graphs.Graph) -> None:
    """The values are the expected ones, and there are as many tasks as it counts."""
    with ThreadPoolExecutor(2) as executor:
        client = Counting(executor)
        assert client.run(graph.build) == graph.expected
    assert client.tasks == graph.tasks


class FakeRay:
    """Runs what is remote at once. As with Ray, references in a list are not followed."""

    class Ref:
        """Stands for a value."""

        def __init__(self, value: Any) -> None:
            self.value = value

    def remote(self, fn: Callable[..., Any]) -> Any:
        """A function as Ray has it."""

        def call(*args: Any) -> Any:
            assert not any(isinstance(arg, list) and self.refs_in(arg) for arg in args)
            return self.Ref(fn(*(arg.value if isinstance(arg, self.Ref) else arg for arg in args)))

        return SimpleNamespace(remote=call)

    def refs_in(self, values: list[Any]) -> bool:
        """Whether there are any."""
        return any(isinstance(each, self.Ref) for each in values)

    def get(self, refs: list[Any]) -> list[Any]:
        """Their values."""
        return [ref.value for ref in refs]


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_ray_is_given_the_same_graphs(graph: graphs.Graph) -> None:
    """Also those with lists of futures."""
    assert RayClient(FakeRay()).run(graph.build) == graph.expected


def test_results_are_told_apart() -> None:
    """No two of the larger values are the same, nor is any of them short."""
    texts = graphs.texts(100).expected
    assert len(set(texts)) == 100
    assert {len(text) for text in texts} == {1000}


def test_a_task_is_held_while_the_file_is_there(tmp_path: Any) -> None:
    """And not a moment longer than it takes to look."""
    held = tmp_path / "held"
    held.touch()
    with ThreadPoolExecutor(1) as executor:
        task = executor.submit(graphs.hold, str(held))
        assert not task.done()
        held.unlink()
        assert task.result(timeout=10) == 0


def test_an_error_reaches_who_asked() -> None:
    """Also when it happens in a task whose value is an input of others."""

    def fail(_: Any) -> int:
        raise ValueError("on purpose")

    with ThreadPoolExecutor(1) as executor:
        client = Pool(executor)
        later = client.submit(graphs.inc, client.submit(graphs.total, [client.submit(fail, 0)]))
        with pytest.raises(ValueError, match="on purpose"):
            client.gather([later])


def test_one_by_one_times_each() -> None:
    """As many figures as tasks, each of them more than nothing."""
    with ThreadPoolExecutor(1) as executor:
        seconds = Pool(executor).one_by_one(5)
    assert len(seconds) == 5
    assert min(seconds) > 0
