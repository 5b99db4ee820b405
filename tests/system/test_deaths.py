"""Processes die at bad moments: results stay right, and every process ends as it should."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest

from trio_dask.client import AsyncClient, AsyncFuture
from trio_dask.errors import DataLost, KilledWorker

if TYPE_CHECKING:
    from tests.system.conftest import Cluster


def slow(x: int) -> int:
    """A task long enough to be killed in."""
    time.sleep(0.01)
    return x + 1


def array(x: int) -> np.ndarray:
    """A value that stays in the runner."""
    return np.full(10_000, x)


async def test_killed_runners_cost_time_only(cluster: Cluster) -> None:
    """SIGKILL to each runner in the middle of a map: all results right, runners back."""
    workers = cluster.workers(2, "--nthreads", "1")
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        held = client.map(array, range(20))
        futures = client.map(slow, range(400))
        await futures[30]
        first = {child.pid for child in workers.children()}
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        await futures[200]
        second = {child.pid for child in workers.children()}
        os.kill(min(second), signal.SIGKILL)
        assert await client.gather(futures) == list(range(1, 401))
        assert [int(each[0]) for each in await client.gather(held)] == list(range(20))
        assert not first & second


async def test_a_killed_worker_is_made_up_for(cluster: Cluster) -> None:
    """SIGKILL to a worker process: what it held and ran is made again on the other."""
    doomed = cluster.workers(1, "--nthreads", "1")
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        held = client.map(array, range(20))
        await client.gather(held)
        futures = client.map(slow, range(300))
        cluster.workers(1, "--nthreads", "1")
        await futures[50]
        runners = doomed.children()
        doomed.process.kill()
        assert await client.gather(futures) == list(range(1, 301))
        assert [int(each[0]) for each in await client.gather(held)] == list(range(20))
        assert psutil.wait_procs(runners, timeout=10)[1] == [], "runners outlive their worker"


async def test_scattered_data_is_lost_with_a_reason(cluster: Cluster) -> None:
    """Its only holder dies: the future says lost and why, what needs it fails, nothing hangs."""
    doomed = cluster.workers(1)
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        scattered = await client.scatter(np.ones(1000))
        doomed.process.kill()
        cluster.workers(1)
        with pytest.raises(DataLost, match="left"):
            await client.submit(np.sum, scattered)
        with pytest.raises(DataLost):
            await scattered
        assert scattered.status == "lost"


async def test_a_task_that_kills_its_process_is_given_up(cluster: Cluster) -> None:
    """After the allowed number of deaths it fails, with a certificate of each; others are well."""
    cluster.workers(2, "--nthreads", "1")
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        killer: AsyncFuture[None] = client.submit(os._exit, 7)
        others = client.map(slow, range(50))
        with pytest.raises(KilledWorker, match="exited with code 7") as raised:
            await killer
        assert [death["exit_code"] for death in raised.value.deaths] == [7] * 4
        assert await client.gather(others) == list(range(1, 51))


def says_too_much(lines: int) -> None:
    """A task that prints, starts a process that has its streams for ever, and crashes."""
    for number in range(lines):
        sys.stdout.write(f"line {number}\n")
    sys.stderr.write("\x1b[31mthe last words\x1b[0m")
    sys.stderr.flush()
    if os.fork() == 0:
        os.setsid()
        os.execvp("sleep", ["sleep", "30"])
    os.kill(os.getpid(), signal.SIGSEGV)


async def test_its_last_words_are_in_the_error(cluster: Cluster) -> None:
    """The last lines of the last process, as data and readable; a child that lives on holds nothing up."""
    cluster.workers(1, "--nthreads", "1")
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        with pytest.raises(KilledWorker) as raised:
            await client.submit(says_too_much, 5000)
        last = raised.value.deaths[-1]
        assert last["signal"] == signal.SIGSEGV
        assert len(last["output"]) == 50
        assert {"the last words", "line 4999"} <= set(last["output"])
        assert 0 <= last["ran_s"] <= last["lasted_s"]
        assert "  | the last words" in str(raised.value).splitlines()
        assert all("output" not in death for death in raised.value.deaths[:-1])


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_everything(cluster: Cluster, signum: int) -> None:
    """Exit code 0, only log lines on stderr, no process left; workers first or scheduler first."""
    first, second = cluster.workers(2), cluster.workers(1)
    runners = first.children() + second.children()
    assert len(runners) == 3
    assert first.end(signum) == 0
    assert cluster.scheduler.end(signum) == 0
    assert second.wait() == 0, second.lines
    assert psutil.wait_procs(runners, timeout=10)[1] == []
    for command in (first, second, cluster.scheduler):
        assert all(" - INFO - " in line for line in command.lines), command.lines


def test_a_worker_says_that_it_waits(cluster: Cluster) -> None:
    """Nobody at the address: a line, retries, and an exit with 1 when its time is up."""
    worker = cluster.command("worker", "tcp://127.0.0.1:1", "--death-timeout", "1s")
    worker.wait_for("127.0.0.1:1")
    assert worker.wait() == 1
    assert len(worker.lines) >= 2
    assert not any("Traceback" in line for line in worker.lines)


def test_a_wrong_token_is_said(cluster: Cluster) -> None:
    """A worker of another cluster is told what to do, and exits with 1."""
    token, cluster.token = cluster.token, "fedcba9876543210" * 4
    try:
        worker = cluster.command("worker", cluster.address)
        worker.wait_for("token")
        assert worker.wait() == 1
    finally:
        cluster.token = token


def process_and_array(x: int) -> tuple[int, np.ndarray]:
    """Which process this is, and a value that stays in it."""
    return os.getpid(), np.full(1000, x)


async def test_runners_are_replaced(cluster: Cluster) -> None:
    """After so many tasks another process takes over: values stay, nothing runs twice."""
    workers = cluster.workers(1, "--nthreads", "1", "--max-tasks", "5")
    (first,) = {child.pid for child in workers.children()}
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        before = client.map(process_and_array, range(5))
        assert {pid for pid, _ in await client.gather(before)} == {first}
        workers.wait_for("recycled")
        after = client.map(process_and_array, range(5, 10))
        assert first not in {pid for pid, _ in await client.gather(after)}
        again = await client.gather(before)
        assert [(pid, int(each[0])) for pid, each in again] == [(first, x) for x in range(5)]


def test_old_runners_are_replaced(cluster: Cluster) -> None:
    """Also one that has nothing to do; the log says why, and not as a warning."""
    workers = cluster.workers(1, "--max-age", "200ms")
    workers.wait_for("(recycled: it has run for")
    assert workers.end() == 0
    assert all(" - INFO - " in line for line in workers.lines), workers.lines
