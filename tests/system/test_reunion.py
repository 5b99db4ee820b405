"""Connections and schedulers that are lost, and found again: futures notice nothing."""

from __future__ import annotations

import signal
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import dask
import numpy as np
import psutil
import pytest
import trio

from tests.system.conftest import open_cluster
from trio_dask.client import AsyncClient, AsyncFuture
from trio_dask.errors import SchedulerUnreachable

if TYPE_CHECKING:
    from tests.system.conftest import Cluster, Command

#: Workers that have one slot each, and say soon that they live.
WORKERS = ("--nthreads", "1")


def note(path: str, number: int) -> int:
    """A task whose every run leaves a line in a file."""
    with open(path, "a", encoding="utf-8") as file:  # noqa: PTH123
        file.write(f"{number}\n")
    time.sleep(0.01)
    return number * number


def array(number: int) -> np.ndarray:
    """A value that stays in the runner."""
    return np.full(10_000, number)


def gate(path: str) -> str:
    """A task that ends when there is such a file."""
    while not Path(path).exists():
        time.sleep(0.01)
    return "through"


def total(*parts: object) -> int:
    """A task with inputs."""
    return sum(int(np.asarray(part).sum()) for part in parts)


def after(_: str, part: np.ndarray) -> int:
    """A task that waits for another."""
    return int(part.sum())


def scheduler_again(cluster: Cluster) -> Command:
    """Another scheduler in the place of one that was killed."""
    port = cluster.address.rpartition(":")[2]
    cluster.scheduler = cluster.command("scheduler", "--host", "127.0.0.1", "--port", port)
    cluster.scheduler.wait_for("Scheduler at:")
    return cluster.scheduler


async def test_the_scheduler_is_killed_in_the_middle_of_a_map(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Every result is right; what had come to the client or was held ran once."""
    worker = cluster.workers(2, *WORKERS)
    notes = str(tmp_path / "notes")
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        held = client.map(array, range(10))
        (scattered,) = await client.scatter([np.arange(1000)])
        futures = client.map(note, [notes] * 300, range(300))
        sums = [client.submit(total, each, futures[-1], scattered) for each in held]
        await futures[100]
        known = [number for number, each in enumerate(futures) if each.done()]
        cluster.scheduler.end(signal.SIGKILL)
        scheduler_again(cluster)
        assert await client.gather(futures) == [number * number for number in range(300)]
        expected = [10_000 * n + 299 * 299 + 499_500 for n in range(10)]
        assert await client.gather(sums) == expected
        runs = Path(notes).read_text(encoding="utf-8").split()
        assert [n for n in known if runs.count(str(n)) != 1] == []
        assert (await client.scheduler_info())["epoch"] == 2
        assert await client.submit(total, 1, 2) == 3
    assert worker.end() == 0


async def test_a_task_that_runs_is_adopted(cluster: Cluster, tmp_path: Path) -> None:
    """It goes on while there is no scheduler, and its result is what its future gets."""
    cluster.workers(1, *WORKERS)
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        await client.submit(total, 1)
        future = client.submit(gate, str(tmp_path / "open"))
        while True:
            if (await client.scheduler_info())["workers"]:
                break
            await trio.lowlevel.checkpoint()
        cluster.scheduler.end(signal.SIGKILL)
        scheduler_again(cluster)
        (tmp_path / "open").touch()
        assert await future == "through"


async def test_no_scheduler_comes(cluster: Cluster) -> None:
    """Clients and workers are told, and leave; nobody hangs."""
    port = cluster.address.rpartition(":")[2]
    worker = cluster.command("worker", f"127.0.0.1:{port}", "--death-timeout", "3s", *WORKERS)
    worker.wait_for("Registered to:")
    config = replace(cluster.config, client=replace(cluster.config.client, reconnect_s=0.5))
    async with AsyncClient(cluster.address, config=config) as client:
        future = client.submit(time.sleep, 60)
        await client.flush()
        cluster.scheduler.end(signal.SIGKILL)
        with pytest.raises(SchedulerUnreachable, match=r"was lost .*no scheduler answers"):
            await future
    assert worker.wait() == 1
    assert any("is not back after 3 s" in line for line in worker.lines)


@pytest.mark.parametrize("who", ["scheduler", "worker"])
async def test_a_process_stands_still(cluster: Cluster, who: str) -> None:
    """SIGSTOP and SIGCONT: everything goes on."""
    worker = cluster.workers(2, *WORKERS)
    command = cluster.scheduler if who == "scheduler" else worker
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        futures = client.map(total, range(2000))
        await futures[10]
        command.process.send_signal(signal.SIGSTOP)
        process = psutil.Process(command.process.pid)
        while True:
            if process.status() == psutil.STATUS_STOPPED:
                break
            await trio.lowlevel.checkpoint()
        command.process.send_signal(signal.SIGCONT)
        assert await client.gather(futures) == list(range(2000))


async def test_a_worker_stands_still_for_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given up and made up for; when it goes on, it is back with what it has."""
    monkeypatch.setenv("TRIO_DASK_SCHEDULER__WORKER_TTL", "2s")
    monkeypatch.setenv("TRIO_DASK_WORKER__HEARTBEAT", "0.2s")
    notes = str(tmp_path / "notes")
    with open_cluster() as cluster:
        stopped = cluster.workers(1, *WORKERS, "--name", "stopped")
        async with AsyncClient(cluster.address, config=cluster.config) as client:
            held = client.map(array, range(10))
            await client.gather(held)
            cluster.workers(1, *WORKERS)
            futures = client.map(note, [notes] * 200, range(200))
            await futures[20]
            stopped.process.send_signal(signal.SIGSTOP)
            try:
                while True:
                    if len(await client.nthreads()) == 1:
                        break
                    await trio.lowlevel.checkpoint()
                assert await client.gather(futures) == [number * number for number in range(200)]
            finally:
                stopped.process.send_signal(signal.SIGCONT)
            await client.wait_for_workers(2, timeout=20)
            sums = [client.submit(total, each, workers=["stopped"]) for each in held]
            assert await client.gather(sums) == [10_000 * number for number in range(10)]
        assert stopped.end() == 0


class Proxy:
    """Passes bytes on, until it is told to cut all connections."""

    def __init__(self, target: str) -> None:
        self._port = int(target.rpartition(":")[2])
        self._streams: list[trio.SocketStream] = []
        self.connections = 0

    async def run(self, *, task_status: trio.TaskStatus[str]) -> None:
        """Listen until cancelled."""
        async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            await stack.enter_async_context(listener)
            task_status.started(f"tcp://127.0.0.1:{listener.socket.getsockname()[1]}")
            await trio.serve_listeners(self._serve, [listener], handler_nursery=nursery)

    async def _serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        other = await trio.open_tcp_stream("127.0.0.1", self._port)
        self._streams += [stream, other]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pass_on, stream, other)
            nursery.start_soon(self._pass_on, other, stream)

    async def _pass_on(self, source: trio.SocketStream, target: trio.SocketStream) -> None:
        try:
            async for data in source:
                await target.send_all(data)
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            pass
        finally:
            await trio.aclose_forcefully(source)
            await trio.aclose_forcefully(target)

    async def cut(self) -> None:
        """All connections end, at both sides."""
        streams, self._streams = self._streams, []
        for stream in streams:
            await trio.aclose_forcefully(stream)


async def test_connections_are_cut(cluster: Cluster, tmp_path: Path) -> None:
    """Again and again, those of a client and of workers: each task runs once, all is right."""
    proxy = Proxy(cluster.address)
    notes = str(tmp_path / "notes")
    async with trio.open_nursery() as nursery:
        address = await nursery.start(proxy.run)
        worker = cluster.command("worker", address, "--nworkers", "2", *WORKERS)
        await trio.to_thread.run_sync(worker.wait_for, "Registered to:")
        await trio.to_thread.run_sync(worker.wait_for, "Registered to:")
        async with AsyncClient(address, config=cluster.config) as client:
            futures = client.map(note, [notes] * 400, range(400))
            for number in (50, 150, 250):
                future: AsyncFuture[int] = futures[number]
                await future
                await proxy.cut()
            assert await client.gather(futures) == [number * number for number in range(400)]
            assert len(Path(notes).read_text(encoding="utf-8").split()) == 400
            assert proxy.connections >= 12
        worker.process.send_signal(signal.SIGTERM)
        assert await trio.to_thread.run_sync(worker.wait) == 0
        nursery.cancel_scope.cancel()


async def test_who_comes_back_first_knows_whom_to_wait_for(cluster: Cluster) -> None:
    """Two workers and a client that have only just come; the client is the last to come back.

    Its loop stands still until both workers are there again: none of them was told of the client
    together with all others, as that is done now and then.
    """
    worker = cluster.workers(2, *WORKERS)
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        scattered = await client.scatter([np.arange(1000) + number for number in range(20)])
        cluster.scheduler.end(signal.SIGKILL)
        again = scheduler_again(cluster)
        for _ in range(2):
            again.wait_for("joined")
        sums = await client.gather([client.submit(total, each) for each in scattered])
        assert sums == [499_500 + 1000 * number for number in range(20)]
    assert worker.end() == 0


async def test_what_only_tasks_need_outlives_the_scheduler(
    cluster: Cluster, tmp_path: Path
) -> None:
    """A value that was scattered and let go of, one too large to travel with the task, a graph."""
    cluster.workers(2, *WORKERS)
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        (scattered,) = await client.scatter([np.arange(1000)])
        through = client.submit(gate, str(tmp_path / "open"))
        one = client.submit(after, through, scattered)
        large = client.submit(after, through, np.ones(3_000_000))
        graph = dask.delayed(after)(through, dask.delayed(np.arange)(100))
        computed = client.compute(graph)
        del scattered
        await client.flush()
        cluster.scheduler.end(signal.SIGKILL)
        scheduler_again(cluster)
        (tmp_path / "open").touch()
        assert await client.gather([one, large, computed]) == [499_500, 3_000_000, 4950]
