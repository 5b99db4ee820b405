"""Logs of real clusters happen again: tasks, errors, dead runners, cancellations, dead workers."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.system.conftest import open_cluster
from trio_dask import AsyncClient

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Cluster

pytestmark = pytest.mark.processes


def slow(x: int) -> int:
    """A task long enough to be killed in."""
    time.sleep(0.005)  # the body of a task
    return x + 1


def array(x: int) -> np.ndarray:
    """A value that stays in the runner."""
    return np.full(10_000, x)


def total(*arrays: np.ndarray) -> int:
    """A task with inputs from several places."""
    return int(sum(map(np.sum, arrays)))


def fail(x: int) -> None:
    """A task that raises."""
    raise ValueError(f"a secret of {x}")


def replay(path: Path) -> subprocess.CompletedProcess[str]:
    """What `trio-dask replay` says of it, in a process whose hashes are others."""
    return subprocess.run(
        [sys.executable, "-m", "trio_dask", "replay", str(path)],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=False,
    )


async def busy_hour(cluster: Cluster) -> None:
    """Much of what may happen to a cluster."""
    workers = cluster.workers(2, "--nthreads", "1")
    doomed = cluster.workers(1, "--nthreads", "1")
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        held = client.map(array, range(30))
        sums = [client.submit(total, *held[at : at + 5]) for at in range(0, 30, 5)]
        futures = client.map(slow, range(300))
        failing = client.map(fail, range(5))
        await futures[30]
        os.kill(workers.children()[0].pid, signal.SIGKILL)
        endless = client.map(time.sleep, [1000] * 5)
        await client.gather(futures[:100])
        doomed.process.kill()
        await client.cancel(endless)
        assert await client.gather(futures) == list(range(1, 301))
        assert await client.gather(failing, errors="skip") == []
        assert await client.gather(sums) == [10_000 * sum(range(n, n + 5)) for n in range(0, 30, 5)]
        scattered = await client.scatter(np.ones(1000))
        assert await client.submit(total, scattered) == 1000
    assert workers.end() == 0


async def test_a_scheduler_that_was_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is there, nothing is wrong, and nothing of a user's is in the file."""
    path, workers = tmp_path / "scheduler.log", tmp_path / "worker.log"
    monkeypatch.setenv("TRIO_DASK_SCHEDULER__EVENT_LOG", str(path))
    monkeypatch.setenv("TRIO_DASK_WORKER__EVENT_LOG", str(workers))
    with open_cluster() as cluster:
        await busy_hour(cluster)
        assert cluster.scheduler.end() == 0
        assert any(str(path) in line for line in cluster.scheduler.lines)
    assert {each.name for each in tmp_path.iterdir()} == {
        "scheduler.log",
        "worker.log",
        "worker.log.1",
    }
    for each in tmp_path.iterdir():
        assert each.stat().st_mode & 0o777 == 0o600
        content = each.read_bytes()
        assert b"a secret of" not in content
        assert cluster.token.encode() not in content
    done = replay(path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "clients      1, 0 at the end\nworkers      3, 0 at the end\n" in done.stdout
    assert "at the end no tasks\nNothing is wrong" in done.stdout
    done = replay(workers)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "workers      2: " in done.stdout
    assert "Nothing is wrong" in done.stdout
    killed = replay(workers.with_name("worker.log.1"))
    assert killed.returncode == 0, killed.stdout + killed.stderr


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits others' files")
async def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log ends with a warning, the cluster does not; what there is happens again."""
    path = tmp_path / "scheduler.log"
    monkeypatch.setenv("TRIO_DASK_SCHEDULER__EVENT_LOG", str(path))
    with open_cluster() as cluster:
        resource.prlimit(cluster.scheduler.process.pid, resource.RLIMIT_FSIZE, (5000, 5000))
        await busy_hour(cluster)
        assert cluster.scheduler.end() == 0
    warnings = [line for line in cluster.scheduler.lines if " - WARNING - " in line]
    assert len(warnings) == 1
    assert f"The event log {path} ends here: File too large" in warnings[0]
    assert path.stat().st_size == 5000
    done = replay(path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bytes are no whole event\nNothing is wrong" in done.stdout


async def test_a_scheduler_that_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What had been written by its last tick happens again."""
    path = tmp_path / "scheduler.log"
    monkeypatch.setenv("TRIO_DASK_SCHEDULER__EVENT_LOG", str(path))
    with open_cluster() as cluster:
        await busy_hour(cluster)
        cluster.scheduler.process.kill()
        cluster.scheduler.wait()
    done = replay(path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing is wrong" in done.stdout
