"""A cluster of child processes, and that nothing of it is left."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import trio

from trio_dask.config import new_token, read_scheduler_file
from trio_dask.deploy import open_local_cluster
from trio_dask.errors import ConfigError, SchedulerUnreachable

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.processes, pytest.mark.network]


def family() -> list[psutil.Process]:
    """This process's children, and theirs."""
    children: list[psutil.Process] = psutil.Process().children(recursive=True)
    return children


async def test_it_is_there_inside_the_block_and_gone_after_it() -> None:
    """Scheduler, worker process and two runners; then none of them."""
    before = set(family())
    async with open_local_cluster(n_workers=2) as cluster:
        assert cluster.scheduler_address.startswith("tcp://127.0.0.1:")
        assert cluster.token not in repr(cluster)
        members = set(family()) - before
        assert len(members) == 4
    assert psutil.wait_procs(members, timeout=20)[1] == []


async def test_token_and_file_of_a_cluster_can_be_given(tmp_path: Path) -> None:
    """The file is there as long as the cluster, and workers are told more if need be."""
    before = set(family())
    path, token = tmp_path / "cluster.json", new_token()
    options: dict[str, Any] = {
        "token": token,
        "scheduler_file": path,
        "worker_environ": {"SEEN": "by tasks"},
    }
    async with open_local_cluster(1, 1, **options) as cluster:
        content = read_scheduler_file(path)
        assert (content.address, content.token) == (cluster.scheduler_address, token)
        environs = [each.environ() for each in set(family()) - before]
        # Worker and runner; not the scheduler. The token is the servers' only.
        assert [each.get("SEEN") for each in environs].count("by tasks") == 2
    assert not path.exists()


async def test_an_error_in_the_block_comes_out_as_it_is() -> None:
    """Not in a group, and the cluster is gone all the same."""
    before = set(family())
    with pytest.raises(ZeroDivisionError):
        async with open_local_cluster(1):
            raise ZeroDivisionError
    assert set(family()) == before


async def test_cancelling_ends_it() -> None:
    """Whatever ends the block ends the cluster."""
    before = set(family())
    with trio.CancelScope() as scope:
        async with open_local_cluster(1):
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert set(family()) == before


async def test_a_failed_start_says_why() -> None:
    """The message has the server's own last words."""
    with pytest.raises(SchedulerUnreachable, match=r"worker did not start .*local_directory"):
        async with open_local_cluster(local_directory="/dev/null/x"):
            pass


async def test_an_option_that_makes_no_sense_is_refused_at_once() -> None:
    """Before anything is started."""
    with pytest.raises(ConfigError, match="'lots' is no size"):
        async with open_local_cluster(memory_limit="lots"):
            pass


async def test_a_start_that_takes_too_long_is_given_up() -> None:
    """The time limit is for the start only."""
    before = set(family())
    with pytest.raises(SchedulerUnreachable, match="did not start within"):
        async with open_local_cluster(start_timeout_s=0.01):
            pass
    assert set(family()) == before


PARENT = """
import trio
from trio_dask.config import new_token, read_scheduler_file
from trio_dask.deploy import open_local_cluster

async def main():
    async with open_local_cluster(1):
        print("ready", flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


async def test_it_does_not_outlive_a_killed_parent() -> None:
    """A parent that gets no chance to clean up takes the cluster along all the same."""
    async with await trio.open_file("/dev/null") as nothing:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=nothing.wrapped
        )
    assert process.stdout is not None
    async with process.stdout:
        said = b""
        while b"ready\n" not in said:
            said += await process.stdout.receive_some()
        members = psutil.Process(process.pid).children(recursive=True)
        assert len(members) == 3
        process.kill()
        await process.wait()
        gone, left = await trio.to_thread.run_sync(lambda: psutil.wait_procs(members, timeout=20))
    assert left == []
    assert len(gone) == 3
