"""`future.type`: the class of a value, for both clients, without the value where that is large."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from trio_dask import AsyncClient, Client, LocalCluster

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.network

LARGE = 1 << 20


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A worker in this process."""
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False) as made:
        yield made


class Heavy:
    """A large value that must not travel: unpickling it is an error."""

    def __init__(self) -> None:
        self.data = [str(n) for n in range(LARGE // 8)]

    def __setstate__(self, state: object) -> None:
        raise RuntimeError("it was to stay where it is")


def fails() -> None:
    """It does not end well."""
    raise LookupError


def test_of_what_is_done(cluster: LocalCluster) -> None:
    """Small, large, nothing; what has failed has none."""
    with Client(cluster) as client:
        for value, kind in [(1, int), ("text", str), (None, type(None)), (bytes(LARGE), bytes)]:
            future = client.submit(lambda each: each, value)
            future.result()
            assert future.type is kind
        failed = client.submit(fails)
        failed.exception()
        assert failed.type is None
        stopped = client.submit(pow, 2, 2)
        stopped.release()
        assert stopped.type is None
        [scattered] = client.scatter([bytearray(LARGE)])
        assert scattered.type is bytearray


def test_of_what_is_not_done_yet(cluster: LocalCluster) -> None:
    """Nothing is waited for."""
    let_go = threading.Event()
    WAITING["gate"] = let_go
    with Client(cluster) as client:
        running = client.submit(waits, key="waits-for-a-gate")
        assert running.type is None
        let_go.set()
        assert running.result() is True
        assert running.type is bool


WAITING: dict[str, threading.Event] = {}


def waits() -> bool:
    """Until the test says so: it is in the same process."""
    from tests.client import test_kinds

    return test_kinds.WAITING["gate"].wait(60)


def test_a_large_value_stays_where_it_is(cluster: LocalCluster) -> None:
    """Only its class comes."""
    with Client(cluster) as client:
        future = client.submit(Heavy, key="heavy")
        assert future.exception() is None
        kind = future.type
        assert kind is not None
        assert kind.__name__ == "Heavy"
        with pytest.raises(Exception, match="it was to stay where it is"):
            future.result()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_awaited(cluster: LocalCluster, anyio_backend: str) -> None:
    """The same."""
    async with AsyncClient(cluster.scheduler_address) as client:
        small, large = client.submit(float, 1), client.submit(bytes, LARGE)
        await client.gather([small, large])
        assert await small.type is float
        assert await large.type is bytes
        failed = client.submit(fails)
        assert await failed.exception()
        assert await failed.type is None
