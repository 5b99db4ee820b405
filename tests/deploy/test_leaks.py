"""Whatever was opened, nothing of it is left: thread, process, descriptor, file, line on stderr."""

from __future__ import annotations

import builtins
import gc
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import psutil
import pytest
import trio

from trio_dask import Client, LocalCluster, get_client

pytestmark = [pytest.mark.processes, pytest.mark.network]


def traces() -> dict[str, set[str]]:
    """What might be left by this process."""
    return {
        # Trio keeps some that have nothing to do for ten seconds.
        "threads": {
            each.name for each in threading.enumerate() if not each.name.startswith("Trio thread")
        },
        "processes": {str(each.pid) for each in psutil.Process().children(recursive=True)},
        "descriptors": {f"{psutil.Process().num_fds()} in all"},
        "temporary": {path.name for path in Path(tempfile.gettempdir()).iterdir()},
        # Semaphores are of others: nothing here makes any.
        "shared memory": {
            path.name for path in Path("/dev/shm").iterdir() if not path.name.startswith("sem.")
        },
    }


@pytest.fixture(autouse=True)
def _own_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else's files come and go there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@pytest.mark.parametrize(("processes", "cycles"), [(False, 20), (True, 3)])
def test_cycles_leave_nothing(processes: bool, cycles: int) -> None:
    """After the first, which may load what stays loaded."""
    environ, cwd = dict(os.environ), Path.cwd()
    LocalCluster(1, 1, processes=processes).close()
    gc.collect()  # what an earlier test has left to the collector is not ours
    before = traces()
    for _ in range(cycles):
        with LocalCluster(2, 1, processes=processes) as cluster:
            assert cluster.n_workers == 2
            assert gc.isenabled()
    assert traces() == before
    assert (dict(os.environ), Path.cwd()) == (environ, cwd)


def work(name: str) -> None:
    """A task that says that it runs, and does not end by itself."""
    builtins.leaks_running.add(name)  # type: ignore[attr-defined]
    while True:
        pass


async def sleep(name: str) -> None:
    """The same, on a loop."""
    builtins.leaks_running.add(name)  # type: ignore[attr-defined]
    await trio.sleep_forever()


def wait(name: str) -> None:
    """The same, waiting for another task."""
    child = get_client().submit(work, name)
    child.result()


def test_what_runs_ends_with_a_cluster_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its threads are those of this process, and none is left, whatever it did."""
    running: set[str] = set()
    monkeypatch.setattr(builtins, "leaks_running", running, raising=False)
    before = traces()["threads"]
    with LocalCluster(1, 3, processes=False) as cluster, Client(cluster) as client:
        futures = [client.submit(fn, fn.__name__) for fn in (work, sleep, wait)]
        while len(running) < 3:
            os.sched_yield()
        cluster.close()
    assert not any(future.status == "finished" for future in futures)
    for thread in threading.enumerate():
        if thread.name == "async-tasks":  # it was told
            thread.join(20)
    assert traces()["threads"] == before


USE = """
import operator, threading
from trio_dask import AsyncClient, LocalCluster
import trio
async def use(cluster):
    async with AsyncClient(cluster) as client:
        assert await client.gather(client.map(operator.neg, range(100))) == [-n for n in range(100)]
for processes in (False, True):
    for _ in range(3):
        with LocalCluster(2, 1, processes=processes) as cluster:
            trio.run(use, cluster)
print([each.name for each in threading.enumerate() if "Trio" not in each.name])
"""


def test_a_program_that_uses_them_says_nothing() -> None:
    """Neither servers nor loops write a line that nobody asked for."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", USE],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("['MainThread']\n", "")


PARENT = """
import os, sys, time
from trio_dask import LocalCluster
cluster = LocalCluster(2, 1)
if os.fork() == 0:
    time.sleep(600)  # holds whatever the parent had open
print("ready", flush=True)
time.sleep(600)
"""


async def test_a_killed_parent_leaves_no_servers() -> None:
    """Not even if a child that it forked holds everything open."""
    process = await trio.lowlevel.open_process(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    async with process.stdout:
        said = b""
        while b"ready\n" not in said:
            said += await process.stdout.receive_some()
    members = psutil.Process(process.pid).children(recursive=True)
    [forked] = [each for each in members if "-c" in each.cmdline()]
    servers = [each for each in members if each != forked]
    assert len(servers) == 4
    process.send_signal(signal.SIGKILL)
    await process.wait()
    try:
        _, left = await trio.to_thread.run_sync(lambda: psutil.wait_procs(servers, timeout=20))
        assert left == []
        assert forked.is_running()
    finally:
        forked.kill()
