"""What tasks have started ends with the process that they ran in, wherever it has gone."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.system.orphan_tasks import die, leave_a_daemon, leave_a_short_one
from trio_dask.client import AsyncClient
from trio_dask.errors import KilledWorker

if TYPE_CHECKING:
    from tests.system.conftest import Cluster

pytestmark = [
    pytest.mark.network,
    pytest.mark.processes,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere orphans go to init"),
]


def state_of(pid: int) -> str:
    """What the system says of a process; "gone" if nothing."""
    try:
        return psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return "gone"


async def test_a_daemon_ends_with_its_runner(cluster: Cluster) -> None:
    """Killed and let go of, when its runner dies; that of a runner that lives goes on."""
    workers = cluster.workers(2, "--nthreads", "1")
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        places = [f"{worker}" for worker in await _names(client)]
        mine = await client.submit(leave_a_daemon, workers=places[:1])
        other = await client.submit(leave_a_daemon, workers=places[1:])
        assert psutil.Process(mine).ppid() == workers.process.pid
        with pytest.raises(KilledWorker):
            await client.submit(die, workers=places[:1])
        assert state_of(mine) == "gone"
        assert state_of(other) == "sleeping"
    assert workers.end(signal.SIGTERM) == 0
    assert state_of(other) == "gone"


async def _names(client: AsyncClient) -> list[str]:
    info = await client.scheduler_info()
    return [worker["name"] for worker in info["workers"].values()]


async def test_what_ends_by_itself_is_let_go_of(cluster: Cluster) -> None:
    """No zombie stays with the worker."""
    cluster.workers(1, "--nthreads", "1")
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        pid = await client.submit(leave_a_short_one)
        psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=20)
        assert state_of(pid) == "gone"
