"""Clusters grow, shrink, heal, and say when they cannot."""

from __future__ import annotations

import logging
from typing import Any

import psutil
import pytest
import trio

from trio_dask import AsyncClient, AsyncFuture, AsyncLocalCluster, LocalCluster
from trio_dask.deploy import ClusterHandle, open_local_cluster, outside
from trio_dask.errors import ConfigError, SchedulerUnreachable

pytestmark = [pytest.mark.processes, pytest.mark.network]


def server(kind: str) -> psutil.Process:
    """The scheduler's or the workers' process."""
    for each in psutil.Process().children():
        if each.is_running() and kind in each.cmdline()[:5]:
            return each
    raise AssertionError(kind)


async def changed(handle: ClusterHandle) -> None:
    """Wait until the handle knows more."""
    await handle._changed.wait()


@pytest.mark.parametrize("processes", [True, False])
def test_it_grows_and_shrinks(processes: bool) -> None:
    """At once as far as the caller sees, and one can wait for it."""
    with LocalCluster(1, 1, processes=processes) as cluster:
        assert list(cluster.workers) == ["local-0"]
        cluster.scale(3)
        cluster.wait_for_workers()
        assert list(cluster.workers) == ["local-0", "local-1", "local-2"]
        assert len(set(cluster.workers.values())) == 3
        cluster.scale(1)
        cluster.wait_for_workers()
        assert list(cluster.workers) == ["local-0"]
        cluster.scale(0)
        cluster.wait_for_workers()
        assert "workers=0, threads=0, status='running'" in repr(cluster)
        cluster.scale(1)
        cluster.wait_for_workers(1)
        assert cluster.n_workers == 1


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_the_async_one_does_too(anyio_backend: str) -> None:
    """And tasks run on what has come."""
    async with AsyncLocalCluster(0, 1, processes=False, name="x") as cluster:
        async with AsyncClient(cluster) as client:
            future: AsyncFuture[int] = client.submit(pow, 2, 3)
            await cluster.scale(2)
            await cluster.wait_for_workers()
            assert list(cluster.workers) == ["x-0", "x-1"]
            assert await future == 8


@pytest.mark.parametrize("wrong", [-1, 1.5, "2", True])
def test_nonsense_is_refused(wrong: Any) -> None:
    """In the caller's thread, where it can be seen."""
    with LocalCluster(0, 1, processes=False) as cluster:
        with pytest.raises(ConfigError, match="a whole number of at least 0"):
            cluster.scale(wrong)
        with pytest.raises(ConfigError, match="one of n, jobs, cores and memory"):
            cluster.scale(None)
        with pytest.raises(TimeoutError, match=r"0 workers after 0.01 s, instead of 3"):
            cluster.wait_for_workers(3, timeout=0.01)


async def test_a_worker_process_that_dies_is_started_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The cluster heals: as many workers as before, and tasks go on."""
    async with open_local_cluster(2, 1) as cluster, AsyncClient(cluster) as client:
        assert await client.submit(pow, 2, 3) == 8
        server("worker").kill()
        while cluster.workers:
            await changed(cluster)
        assert await client.submit(pow, 2, 4) == 16
        await cluster.wait_for_workers()
        assert list(cluster.workers) == ["local-0", "local-1"]
        assert cluster.status == "running"
    assert "(killed by SIGKILL): it said nothing; starting another" in caplog.text


async def test_what_was_asked_for_meanwhile_is_not_forgotten() -> None:
    """The next worker process has as many workers as there shall be then."""
    async with open_local_cluster(1, 1) as cluster:
        server("worker").kill()
        while cluster.workers:
            await changed(cluster)
        cluster.scale(2)
        await cluster.wait_for_workers()
        assert len(cluster.workers) == 2


async def test_without_hope_it_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After so many starts in vain, with longer and longer breaks."""
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(outside, "RESTART_S", 0.001)
    async with open_local_cluster(1, 1) as cluster:
        monkeypatch.setattr("sys.executable", "/bin/false")
        server("worker").kill()
        why = await cluster.wait_broken()
        assert why == "the worker did not start (exit code 1): it said nothing"
        assert cluster.status == f"failed: {why}"
        assert "in 0.001 s" in caplog.text
        assert "in 0.016 s" in caplog.text
        with pytest.raises(SchedulerUnreachable, match="worker did not start"):
            await cluster.wait_for_workers()


def test_without_its_scheduler_it_has_failed(caplog: pytest.LogCaptureFixture) -> None:
    """It says so and why; it can still be closed."""
    with LocalCluster(1, 1) as cluster:
        server("scheduler").kill()
        with pytest.raises(SchedulerUnreachable, match="scheduler has ended"):
            cluster.wait_for_workers(99)
        assert cluster.status == (
            "failed: the scheduler has ended by itself (killed by SIGKILL): it said nothing"
        )
        assert cluster.n_workers == 0
        assert "status='failed: the scheduler" in repr(cluster)
    assert cluster.status == "closed"
    assert "Cluster local has failed" in caplog.text
    assert "starting another" not in caplog.text


def test_without_descriptors_a_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which server, and why."""

    async def full(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(trio.lowlevel, "open_process", full)
    with pytest.raises(
        SchedulerUnreachable, match="scheduler cannot be started: Too many open files"
    ):
        LocalCluster(1, 1)


@pytest.mark.parametrize("processes", [True, False])
def test_a_busy_port_is_named(processes: bool) -> None:
    """Whoever chose it knows what to change."""
    with LocalCluster(0, 1, processes=False) as first:
        port = int(first.scheduler_address.rpartition(":")[2])
        with pytest.raises(SchedulerUnreachable, match=rf"{port}.*in use"):
            LocalCluster(0, 1, processes=processes, scheduler_port=port)
