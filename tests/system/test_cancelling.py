"""Cancelling what runs, on real processes: whatever a function does, it ends, and its slot works."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import trio

from tests.system.conftest import open_cluster
from trio_dask import AsyncClient, CancelledError, Client, TaskCancelled, check_cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.system.conftest import Cluster


def loop(gate: str) -> None:
    """Python code without an end."""
    begin(gate)
    while True:
        pass


def nap(gate: str) -> None:
    """A very long sleep."""
    begin(gate)
    time.sleep(1000)  # the body of a task


def lock(gate: str) -> None:
    """A lock that never comes."""
    mine = threading.Lock()
    mine.acquire()
    begin(gate)
    mine.acquire()


def hold(gate: str) -> None:
    """C code that never lets go of the interpreter."""
    begin(gate)
    ctypes.PyDLL(None).sleep(1000)


def stubborn(gate: str) -> None:
    """Nothing impresses it."""
    begin(gate)
    while True:
        try:
            time.sleep(0.01)  # the body of a task
        except TaskCancelled:
            continue


def polite(gate: str) -> None:
    """It looks."""
    begin(gate)
    while True:
        check_cancelled()


async def asleep(gate: str) -> None:
    """An async task."""
    begin(gate)
    await trio.sleep_forever()


def begin(gate: str) -> None:
    """Say that it has begun: whoever reads the pipe goes on."""
    with open(gate, "wb"):  # noqa: PTH123 - as short as can be
        pass


def inc(x: int) -> int:
    """One more."""
    return x + 1


class Gate:
    """A pipe that is read until a task has begun."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        os.mkfifo(path)

    def wait(self) -> None:
        """Until the task has begun."""
        with open(self.path, "rb") as pipe:  # noqa: PTH123
            pipe.read()


@pytest.fixture(scope="module", params=[1, 2])
def worker(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of one worker with so many slots."""
    with open_cluster() as opened:
        opened.workers(1, "--nthreads", str(request.param))
        yield opened


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """Where a task says that it has begun."""
    return Gate(tmp_path / "gate")


@pytest.mark.parametrize(
    ("fn", "way"),
    [
        (loop, "interrupt"),
        (nap, "interrupt"),
        (nap, "kill"),
        (lock, "interrupt"),
        (hold, "interrupt"),
        (stubborn, "interrupt"),
        (polite, "cooperate"),
        (asleep, "interrupt"),
    ],
)
def test_whatever_it_does_it_stops(
    worker: Cluster, gate: Gate, fn: Callable[[str], Any], way: Any
) -> None:
    """The future is cancelled, and the worker works; who did nothing wrong is not blamed."""
    with Client(worker.address, config=worker.config) as client:
        future = client.submit(fn, gate.path, on_cancel=way)
        after = client.submit(inc, future)
        gate.wait()
        future.cancel("enough")
        assert (future.status, after.status) == ("cancelled", "cancelled")
        with pytest.raises(CancelledError, match="enough"):
            future.result()
        assert client.gather(client.map(inc, range(20))) == list(range(1, 21))
        assert client.scheduler_info()["tasks"] <= 22


def test_a_neighbour_goes_on(cluster: Cluster, gate: Gate, tmp_path: Path) -> None:
    """It shares the process with one that will not stop, and yet comes to its end, once."""
    cluster.workers(1, "--nthreads", "2")
    runs = tmp_path / "runs"

    def neighbour(gate: str, end: str) -> str:
        with runs.open("a") as file:
            file.write("ran\n")
        begin(gate)
        with open(end, "rb") as pipe:  # noqa: PTH123
            pipe.read()
        return "done"

    second, end = Gate(tmp_path / "second"), Gate(tmp_path / "end")
    with Client(cluster.address, config=cluster.config) as client:
        beside = client.submit(neighbour, second.path, end.path)
        second.wait()
        victim = client.submit(stubborn, gate.path)
        gate.wait()
        victim.cancel()
        assert victim.status == "cancelled"
        assert beside.status == "pending"
        begin(end.path)
        assert beside.result() == "done"
        assert runs.read_text() == "ran\n"
        assert client.submit(inc, 1).result() == 2


def whereabouts(nbytes: int) -> tuple[int, bytes]:
    """The process it runs in, and so many bytes."""
    return os.getpid(), bytes(nbytes)


def test_another_process_works_meanwhile(cluster: Cluster, gate: Gate, tmp_path: Path) -> None:
    """It takes the slots at once; and what the one that ends had made is not made again."""
    cluster.workers(1, "--nthreads", "2")

    def neighbour(gate: str, end: str) -> int:
        begin(gate)
        with open(end, "rb") as pipe:  # noqa: PTH123
            pipe.read()
        return os.getpid()

    second, end = Gate(tmp_path / "second"), Gate(tmp_path / "end")
    with Client(cluster.address, config=cluster.config) as client:
        made = client.submit(whereabouts, 1 << 20)
        beside = client.submit(neighbour, second.path, end.path)
        second.wait()
        victim = client.submit(stubborn, gate.path)
        gate.wait()
        victim.cancel()
        assert victim.status == "cancelled"
        replacement, _ = client.submit(whereabouts, 10).result()
        assert beside.status == "pending"
        begin(end.path)
        old = beside.result()
        assert old != replacement
        while psutil.pid_exists(old):
            assert client.submit(whereabouts, 10).result()[0] == replacement
        assert client.submit(whereabouts, 10).result()[0] == replacement
        assert made.result() == (old, bytes(1 << 20))


def test_an_error_stops_what_runs_in_the_same_scope(cluster: Cluster, gate: Gate) -> None:
    """On another worker, in the middle of a loop."""
    cluster.workers(2, "--nthreads", "1")
    with Client(cluster.address, config=cluster.config) as client:
        scope = client.scope()
        with pytest.raises(ExceptionGroup) as caught, scope:  # noqa: PT012 - raised at its end
            endless = scope.submit(loop, gate.path)
            gate.wait()
            scope.submit(int, "one")
        assert caught.group_contains(ValueError, match="one")
        assert "on worker" in caught.value.exceptions[0].__notes__[0]
        assert endless.cancelled()
        assert client.gather(client.map(inc, range(10))) == list(range(1, 11))


def test_a_client_that_vanishes_takes_its_tasks_along(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only it wanted is stopped, once it has not come back, so that others get the slot."""
    monkeypatch.setenv("TRIO_DASK_SCHEDULER__RECONNECT", "0.5s")
    script = (
        "import os, sys\n"
        "from tests.system.test_cancelling import *\n"
        "client = Client(sys.argv[1])\n"
        "future = client.submit(stubborn, sys.argv[2])\n"
        "Gate.wait(type('Gate', (), {'path': sys.argv[2]}))\n"
        "os._exit(0)\n"
    )
    with open_cluster() as cluster:
        cluster.workers(1, "--nthreads", "1")
        subprocess.run(
            [sys.executable, "-c", script, cluster.address, gate.path],
            env={**os.environ, "TRIO_DASK_TOKEN": cluster.token},
            check=True,
            timeout=60,
        )
        with Client(cluster.address, config=cluster.config) as client:
            assert client.submit(inc, 1).result() == 2


async def test_cancelling_a_call_stops_its_task(cluster: Cluster, gate: Gate) -> None:
    """As leaving any other cancelled block does, across the cluster."""
    cluster.workers(1, "--nthreads", "1")
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.call, loop, gate.path)
                await client.flush()
                await trio.to_thread.run_sync(gate.wait)
                scope.cancel()
        assert await client.submit(inc, 1) == 2
