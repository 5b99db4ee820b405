"""Fixtures for tests of programs that use a cluster: `cluster`, `client`, `async_client`, `simulate`.

A project loads them in its ``conftest.py``::

    pytest_plugins = ["trio_dask.testing.pytest_plugin_cluster"]

The cluster lives in the test's process and starts within milliseconds, so each test has its
own. When a test leaves something behind, a client, a task, a thread, a process, a
descriptor, its teardown says what.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from trio_dask import AsyncClient, Client, LocalCluster
    from trio_dask.testing import SimulationResult

#: How long what is on its way out may take.
PATIENCE_S: Final = 3.0
#: Threads that libraries keep for the next time; they end by themselves.
_KEPT_THREADS: Final = ("Trio thread", "AnyIO worker thread", "asyncio_", "ThreadPoolExecutor")
_DESCRIPTORS: Final = Path("/proc/self/fd")


def pytest_configure(config: pytest.Config) -> None:
    """Explain the marker."""
    config.addinivalue_line(
        "markers",
        "cluster(**options): what the `cluster` of this test is made with, as n_workers=3; "
        "see trio_dask.LocalCluster",
    )


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    """A cluster of two workers in this process, for one test.

    ``@pytest.mark.cluster(n_workers=3, …)`` gives it other options of `LocalCluster`.
    """
    from trio_dask import LocalCluster

    marker = request.node.get_closest_marker("cluster")
    options: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "processes": False}
    options |= marker.kwargs if marker is not None else {}
    before = _Census.now()
    with LocalCluster(**options) as made:
        yield made
        left = _left_in(made) if made.status == "running" else []
    left = left or before.newcomers()  # who left a client left its threads, too
    if left:
        pytest.fail("the test left something behind: " + "; ".join(left), pytrace=False)


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    """A blocking client of `cluster`."""
    from trio_dask import Client

    with Client(cluster) as made:
        yield made


@pytest.fixture
async def async_client(cluster: LocalCluster, anyio_backend: object) -> AsyncIterator[AsyncClient]:
    """An asynchronous client of `cluster`, for tests marked ``anyio``: on every loop they run on."""
    from trio_dask import AsyncClient

    del anyio_backend  # asked for so that anyio runs this fixture
    async with AsyncClient(cluster) as made:
        yield made


@pytest.fixture
def simulate() -> Simulate:
    """Simulates clusters from seeds, as with a placement policy to be tried: see `Simulate`."""
    return Simulate()


class Simulate:
    """``simulate(seeds=50, placement=MyPlacement)``: the results; the test fails where one does.

    Other arguments are those of `trio_dask.testing.Simulation`: `workload`, `workers`, `faults` …
    """

    def __call__(self, seeds: int | range = 20, **arguments: Any) -> list[SimulationResult]:
        """Simulate a cluster for each seed."""
        from trio_dask.testing import Simulation

        results = []
        for seed in range(seeds) if isinstance(seeds, int) else seeds:
            result = Simulation(seed=seed, **arguments).run()
            if not result.ok:
                pytest.fail(result.report(), pytrace=False)
            results.append(result)
        return results


def _left_in(cluster: LocalCluster) -> list[str]:
    """What the scheduler still has, once it has had the time to forget."""
    from trio_dask import Client

    deadline = time.monotonic() + PATIENCE_S
    with Client(cluster) as asking:
        while True:
            info = asking.scheduler_info()
            clients, tasks = info["clients"] - 1, info["tasks"]
            if not (clients or tasks) or time.monotonic() > deadline:
                break
            threading.Event().wait(0.01)
    left = [f"{clients} clients that were not closed"] if clients > 0 else []
    return left + ([f"{tasks} tasks that have not ended"] if tasks else [])


@dataclass(frozen=True, slots=True)
class _Census:
    """What a process has, by what identifies it."""

    threads: frozenset[threading.Thread]
    processes: frozenset[int]
    descriptors: frozenset[tuple[str, str]]

    @classmethod
    def now(cls) -> _Census:
        """At this moment."""
        import psutil

        children = psutil.Process().children(recursive=True)
        return cls(
            frozenset(each for each in threading.enumerate() if _counts(each)),
            frozenset(each.pid for each in children if each.status() != psutil.STATUS_ZOMBIE),
            frozenset(_descriptors()),
        )

    def newcomers(self) -> list[str]:
        """What has come since, and does not go."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            now = _Census.now()
            found = [f"the thread {each.name!r}" for each in now.threads - self.threads]
            found += [f"the process {pid}" for pid in now.processes - self.processes]
            found += [
                f"the descriptor {number} ({what})"
                for number, what in now.descriptors - self.descriptors
            ]
            if not found or time.monotonic() > deadline:
                return sorted(found)
            threading.Event().wait(0.01)


def _counts(thread: threading.Thread) -> bool:
    return not thread.name.startswith(_KEPT_THREADS)


def _descriptors() -> Iterator[tuple[str, str]]:
    """Sockets, pipes and the like; files are left to those who open them."""
    if not _DESCRIPTORS.is_dir():  # pragma: no cover - macOS
        return
    for path in _DESCRIPTORS.iterdir():
        try:
            what = str(path.readlink())
        except OSError:
            continue  # that by which the directory is read
        if not what.startswith("/") or what.startswith("/memfd:"):
            yield path.name, what
