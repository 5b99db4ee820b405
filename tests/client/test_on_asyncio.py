"""Coroutine functions that want asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from trio_dask import AsyncClient, Client, LocalCluster, TaskTimeout, get_worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module", params=[False, pytest.param(True, marks=pytest.mark.processes)])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client of a cluster in this process, and of one in others."""
    with (
        LocalCluster(1, 2, processes=request.param, dashboard_address=None) as cluster,
        Client(cluster) as made,
    ):
        yield made


async def double(number: int, *, more: int = 0) -> int:
    """What only asyncio can run."""
    ready = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(ready.set_result, number)
    return int(await asyncio.wait_for(ready, 30)) * 2 + more


async def fail() -> None:
    """An error after a step."""
    await double(1)
    raise LookupError("not there")


async def wait(path: str) -> None:
    """It waits for ever, and says when it is stopped, and by what."""
    from pathlib import Path

    try:
        Path(path, "begun").touch()
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        Path(path, "stopped").write_text(get_worker().key)
        raise


def plain(number: int) -> int:
    """No coroutine function."""
    return number + 1


def test_values_and_errors(client: Client) -> None:
    """As those of any other task; names and pure keys, too."""
    future = client.submit(double, 4, more=1, executor="asyncio")
    assert future.result() == 9
    assert future.key.startswith("double-")
    assert client.gather(client.map(double, range(20), executor="asyncio")) == list(range(0, 40, 2))
    assert client.submit(plain, future, executor="asyncio").result() == 10
    same = [client.submit(double, 1, executor="asyncio", pure=True) for _ in range(2)]
    assert same[0].key == same[1].key
    error = client.submit(fail, executor="asyncio").exception()
    assert isinstance(error, LookupError)
    with client.scope() as scope:
        inside = scope.submit(double, 2, executor="asyncio")
    assert inside.result() == 4
    with client.get_executor(executor="asyncio") as executor:
        found: Any = executor.submit(double, 3)
        assert found.result() == 6


def test_it_is_cancelled_as_asyncio_does(client: Client, tmp_path: Path) -> None:
    """While it waits, so that it can tidy up."""
    future = client.submit(wait, str(tmp_path), executor="asyncio", key="patient")
    while not (tmp_path / "begun").exists():
        pass
    future.cancel()
    assert future.cancelled()
    assert (tmp_path / "stopped").read_text() == "patient"


def test_it_has_no_more_time(client: Client, tmp_path: Path) -> None:
    """The same, by the clock."""
    future: Any = client.submit(wait, str(tmp_path), executor="asyncio", timeout=0.3)
    with pytest.raises(TaskTimeout):
        future.result()
    assert (tmp_path / "stopped").exists()


@pytest.mark.anyio
async def test_awaited(client: Client) -> None:
    """The other client has it, too."""
    async with AsyncClient(client.cluster or client.scheduler_address) as other:
        assert await other.submit(double, 4, executor="asyncio") == 8
        assert await other.call(double, 4, executor="asyncio") == 8
        assert await other.gather(other.map(double, [1], executor="asyncio")) == [2]
