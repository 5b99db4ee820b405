"""Real work on real processes, with the same code on Trio and on asyncio."""

from __future__ import annotations

import operator
import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from trio_dask.client import AsyncClient, AsyncFuture, as_completed, fire_and_forget
from trio_dask.errors import RemoteError, SubmitError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Cluster

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["trio", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Each test runs on both."""
    return str(request.param)


def inc(x: int) -> int:
    """One more."""
    return x + 1


async def test_a_map_and_its_sum(shared: Cluster) -> None:
    """Futures as inputs, in order and by value, over two workers."""
    async with AsyncClient(shared.address, config=shared.config) as client:
        futures = client.map(inc, range(2000))
        total: AsyncFuture[int] = client.submit(sum, futures)
        assert await client.gather(futures) == list(range(1, 2001))
        assert await total == sum(range(1, 2001))


async def test_a_tree(shared: Cluster) -> None:
    """Eleven levels of pairwise sums."""
    async with AsyncClient(shared.address, config=shared.config) as client:
        level = client.map(inc, range(1024))
        while len(level) > 1:
            level = client.map(operator.add, level[::2], level[1::2])
        assert await level[0] == sum(range(1, 1025))


async def test_large_values_move_between_workers(shared: Cluster) -> None:
    """Arrays made on one worker are summed on another, and gathered."""
    async with AsyncClient(shared.address, config=shared.config) as client:
        ones = [client.submit(np.full, 100_000, number) for number in range(8)]
        sums = [client.submit(lambda a, b: float((a + b).sum()), a, b) for a in ones for b in ones]
        expected = [100_000.0 * (a + b) for a in range(8) for b in range(8)]
        assert await client.gather(sums) == expected
        arrays = await client.gather(ones)
        assert [int(array[-1]) for array in arrays] == list(range(8))


async def test_scattered_and_large_arguments(shared: Cluster) -> None:
    """Values that clients bring go to workers, whatever their size."""
    big = np.arange(1_000_000)
    async with AsyncClient(shared.address, config=shared.config) as client:
        scattered = await client.scatter({"a": big, "b": 3})
        assert await client.submit(lambda a, b: int(a[b]), scattered["a"], scattered["b"]) == 3
        assert await client.submit(lambda array: int(array.sum()), big) == int(big.sum())


async def test_errors_come_back(shared: Cluster) -> None:
    """The original type where it can be rebuilt, with the remote traceback in the notes."""

    def divide(x: int) -> float:
        return 1 / x

    class Odd(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(f"{one} and {two}")

        def __reduce__(self) -> Any:
            raise TypeError("not for pickling")

    def odd() -> None:
        raise Odd(1, 2)

    async with AsyncClient(shared.address, config=shared.config) as client:
        with pytest.raises(ZeroDivisionError) as caught:
            await client.submit(divide, 0)
        assert "in divide" in "".join(caught.value.__notes__)
        dependent = client.submit(inc, client.submit(divide, 0))
        with pytest.raises(ZeroDivisionError):
            await dependent
        with pytest.raises(RemoteError, match="1 and 2"):
            await client.submit(odd)
        with pytest.raises(SubmitError, match="lock"):
            _ = client.submit(inc, threading.Lock())


async def test_async_functions_run_on_trio(shared: Cluster) -> None:
    """An `async def` task is awaited in the runner."""

    async def nap(x: int) -> int:
        import trio

        await trio.lowlevel.checkpoint()
        return x + 1

    async with AsyncClient(shared.address, config=shared.config) as client:
        assert await client.gather(client.map(nap, range(20))) == list(range(1, 21))


async def test_user_code_runs_in_no_server(shared: Cluster) -> None:
    """Tasks run in the runners: children of the worker, and nowhere else."""
    async with AsyncClient(shared.address, config=shared.config) as client:
        pids = set(await client.gather([client.submit(os.getpid) for _ in range(50)]))
        parents = set(await client.gather([client.submit(os.getppid) for _ in range(50)]))
        assert shared.scheduler.process.pid not in pids | parents
        assert len(parents) == 1
        assert not parents & pids


async def test_as_completed_and_fire_and_forget(shared: Cluster, tmp_path: Path) -> None:
    """Results in the order in which they come; and a task nobody waits for runs all the same."""
    mark = tmp_path / "mark"
    async with AsyncClient(shared.address, config=shared.config) as client:
        futures = client.map(inc, range(50))
        seen = [value async for _, value in as_completed(futures, with_results=True)]
        assert sorted(seen) == list(range(1, 51))
        touched = client.submit(mark.touch, key=str(mark))
        fire_and_forget(touched)
        touched.release()
        await client.flush()
        # A later task of one worker with one thread ends after the earlier ones have begun;
        # asking for the same key joins it, if it has not ended, and runs it again otherwise.
        await client.submit(mark.touch, key=str(mark))
        assert mark.exists()


async def test_cancel_before_the_start(shared: Cluster) -> None:
    """What has not begun does not run, and its future says so."""
    from trio_dask.errors import CancelledError

    async with AsyncClient(shared.address, config=shared.config) as client:
        blocked = client.submit(inc, 1, workers=["nobody has this name"])
        await client.cancel([blocked])
        with pytest.raises(CancelledError):
            await blocked
        assert blocked.cancelled()


async def test_the_books_are_empty_after_all_this(shared: Cluster) -> None:
    """Whatever the other tests did: no task is left, and no client but this one."""
    async with AsyncClient(shared.address, config=shared.config) as client:
        await client.flush()
        while (info := await client.scheduler_info())["tasks"]:
            pass  # the last of another client's is being let go of
        assert info["clients"] == 1
        assert info["n_workers"] == 2


async def test_what_cannot_be_pickled_is_used_where_it_is(shared: Cluster) -> None:
    """A lock made by a task: tasks that need it go to its runner; fetching it says what it is."""

    def hold(lock: Any, number: int) -> int:
        with lock:
            return number

    async with AsyncClient(shared.address, config=shared.config) as client:
        lock = client.submit(threading.Lock)
        futures = [client.submit(hold, lock, number) for number in range(100)]
        assert await client.gather(futures) == list(range(100))
        with pytest.raises(Exception, match="lock"):
            await lock
