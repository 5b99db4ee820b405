"""Clusters as objects: made, used, closed in every way; nothing is left."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import threading

import anyio
import anyio.lowlevel
import psutil
import pytest

from trio_dask import AsyncClient, AsyncLocalCluster, LocalCluster
from trio_dask.errors import SchedulerUnreachable

pytestmark = [pytest.mark.processes, pytest.mark.network]


def family() -> set[psutil.Process]:
    """This process's children, and theirs."""
    return set(psutil.Process().children(recursive=True))


def cluster_threads() -> list[str]:
    """The loops of clusters that run."""
    return [each.name for each in threading.enumerate() if each.name.startswith("cluster")]


def test_a_blocking_cluster_is_there_when_it_is_made() -> None:
    """And gone when it is closed, which may be done again."""
    before = family()
    cluster = LocalCluster(2, 1)
    assert cluster.status == "running"
    assert cluster.n_workers == 2
    assert len(family() - before) == 4
    assert re.fullmatch(
        r"LocalCluster\('local', 'tcp://127.0.0.1:\d+', workers=2, threads=2, status='running'\)",
        repr(cluster),
    )
    assert cluster.token not in repr(cluster)
    with cluster.get_client(timeout="5s") as client:
        assert client.submit(pow, 2, 10).result() == 1024
    cluster.close()
    assert (cluster.status, cluster.workers) == ("closed", {})
    with pytest.raises(RuntimeError, match=r"status='closed'\) is closed: there is nothing"):
        cluster.get_client()
    cluster.close()
    assert family() == before
    assert cluster_threads() == []


def test_what_a_cluster_has_logged() -> None:
    """A text for the scheduler and for each worker, or for those that are asked for."""
    with LocalCluster(2, 1) as cluster:
        addresses = sorted(cluster.workers.values())
        found = cluster.get_logs()
        assert sorted(found) == sorted(["Scheduler", *addresses])
        lines = found["Scheduler"].splitlines()
        joined = [line for line in lines if re.fullmatch(r"INFO - worker local-\d .* joined", line)]
        assert len(joined) == 2
        assert lines.index(joined[0]) < len(lines) - 1  # the newest is the last, this client
        assert all(found[each] for each in addresses)
        assert found._repr_html_().count("<details>") == len(found)
        assert list(cluster.get_logs(workers=False)) == ["Scheduler"]
        assert list(cluster.get_logs(scheduler=False, workers=addresses[:1])) == addresses[:1]
        with pytest.raises(ValueError, match="there is no worker 'nobody'"):
            cluster.get_logs(workers=["nobody"])
    with pytest.raises(RuntimeError, match="closed"):
        cluster.get_logs()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_what_an_async_cluster_has_logged(anyio_backend: str) -> None:
    """The same, awaited."""
    async with AsyncLocalCluster(1, 1, processes=False) as cluster:
        [address] = cluster.workers.values()
        assert (await cluster.get_logs()).keys() == {"Scheduler", address}
        assert list(await cluster.get_logs(scheduler=False)) == [address]
        assert list(await cluster.get_logs(workers=False)) == ["Scheduler"]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_an_async_cluster_is_there_inside_its_block(anyio_backend: str) -> None:
    """On both loops; tasks run there."""
    before = family()
    made = AsyncLocalCluster(1, 1)
    assert made.status == "created"
    with pytest.raises(RuntimeError, match="not open"):
        _ = made.scheduler_address
    async with made as cluster, AsyncClient(cluster) as client, cluster.get_client() as other:
        assert await client.submit(pow, 2, 10) == await other.submit(pow, 2, 10) == 1024
        assert isinstance(other, AsyncClient)
    assert made.status == "closed"
    await made.close()
    assert family() == before


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_start_that_is_cancelled_leaves_nothing(anyio_backend: str) -> None:
    """Also of what had been started."""
    before = family()
    with anyio.move_on_after(0.2) as scope:
        async with AsyncLocalCluster(1, 1):
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert family() == before
    assert cluster_threads() == []


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_the_blocking_one_refuses_to_block_a_loop(anyio_backend: str) -> None:
    """The message names the other one."""
    await anyio.lowlevel.checkpoint()
    with pytest.raises(RuntimeError, match="AsyncLocalCluster"):
        LocalCluster(1, 1)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_loop_may_close_the_blocking_one(anyio_backend: str) -> None:
    """It was made elsewhere: waiting is refused, but closing, by hand or by its block, is not."""
    before = family()
    cluster = await anyio.to_thread.run_sync(LocalCluster, 1, 1)
    with cluster:
        with pytest.raises(RuntimeError, match="AsyncLocalCluster"):
            cluster.wait_for_workers(1)
        assert cluster.n_workers == 1
    assert cluster.status == "closed"
    assert family() == before
    assert cluster_threads() == []


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_who_waits_for_workers_hears_of_the_end(anyio_backend: str) -> None:
    """A cluster that is closed will never have any."""
    async with AsyncLocalCluster(0, 1, processes=False) as cluster:
        heard: list[str] = []

        async def wait() -> None:
            try:
                await cluster.wait_for_workers(1)
            except RuntimeError as error:
                heard.append(str(error))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            await cluster.close()
        assert heard == ["the cluster is closed"]
        with pytest.raises(RuntimeError, match="local: the cluster is closed"):
            await cluster.scale(1)
        with pytest.raises(RuntimeError, match="local: the cluster is closed"):
            await cluster.wait_for_workers(1)


def test_a_failed_start_leaves_nothing() -> None:
    """The error is the engine's own."""
    before = family()
    with pytest.raises(SchedulerUnreachable, match="local_directory"):
        LocalCluster(1, 1, local_directory="/dev/null/x")
    assert family() == before
    assert cluster_threads() == []


def test_another_thread_may_close_it() -> None:
    """And both may at once."""
    before = family()
    with LocalCluster(1, 1) as cluster:
        threads = [threading.Thread(target=cluster.close) for _ in range(2)]
        for each in threads:
            each.start()
        cluster.close()
        for each in threads:
            each.join()
        assert family() == before


def test_both_take_the_same() -> None:
    """One list of arguments, and one of methods."""
    assert inspect.signature(LocalCluster) == inspect.signature(AsyncLocalCluster)
    names = {
        kind: {name for name in dir(kind) if not name.startswith("_")}
        for kind in (LocalCluster, AsyncLocalCluster)
    }
    assert names[LocalCluster] == names[AsyncLocalCluster]


def script(text: str) -> subprocess.CompletedProcess[str]:
    """A program of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", text],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_script_that_forgets_to_close_ends_by_itself() -> None:
    """And takes all of it along, without a word."""
    done = script(
        "import psutil\n"
        "from trio_dask import LocalCluster\n"
        "cluster = LocalCluster(1, 1)\n"
        "print(*(each.pid for each in psutil.Process().children(recursive=True)))\n"
    )
    assert (done.returncode, done.stderr) == (0, "")
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 3
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_forked_child_closes_nothing() -> None:
    """It is the parent's."""
    done = script(
        "import os, warnings\n"
        "from trio_dask import LocalCluster\n"
        "with LocalCluster(1, 1) as cluster:\n"
        "    warnings.simplefilter('ignore')  # of forking with threads\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "        cluster.close()\n"
        "        print(cluster.status, flush=True)\n"
        "        os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
        "    print(cluster.status)\n"
    )
    assert (done.stdout, done.stderr) == ("closed\nrunning\n", "")


def test_ctrl_c_while_it_starts_cleans_up() -> None:
    """The script ends with KeyboardInterrupt and leaves nothing."""
    done = script(
        "import os, psutil, signal\n"
        "from trio_dask import LocalCluster\n"
        "from trio_dask.deploy.handle import ClusterHandle\n"
        "found = ClusterHandle.scheduler_found\n"
        "def interrupted(*args):  # there is a scheduler by then, and no worker\n"
        "    found(*args)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "ClusterHandle.scheduler_found = interrupted\n"
        "try:\n"
        "    LocalCluster(1, 1)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', psutil.Process().children())\n"
    )
    assert (done.stdout, done.stderr) == ("interrupted []\n", "")
