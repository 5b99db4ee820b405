"""Tasks that start tasks, in real processes."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.system import nested_tasks as jobs
from trio_dask import AsyncClient, CancelledError, Client, Future, TaskError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.system.conftest import Cluster

pytestmark = pytest.mark.processes


@asynccontextmanager
async def alone(cluster: Cluster, *, nthreads: int = 1) -> AsyncIterator[AsyncClient]:
    """A client of a cluster with one worker, that has one slot if not more."""
    cluster.workers(1, "--nthreads", str(nthreads))
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        yield client
        await _quiet(client)


@pytest.mark.parametrize("fib", [jobs.fib, jobs.async_fib])
async def test_recursion_on_one_slot(cluster: Cluster, fib: Callable[[int], Any]) -> None:
    """A task that waits gives its slot to those it waits for."""
    async with alone(cluster) as client:
        assert await client.submit(fib, 9) == 34


@pytest.mark.parametrize("down", [jobs.down, jobs.async_down])
async def test_a_hundred_deep_on_one_slot(cluster: Cluster, down: Callable[[int], Any]) -> None:
    """All but the deepest wait."""
    async with alone(cluster) as client:
        assert await client.submit(down, 100) == 100


async def test_a_thousand_children(cluster: Cluster) -> None:
    """Of one parent, on the slot that it has left."""
    async with alone(cluster) as client:
        assert await client.submit(jobs.many, 1000) == 999_000


async def test_every_way_of_waiting(cluster: Cluster) -> None:
    """Each of them gives the slot up, or this would not end."""
    async with alone(cluster) as client:
        found = await client.submit(jobs.all_ways, 5)
        assert found == [5, 0, [0, 2, 4, 6, 8], 20, 6, "Scheduler"]


async def test_large_values(cluster: Cluster) -> None:
    """50 MB into a task from a child, wherever that ran, and from a task into a child."""
    cluster.workers(2, "--nthreads", "1")
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        n = 50_000_000 // 8
        assert await client.gather(client.map(jobs.gathers, [n, n, n])) == [n - 1] * 3
        assert await client.submit(jobs.passes_on, n) == n
        big = await client.scatter(np.ones(n))
        assert await client.submit(jobs.total_of, big) == n


@pytest.mark.parametrize("parent", [jobs.waits_for_ever, jobs.async_waits_for_ever])
async def test_a_cancelled_parent_takes_its_children_along(
    cluster: Cluster, parent: Callable[[str], Any], tmp_path: Path
) -> None:
    """It stops where it waits, and what only it wanted stops where it runs."""
    async with alone(cluster) as client:
        begun = tmp_path / "begun"
        future = client.submit(parent, str(begun))
        await _there(client, begun)
        await future.cancel()
        with pytest.raises(CancelledError):
            await future
        assert await client.submit(jobs.double, 4) == 8


async def test_a_killed_parent_runs_again(cluster: Cluster, tmp_path: Path) -> None:
    """Its process dies: the children it had are let go of, those of the next attempt count."""
    async with alone(cluster) as client:
        assert await client.submit(jobs.dies_once, str(tmp_path / "died"), 50) == 2450


async def test_futures_are_no_results(cluster: Cluster) -> None:
    """They end with their task; the error says what to do instead."""
    async with alone(cluster) as client:
        with pytest.raises(TaskError, match=r"returned the future double-.*result\(\)"):
            await client.submit(jobs.returns_futures)


async def test_fire_and_forget_inside(cluster: Cluster, tmp_path: Path) -> None:
    """What is nobody's any more runs to its end."""
    async with alone(cluster) as client:
        assert await client.submit(jobs.leaves_work_behind, str(tmp_path / "done")) == 1
        await _there(client, tmp_path / "done")


@pytest.mark.parametrize("aside", [jobs.steps_aside, jobs.async_steps_aside])
async def test_secede_and_rejoin(
    cluster: Cluster, aside: Callable[[str], Any], tmp_path: Path
) -> None:
    """The slot is for others until the task comes back to it."""
    async with alone(cluster) as client:
        gate = tmp_path / "open"
        future = client.submit(aside, str(gate))
        await client.submit(jobs.touch, str(gate))
        assert await future == future.key


@pytest.mark.parametrize("impatient", [jobs.impatient, jobs.async_impatient])
async def test_a_time_limit_holds_also_on_one_slot(
    cluster: Cluster, impatient: Callable[[str, str], Any], tmp_path: Path
) -> None:
    """Who does not wait any longer does not wait for its slot either."""
    async with alone(cluster) as client:
        paths = str(tmp_path / "begun"), str(tmp_path / "gate")
        assert await client.submit(impatient, *paths).result(timeout=60) == 9


async def test_a_child_that_does_not_stop_keeps_nobody(cluster: Cluster, tmp_path: Path) -> None:
    """Its parent goes on without it, and without the slot."""
    os.mkfifo(tmp_path / "fifo")
    async with alone(cluster) as client:
        future = client.submit(
            jobs.stops_the_deaf, str(tmp_path / "begun"), str(tmp_path / "fifo"), retries=0
        )
        assert await future.result(timeout=25) == "cancelled"


async def test_reschedule(cluster: Cluster, tmp_path: Path) -> None:
    """Run again, and no failure."""
    async with alone(cluster) as client:
        assert await client.submit(jobs.again, str(tmp_path / "once")) == 7


async def test_threads_of_a_task(cluster: Cluster) -> None:
    """They may use its client."""
    async with alone(cluster) as client:
        assert await client.submit(jobs.from_a_thread) == 16


async def test_a_scope_inside_a_task(cluster: Cluster, tmp_path: Path) -> None:
    """An error in it stops the others and comes out of the parent."""
    async with alone(cluster, nthreads=2) as client:
        with pytest.raises(ExceptionGroup) as caught:
            await client.submit(jobs.scope_of_failure, str(tmp_path / "begun"))
        assert [str(each) for each in caught.value.exceptions] == ["from below"]


def test_in_threads_of_one_process() -> None:
    """Where runners are threads of the program, each task has its own client all the same."""
    with Client(n_workers=1, threads_per_worker=1, processes=False) as client:
        assert client.submit(jobs.fib, 7).result() == 13
        future: Future[int] = client.submit(jobs.async_fib, 6)
        assert future.result() == 8
        assert Client.current() is client


async def _there(client: AsyncClient, path: Path) -> None:
    """Until the file is there."""
    while not path.exists():
        await client.nthreads()


async def _quiet(client: AsyncClient) -> None:
    """Until the scheduler knows no client but this one, and no task that is nobody's."""
    while (await client.scheduler_info())["clients"] > 1:
        pass
    counts = await client.live.ask("counts", {})
    while counts["ready"] or counts["assigned"] or counts["waiting"]:
        counts = await client.live.ask("counts", {})
