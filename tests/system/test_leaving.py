"""Workers that are taken away from real clusters: nothing is computed twice, and nobody waits long."""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trio_dask import Client

if TYPE_CHECKING:
    import pytest

    from tests.system.conftest import Cluster, Command

LOG = re.compile(r"\d{4}-\d\d-\d\d .* - trio_dask\.\w+ - (INFO|WARNING) - |^ {4}")


def counted(x: int, directory: str, seconds: float = 0.05) -> np.ndarray:
    """A value that stays where it is made, and a trace of each time it is."""
    with Path(directory, str(x)).open("a", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(seconds)
    return np.full(2_000, x)


def endless(directory: str) -> None:
    """It does not end by itself, and says that it has begun."""
    Path(directory, "begun").touch()
    while True:
        time.sleep(0.01)


def counts(directory: Path) -> Counter[int]:
    """How often each has run."""
    return Counter({int(f.name): f.read_text().count("\n") for f in directory.glob("[0-9]*")})


def only_log_lines(command: Command) -> list[str]:
    """What on its stderr is no line of a log."""
    return [line for line in command.lines if not LOG.match(line)]


def test_a_signal_costs_nothing(cluster: Cluster, tmp_path: Path) -> None:
    """SIGTERM to one of two in the middle of a map: its values move, no task runs twice."""
    cluster.workers(1, "--nthreads", "1")
    leaving = cluster.workers(1, "--nthreads", "1")
    with Client(cluster.address, config=cluster.config) as client:
        [scattered] = client.scatter([np.ones(5_000)])
        futures = client.map(counted, range(40), directory=str(tmp_path))
        futures[15].result()
        began = time.monotonic()
        assert leaving.end() == 0
        assert time.monotonic() - began < 5
        assert [int(each[0]) for each in client.gather(futures)] == list(range(40))
        assert scattered.result().sum() == 5_000
        assert len(client.nthreads()) == 1
    assert set(counts(tmp_path).values()) == {1}
    assert only_log_lines(leaving) == []
    [line] = [line for line in leaving.lines if "Drained worker" in line]
    assert re.search(r"in \d+\.\d\d s: \d+ values moved", line)
    assert "left behind" not in line


def test_what_does_not_end_runs_elsewhere(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endless task is given back after the grace, and begins again without blame."""
    monkeypatch.setenv("TRIO_DASK_WORKER__DRAIN_GRACE", "0.2")
    leaving = cluster.workers(1, "--nthreads", "1")
    with Client(cluster.address, config=cluster.config) as client:
        future = client.submit(endless, str(tmp_path))
        while not (tmp_path / "begun").exists():
            os.sched_yield()
        cluster.workers(1, "--nthreads", "1")
        (tmp_path / "begun").unlink()
        assert leaving.end() == 0
        while not (tmp_path / "begun").exists():
            os.sched_yield()
        future.cancel()
    assert any("1 tasks given back" in line for line in leaving.lines)


def test_a_second_signal_leaves_at_once(cluster: Cluster, tmp_path: Path) -> None:
    """Whatever still runs there, and whatever it holds."""
    leaving = cluster.workers(1, "--nthreads", "1")
    with Client(cluster.address, config=cluster.config) as client:
        future = client.submit(endless, str(tmp_path))
        while not (tmp_path / "begun").exists():
            os.sched_yield()
        cluster.workers(1, "--nthreads", "1")
        (tmp_path / "begun").unlink()
        leaving.process.send_signal(signal.SIGTERM)
        leaving.wait_for("Draining worker")
        began = time.monotonic()
        assert leaving.end() == 0
        assert time.monotonic() - began < 3
        while not (tmp_path / "begun").exists():
            os.sched_yield()
        future.cancel()
    assert not any("Drained worker" in line for line in leaving.lines)


def test_the_last_worker_goes_at_once(cluster: Cluster, tmp_path: Path) -> None:
    """Nobody is left to take anything: it says what is lost, and does not wait."""
    alone = cluster.workers(2, "--nthreads", "1")
    with Client(cluster.address, config=cluster.config) as client:
        held: Any = client.map(counted, range(6), directory=str(tmp_path), seconds=0)
        client.gather(held)
        [scattered] = client.scatter([np.ones(5_000)])
        running = client.submit(endless, str(tmp_path))
        while not (tmp_path / "begun").exists():
            os.sched_yield()
        began = time.monotonic()
        assert alone.end(signal.SIGINT) == 0
        assert time.monotonic() - began < 3
        assert scattered.status == "lost"
        assert running.status == "pending"
    lines = "\n".join(line for line in alone.lines if "Drained worker" in line)
    left = [tuple(map(int, found)) for found in re.findall(r"behind: (\d+) .*, (\d+) lost", lines)]
    assert sum(again for again, _ in left) == 6
    assert sum(lost for _, lost in left) == 1
    assert only_log_lines(alone) == []
