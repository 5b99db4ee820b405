"""What a type checker knows of calls: read by mypy, and run as well."""

from __future__ import annotations

from typing import assert_type

from trio_dask import AsyncClient, AsyncFuture, AsyncLocalCluster, Client, Future, LocalCluster


def length(text: str) -> int:
    """A plain function."""
    return len(text)


async def later(text: str) -> float:
    """A coroutine function: what it gives counts."""
    return float(len(text))


def test_blocking() -> None:
    """Futures, and what comes of them."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False) as cluster,
        Client(cluster) as client,
    ):
        one = assert_type(client.submit(length, "abc"), Future[int])
        assert assert_type(one.result(), int) == 3
        many = assert_type(client.map(length, ["a", "bc"]), list[Future[int]])
        assert client.gather(many) == [1, 2]


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
