"""What a type checker knows of calls: read by mypy, and run as well."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any, assert_type

from trio_dask import (
    AsyncClient,
    AsyncFuture,
    AsyncLocalCluster,
    Client,
    Future,
    LocalCluster,
    as_completed,
    fire_and_forget,
)


def length(text: str) -> int:
    """A plain function."""
    return len(text)


async def later(text: str) -> float:
    """A coroutine function: what it gives counts."""
    return float(len(text))


class Adder:
    """With methods of both kinds."""

    def __init__(self, more: int) -> None:
        self.more = more

    def add(self, number: int) -> int:
        """At once."""
        return number + self.more

    async def add_later(self, number: int) -> float:
        """When it is time."""
        return float(number + self.more)


def test_blocking() -> None:
    """Futures, and what comes of them."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False) as cluster,
        Client(cluster) as client,
    ):
        one = assert_type(client.submit(length, "abc"), Future[int])
        assert assert_type(one.result(), int) == 3
        other = assert_type(client.submit(later, "abc", priority=3), Future[float])
        assert assert_type(other.result(), float) == 3.0
        many = assert_type(client.map(length, ["a", "bc"]), list[Future[int]])
        assert assert_type(client.gather(many), list[int]) == [1, 2]
        more = assert_type(client.map(later, ["a", "bc"], key="later"), list[Future[float]])
        assert assert_type(client.gather(more, errors="skip"), list[float]) == [1.0, 2.0]
        assert assert_type(client.call(later, "ab"), float) == 2.0
        assert assert_type(client.gather({"a": one}), dict[str, int]) == {"a": 3}
        assert assert_type(client.gather({other}), set[float]) == {3.0}
        assert assert_type(client.gather(one), int) == 3
        assert assert_type(client.gather(iter(many)), list[int]) == [1, 2]
        assert assert_type(client.gather([many, {"b": more}]), Any) == [[1, 2], {"b": [1.0, 2.0]}]
        assert assert_type(client.gather(many, errors="return"), Any) == [1, 2]


def test_what_is_scattered() -> None:
    """Futures in the shape of the values."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False) as cluster,
        Client(cluster) as client,
    ):
        assert assert_type(client.scatter([1, 2]), list[Future[int]])[1].result() == 2
        assert assert_type(client.scatter((1, 2)), tuple[Future[int], ...])[0].result() == 1
        assert (
            assert_type(client.scatter({"a": 1.5}), dict[str, Future[float]])["a"].result() == 1.5
        )
        assert len(assert_type(client.scatter({1, 2}), set[Future[int]])) == 2
        assert assert_type(client.scatter("text", broadcast=True), Future[str]).result() == "text"


def test_all_that_can_be_called() -> None:
    """Builtin functions, classes, methods, partial functions, lambdas: none gives `Never`."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False) as cluster,
        Client(cluster) as client,
    ):
        adder = Adder(2)
        assert assert_type(client.submit(Adder, 1), Future[Adder]).result().more == 1
        assert assert_type(client.submit(adder.add, 1), Future[int]).result() == 3
        assert assert_type(client.submit(adder.add_later, 1), Future[float]).result() == 3.0
        assert assert_type(client.submit(partial(length, "ab")), Future[int]).result() == 2
        assert assert_type(client.submit(partial(later, "ab")), Future[float]).result() == 2.0
        assert assert_type(client.submit(int, "3"), Future[int]).result() == 3
        assert assert_type(client.submit(lambda: "x"), Future[str]).result() == "x"
        numbers = client.map(length, ["a", "bc"])
        total: int = client.submit(sum, numbers).result()
        most: int = client.submit(max, numbers).result()
        assert (total, most) == (3, 2)


def test_one_after_the_other() -> None:
    """Futures, or pairs of future and value."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False) as cluster,
        Client(cluster) as client,
    ):
        many = client.map(length, ["a", "bc"])
        alone = assert_type(as_completed(many), as_completed[Future[int]])
        assert sum(assert_type(each, Future[int]).result() for each in alone) == 3
        pairs = assert_type(
            iter(as_completed(many, with_results=True)), Iterator[tuple[Future[int], int]]
        )
        assert sum(assert_type(value, int) for _, value in pairs) == 3
        odd = as_completed(many, with_results=True, raise_errors=False)
        assert sum(assert_type(value, Any) for _, value in odd) == 3
        fire_and_forget(many)
        fire_and_forget(many[0])


def test_scopes() -> None:
    """The same in a scope."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False) as cluster,
        Client(cluster) as client,
    ):
        with client.scope() as scope:
            one = assert_type(scope.submit(later, "abc"), Future[float])
            many = assert_type(scope.map(length, ["a", "bc"]), list[Future[int]])
        assert (one.result(), client.gather(many)) == (3.0, [1, 2])


async def test_awaiting() -> None:
    """The same, awaited."""
    async with (
        AsyncLocalCluster(n_workers=1, threads_per_worker=1, processes=False) as cluster,
        AsyncClient(cluster) as client,
    ):
        one = assert_type(client.submit(length, "abc"), AsyncFuture[int])
        assert assert_type(await one, int) == 3
        assert assert_type(await client.call(length, "ab"), int) == 2
        assert assert_type(await client.call(later, "ab"), float) == 2.0
        other = assert_type(client.submit(later, "abc"), AsyncFuture[float])
        scattered = assert_type(await client.scatter([1, 2]), list[AsyncFuture[int]])
        assert assert_type(await client.gather(scattered), list[int]) == [1, 2]
        assert assert_type(await client.gather([other]), list[float]) == [3.0]
        assert assert_type(await client.gather({"a": one}), dict[str, int]) == {"a": 3}
        many = assert_type(client.map(later, ["a"]), list[AsyncFuture[float]])
        async for future in as_completed(many):
            assert assert_type(await future, float) == 1.0
        pairs = as_completed(many, with_results=True)
        steps = assert_type(aiter(pairs), AsyncIterator[tuple[AsyncFuture[float], float]])
        assert [value async for _, value in steps] == [1.0]
        async with client.scope() as scope:
            task = scope.submit(later, "a")
        assert await assert_type(task, AsyncFuture[float]) == 1.0
