"""Bars that show how far tasks are."""

from __future__ import annotations

import io
import operator
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from trio_dask import AsyncClient, AsyncFuture, Client, Future, LocalCluster, progress

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """A client of a cluster in this process."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False) as cluster,
        Client(cluster) as made,
    ):
        yield made


def terminal() -> Console:
    """One that keeps what is written."""
    return Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)


def shown(console: Console) -> str:
    """What was written."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_bar_for_each_name(client: Client) -> None:
    """They end full; what has failed is counted, not raised."""
    console = terminal()
    futures: list[Future[int]] = client.map(abs, range(5))
    bad = client.submit(operator.floordiv, 1, 0)
    progress(futures, bad, futures[0], console=console)
    assert all(future.done() for future in futures)
    text = shown(console)
    assert "5/5" in text
    assert "abs" in text
    assert "1 failed" in text


def test_where_there_is_no_terminal(client: Client) -> None:
    """It waits, and writes the end of it; nothing to wait for is fine."""
    file = io.StringIO()
    future: Future[int] = client.submit(abs, -1, key="one")
    progress(future, console=Console(file=file, width=80))
    assert future.done()
    assert "1/1" in file.getvalue()
    progress()
    progress([])


@pytest.mark.anyio
async def test_with_await(client: Client) -> None:
    """Futures of the other client."""
    console = terminal()
    async with AsyncClient(client.scheduler_address) as other:
        futures: list[AsyncFuture[int]] = other.map(abs, range(3))
        await progress(futures, console=console)
        assert all(future.done() for future in futures)
        nothing: list[AsyncFuture[int]] = []
        await progress(nothing, console=console)
    assert "3/3" in shown(console)
