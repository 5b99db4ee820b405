"""The fixtures for users' tests, used by a project of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.processes, pytest.mark.slow]

CONFTEST = 'pytest_plugins = ["trio_dask.testing.pytest_plugin_cluster"]\n'

GOOD = """
import pytest
from trio_dask import as_completed

def double(x):
    return 2 * x

def test_client(client):
    assert client.gather(client.map(double, range(9))) == list(range(0, 18, 2))

def test_each_has_its_own(client, cluster):
    assert client.scheduler_info()["finished"] == 0
    assert cluster.scheduler_address.startswith("tcp://127.0.0.1:")

@pytest.mark.cluster(n_workers=3, resources={"GPU": 1})
def test_options(client):
    assert client.scheduler_info()["n_workers"] == 3
    assert client.submit(double, 2, resources={"GPU": 1}).result() == 4

@pytest.mark.anyio
async def test_async(async_client):
    assert await async_client.submit(double, 2) == 4
    futures = async_client.map(double, range(3))
    assert sorted([value async for _, value in as_completed(futures, with_results=True)]) == [0, 2, 4]

@pytest.mark.cluster(n_workers=1, processes=True)
def test_processes(client):
    import os
    assert client.submit(os.getpid).result() != os.getpid()

@pytest.mark.cluster(n_workers=0)
def test_growing(cluster, client):
    future = client.submit(double, 1)
    cluster.scale(1)
    assert future.result(timeout=20) == 2

def test_simulating(simulate):
    assert [run.seed for run in simulate(range(3, 6), workload="map")] == [3, 4, 5]
"""

SIMULATED = """
from trio_dask.scheduler import Placement

class Fallen(Placement):
    def home(self, task):
        raise KeyError("nothing")

def test_policy(simulate):
    simulate(seeds=4, workers=3, workload="tree", faults=False, placement=Fallen)
"""

LEAKS = """
import socket, subprocess, sys, threading
import pytest
from trio_dask import Client, fire_and_forget
from trio_dask.testing import pytest_plugin_cluster

pytest_plugin_cluster.PATIENCE_S = 0.2
KEPT = []
LET_GO = threading.Event()

def wait_long(path):
    LET_GO.wait(20)

def test_client(cluster):
    KEPT.append(Client(cluster))

def test_task(cluster, client):
    fire_and_forget(client.submit(wait_long, 1))

def test_thread(cluster):
    LET_GO.set()
    LET_GO.clear()
    thread = threading.Thread(target=LET_GO.wait, args=(20,), name="forgotten", daemon=True)
    thread.start()

def test_process(cluster):
    LET_GO.set()
    KEPT.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))

def test_socket(cluster):
    KEPT.append(socket.socket())

def test_last(cluster):
    KEPT[0].close()
"""


def run(directory: Path, text: str) -> str:
    """What pytest prints of these tests."""
    (directory / "conftest.py").write_text(CONFTEST)
    (directory / "test_it.py").write_text(text)
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", "-q", "--tb=short"]
    done = subprocess.run(
        [*words, str(directory)], capture_output=True, text=True, check=False, cwd=directory
    )
    return done.stdout + done.stderr


def test_fixtures(tmp_path: Path) -> None:
    """Blocking and asynchronous clients, on both loops, of clusters with options."""
    said = run(tmp_path, GOOD)
    assert re.search(r"^8 passed in", said, re.MULTILINE), said
    assert "test_async[asyncio]" in said
    assert "test_async[trio]" in said


def test_what_is_left_behind_is_named(tmp_path: Path) -> None:
    """Clients, tasks, threads, processes and descriptors; a test that leaves nothing passes."""
    said = run(tmp_path, LEAKS)
    for name, what in {
        "test_client": "1 clients that were not closed",
        "test_task": "1 tasks that have not ended",
        "test_thread": "the thread 'forgotten'",
        "test_process": "the process ",
        "test_socket": r"the descriptor \d+ \(socket:",
    }.items():
        found = re.search(rf"^ERROR test_it\.py::{name} - .*$", said, re.MULTILINE)
        assert found, said
        assert re.search(what, said), said
    assert "ERROR test_it.py::test_last" not in said


def test_a_simulation_that_fails_says_how_to_see_it_again(tmp_path: Path) -> None:
    """In a few lines."""
    said = run(tmp_path, SIMULATED)
    assert re.search(r"^1 failed in", said, re.MULTILINE), said
    assert "Fallen.home: raised KeyError: 'nothing'" in said
    assert "again: python -m trio_dask.testing.simulation --seeds" in said
