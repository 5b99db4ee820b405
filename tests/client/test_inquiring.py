"""What runs, and where time went, as clients ask for it."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import pytest

from trio_dask import AsyncClient, Client, LocalCluster, get_client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Two workers in this process."""
    with LocalCluster(n_workers=2, threads_per_worker=2, processes=False) as made:
        yield made


@pytest.fixture
def gate(tmp_path: Path) -> str:
    """A pipe with a name: who reads it waits until somebody writes."""
    path = str(tmp_path / "gate")
    os.mkfifo(path)
    return path


def opens(path: str) -> int:
    """Wait until somebody writes."""
    with open(path, "rb") as gate:  # noqa: PTH123 - as short as can be
        return len(gate.read())


def let_go(path: str) -> None:
    """Whoever waits goes on."""
    with open(path, "wb"):  # noqa: PTH123
        pass


def test_calls_of_tasks(cluster: LocalCluster, gate: str) -> None:
    """By worker and key, for some or all; of what does not run there is nothing."""
    with Client(cluster) as client:
        done, running = client.submit(len, "abc"), client.submit(opens, gate, key="waits")
        assert done.result() == 3
        while not (found := client.call_stack(running)):
            pass
        [(address, stacks)] = found.items()
        assert address in client.nthreads()
        assert list(stacks) == ["waits"]
        assert any("in opens" in line and "test_inquiring.py" in line for line in stacks["waits"])
        assert client.call_stack(keys="waits").keys() == found.keys()
        assert client.call_stack([done]) == client.call_stack(keys=["nobody"]) == {}
        assert "waits" in {key for each in client.call_stack().values() for key in each}
        let_go(gate)
        assert running.result() == 0


def names(tree: dict[str, Any]) -> set[str]:
    """All functions in a profile."""
    found = {tree["description"]["name"]}
    for each in tree["children"].values():
        found |= names(each)
    return found


def test_where_time_went(cluster: LocalCluster, gate: str) -> None:
    """A tree, of all or one function, of one worker or each."""
    with Client(cluster) as client:
        running = client.submit(opens, gate)
        while not (tree := client.profile("opens"))["count"]:
            pass
        assert tree["identifier"] == "root"
        [task] = tree["children"].values()
        assert task["identifier"] == "opens"
        assert "opens" in {name for each in task["children"].values() for name in names(each)}
        assert client.profile("no such function")["count"] == 0
        assert client.profile(stop=1.0)["count"] == 0
        assert client.profile(start=1.0)["count"] >= tree["count"]
        each = client.profile(merge_workers=False)
        assert each.keys() == client.nthreads().keys()
        busy = [address for address, one in each.items() if "opens" in names(one)]
        assert client.profile(workers=busy)["count"] >= tree["count"]
        with pytest.raises(ValueError, match="there is no worker 'nobody'"):
            client.profile(workers="nobody")
        let_go(gate)
        assert running.result() == 0


def test_what_workers_have_logged(cluster: LocalCluster) -> None:
    """The newest first, as many as one likes."""
    logging.getLogger("trio_dask.worker").warning("mind %s", "the gap")
    with Client(cluster) as client:
        logs = client.get_worker_logs()
        assert logs.keys() == client.nthreads().keys()
        (lines, same) = logs.values()
        assert lines == same  # of one process
        assert ("WARNING", "mind the gap") in lines
        [(_, few)] = client.get_worker_logs(1, workers=list(logs)[:1]).items()
        assert len(few) == 1


def test_what_the_scheduler_has_logged(cluster: LocalCluster) -> None:
    """The newest first, as many as one likes; also for a client of a task."""
    for what in "the gap", "the step":
        logging.getLogger("trio_dask.scheduler").warning("mind %s", what)
    with Client(cluster) as client:
        assert ("WARNING", "mind the step") in client.get_scheduler_logs()
        [newest] = client.get_scheduler_logs(1)
        assert newest == client.get_scheduler_logs(2)[0]
        assert client.get_scheduler_logs(0) == ()
        with pytest.raises(ValueError, match="n must be a number of lines, not -1"):
            client.get_scheduler_logs(-1)
        assert len(client.submit(first_lines, 2).result()) == 2
        with pytest.raises(ValueError, match="only the scheduler's process says"):
            client.run_blocking(client.live.ask("told_here", {"serial": 1, "said": b"lies"}))


def first_lines(count: int) -> Any:
    """What a task sees of it."""
    return get_client().get_scheduler_logs(count)


@pytest.mark.anyio
async def test_the_same_for_who_awaits(cluster: LocalCluster, gate: str) -> None:
    """On both loops."""
    async with AsyncClient(cluster.scheduler_address) as client:
        running = client.submit(opens, gate, key="waits-here")
        while not (found := await client.call_stack(running)):
            pass
        assert [list(each) for each in found.values()] == [["waits-here"]]
        while not (await client.profile("opens"))["count"]:
            pass
        assert await client.get_worker_logs(n=3)
        logging.getLogger("trio_dask.scheduler").warning("mind the gap")
        assert len(await client.get_scheduler_logs(n=1)) == 1
        let_go(gate)
        assert await running == 0
