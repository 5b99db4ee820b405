"""Clusters that clients take apart or begin anew, while they work and while they do not."""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest

from tests.system.test_leaving import counted, counts, endless, only_log_lines
from trio_dask import AsyncClient, Client, LocalCluster, wait
from trio_dask.errors import CancelledError, SchedulerUnreachable

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Cluster


def inc(x: int) -> int:
    """A task."""
    return x + 1


def spin() -> None:
    """It neither ends nor lets anybody interrupt it."""
    while True:
        try:
            while True:
                pass
        except BaseException:  # noqa: ASYNC103, BLE001 - this is what it is for
            continue  # noqa: ASYNC104


class Tally:
    """An actor."""

    def __init__(self) -> None:
        self.n = 0

    def add(self) -> int:
        """One more."""
        self.n += 1
        return self.n


# ---------------------------------------------------------------- retired


def test_a_client_retires_workers(cluster: Cluster, tmp_path: Path) -> None:
    """Their values are with others afterwards, nothing was computed twice; the last one stays."""
    leaving = cluster.workers(1, "--nthreads", "1", "--name", "leaving")
    with Client(cluster.address, config=cluster.config) as client:
        futures = client.map(counted, range(10), directory=str(tmp_path), seconds=0)
        client.gather(futures)
        cluster.workers(1, "--nthreads", "1", "--name", "staying")
        retired = client.retire_workers("leaving")
        assert [each["name"] for each in retired.values()] == ["leaving"]
        assert leaving.wait() == 0
        assert [int(each[0]) for each in client.gather(futures)] == list(range(10))
        assert client.retire_workers(names=["staying"]) == {}
        assert len(client.nthreads()) == 1
        with pytest.raises(ValueError, match="no worker leaving"):
            client.retire_workers("leaving")
    assert set(counts(tmp_path).values()) == {1}
    assert only_log_lines(leaving) == []
    assert any("10 values moved" in line for line in leaving.lines)


async def test_an_async_client_retires_and_shuts_down(cluster: Cluster) -> None:
    """The same, awaited; all processes of the cluster end with exit code 0."""
    one = cluster.workers(1, "--nthreads", "1", "--name", "one")
    two = cluster.workers(1, "--nthreads", "1", "--name", "two")
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        scattered = await client.scatter(np.ones(1000))
        (holder,) = (await client.who_has(scattered))[scattered.key]
        assert list(await client.retire_workers(holder)) == [holder]
        assert (await scattered).sum() == 1000
        await client.shutdown()
        await client.shutdown()
        with pytest.raises(RuntimeError, match="closed"):
            await client.submit(inc, 1)
    assert [each.wait() for each in (one, two, cluster.scheduler)] == [0, 0, 0]
    assert only_log_lines(cluster.scheduler) == []


def test_the_command_retires(cluster: Cluster, capfd: pytest.CaptureFixture[str]) -> None:
    """It prints who has left; who is not there is an error."""
    cluster.workers(1, "--nthreads", "1", "--name", "y")
    leaving = cluster.workers(2, "--nthreads", "1", "--name", "x")
    assert cluster.command("retire", cluster.address, "x-0").wait() == 0
    assert cluster.command("retire", cluster.address, "-n", "1").wait() == 0
    assert leaving.wait() == 0
    assert re.fullmatch(r"x-0 tcp://\S+\nx-1 tcp://\S+\n", capfd.readouterr().out)
    failing = cluster.command("retire", cluster.address, "x-0")
    assert failing.wait() == 1
    assert failing.lines == ["trio-dask: there is no worker x-0"]


def test_a_lifetime_ends_and_begins_anew(cluster: Cluster, tmp_path: Path) -> None:
    """A new worker takes the place of the old one, under its name; nothing is computed twice."""
    cluster.workers(1, "--nthreads", "1", "--name", "stays")
    aging = cluster.workers(
        1, "--nthreads", "1", "--name", "ages", "--lifetime", "1.5s", "--lifetime-restart"
    )
    with Client(cluster.address, config=cluster.config) as client:
        futures = client.map(counted, range(10), directory=str(tmp_path), workers="ages", seconds=0)
        client.gather(futures)
        aging.wait_for("Drained worker ages")
        aging.wait_for("Registered to:")
        assert client.submit(inc, 1, workers="ages").result() == 2
        assert [int(each[0]) for each in client.gather(futures)] == list(range(10))
    assert set(counts(tmp_path).values()) == {1}
    aging.end()
    assert only_log_lines(aging) == []
    places = [line.split()[-1] for line in aging.lines if "Start worker at:" in line]
    assert len(set(places)) == len(places) >= 2


def test_processes_that_have_done_enough_make_room(cluster: Cluster, tmp_path: Path) -> None:
    """Others run what comes then; no value is lost, nothing runs twice, and nobody is blamed."""
    worker = cluster.workers(1, "--nthreads", "2", "--max-tasks", "5")
    with Client(cluster.address, config=cluster.config) as client:
        pids: set[int] = set()
        futures: list[Any] = []
        while len(pids) < 3:
            future = client.submit(
                counted, len(futures), directory=str(tmp_path), seconds=0, retries=0
            )
            futures.append(future)
            wait([future])
            pids.add(client.submit(os.getpid, pure=False).result())
        worker.wait_for("(it has run")
        assert [int(each[0]) for each in client.gather(futures)] == list(range(len(futures)))
    assert set(counts(tmp_path).values()) == {1}
    cluster.scheduler.wait_for("the client was closed")  # nobody wants the values any more
    worker.end()
    assert only_log_lines(worker) == []
    assert not [line for line in worker.lines if "WARNING" in line]


def test_what_cannot_be_moved_keeps_its_process(cluster: Cluster) -> None:
    """An actor lives on, however much its process has done."""
    worker = cluster.workers(1, "--nthreads", "1", "--max-tasks", "3")
    with Client(cluster.address, config=cluster.config) as client:
        actor: Any = client.submit(Tally, actor=True).result()
        pids = {client.submit(os.getpid, pure=False).result() for _ in range(3)}
        worker.wait_for("but holds what cannot be moved")
        assert actor.add().result() == 1
        assert {client.submit(os.getpid, pure=False).result()} == pids
        del actor
        worker.wait_for("(it has run")
        assert {client.submit(os.getpid, pure=False).result()}.isdisjoint(pids)


# ---------------------------------------------------------------- restarted


def test_restart_while_tasks_run(cluster: Cluster, tmp_path: Path) -> None:
    """Also such as do not stop; futures of all clients are cancelled, and it works again."""
    workers = cluster.workers(2, "--nthreads", "1")
    with (
        Client(cluster.address, config=cluster.config) as client,
        Client(cluster.address, config=cluster.config) as other,
    ):
        held = client.map(counted, range(4), directory=str(tmp_path), seconds=0)
        client.gather(held)
        runners = {child.pid for child in workers.children()}
        running: list[Any] = [other.submit(spin) for _ in range(4)]
        other.flush()
        began = time.monotonic()
        assert client.restart(timeout=20) is client
        assert time.monotonic() - began < 10
        other.flush()
        assert {each.status for each in (*held, *running)} == {"cancelled"}
        with pytest.raises(CancelledError, match="restarted the cluster"):
            running[0].result()
        assert not runners & {child.pid for child in workers.children()}
        assert other.gather(other.map(inc, range(100))) == list(range(1, 101))
    assert workers.end() == 0
    assert only_log_lines(workers) == []


def test_twenty_restarts_in_a_row(cluster: Cluster) -> None:
    """Each takes as long as the first, also when several clients ask at once."""
    cluster.workers(2, "--nthreads", "1")
    with (
        Client(cluster.address, config=cluster.config) as client,
        Client(cluster.address, config=cluster.config) as other,
    ):
        for _ in range(19):
            running = other.submit(spin)
            others = client.map(inc, range(200))
            other.flush()
            client.restart(timeout=20)
            other.flush()  # what it was told has arrived
            assert {each.status for each in others} == {running.status} == {"cancelled"}
        threads = [threading.Thread(target=each.restart) for each in (client, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.submit(inc, 1).result() == 2


def test_restarted_workers_lose_nothing_that_counts(cluster: Cluster, tmp_path: Path) -> None:
    """What they ran runs again without blame, what was scattered is still there."""
    workers = cluster.workers(1, "--nthreads", "1", "--name", "w")
    with Client(cluster.address, config=cluster.config) as client:
        scattered: Any = client.scatter(np.ones(1000))
        future = client.submit(endless, str(tmp_path))
        while not (tmp_path / "begun").exists():
            os.sched_yield()
        for _ in range(5):  # more often than a task may kill its process
            (tmp_path / "begun").unlink()
            assert client.restart_workers(["w"]) == {"w": "OK"}
            while not (tmp_path / "begun").exists():
                os.sched_yield()
        assert future.status == "pending"
        assert scattered.result().sum() == 1000
        with pytest.raises(ValueError, match="no worker nobody"):
            client.restart_workers("nobody")
        future.cancel()
    workers.end()
    assert only_log_lines(workers) == []


def test_who_waits_too_short_is_told(cluster: Cluster) -> None:
    """The worker is stopped: it has no new runner in time, and the error names it."""
    workers = cluster.workers(1, "--nthreads", "1", "--name", "w")
    with Client(cluster.address, config=cluster.config) as client:
        workers.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(TimeoutError, match="1 of 1 workers have no new runner"):
                client.restart_workers(["w"], timeout=0.05)
            stuck = client.restart_workers(["w"], timeout=0.05, raise_for_error=False)
            assert stuck == {"w": "timed out"}
            with pytest.raises(TimeoutError, match="1 of 1 workers have no new runner"):
                client.restart(timeout=0.05)
            client.restart(wait_for_workers=False)
        finally:
            workers.process.send_signal(signal.SIGCONT)
        assert client.submit(inc, 1).result() == 2


# ---------------------------------------------------------------- shut down


@pytest.mark.parametrize("processes", [True, False])
def test_a_local_cluster_is_shut_down_by_a_client(
    *,
    processes: bool,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It notices, closes quietly, and nothing of it is left; while a task runs, too.

    Who wants more workers then is late, and nothing comes of it.
    """
    made = LocalCluster(n_workers=2, threads_per_worker=1, processes=processes)
    with made as cluster, Client(cluster) as client, Client(cluster) as other:
        running = other.submit(endless, str(tmp_path)) if processes else other.submit(inc, 1)
        if processes:
            while not (tmp_path / "begun").exists():
                os.sched_yield()
        began = time.monotonic()
        client.shutdown()
        while cluster.status != "closed" or cluster.workers:
            os.sched_yield()
        assert time.monotonic() - began < 5
        with pytest.raises(SchedulerUnreachable, match="shut the cluster down"):
            other.submit(inc, 1).result()
        other.shutdown()
        cluster.scale(3)
        assert running.status in {"pending", "finished", "cancelled"}
    assert capfd.readouterr().err == ""
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert not [c for c in psutil.Process().children() if c.status() != psutil.STATUS_ZOMBIE]
