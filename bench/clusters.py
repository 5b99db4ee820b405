"""The systems that are measured, each as a block in which a no-op can be mapped."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import psutil

from trio_dask.client import AsyncClient
from trio_dask.deploy import open_local_cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


def inc(x: int) -> int:
    """As little as a task can do."""
    return x + 1


def cpu_by_role(roles: dict[str, list[psutil.Process]]) -> dict[str, float]:
    """CPU seconds so far, by role."""
    used = {}
    for role, processes in roles.items():
        times = [process.cpu_times() for process in processes]
        used[role] = sum(each.user + each.system for each in times)
    return used


def our_roles() -> dict[str, list[psutil.Process]]:
    """The processes of a trio_dask cluster that this process started."""
    roles: dict[str, list[psutil.Process]] = {"client": [psutil.Process()]}
    for process in psutil.Process().children(recursive=True):
        command = process.cmdline()
        for role in ("scheduler", "worker", "trio_dask.runner"):
            if role in command:
                roles.setdefault(role.removeprefix("trio_dask."), []).append(process)
                break
    return roles


@asynccontextmanager
async def ours(workers: int = 2) -> AsyncIterator[AsyncClient]:
    """A cluster of child processes and a client."""
    async with open_local_cluster(n_workers=workers) as cluster:
        async with AsyncClient(cluster) as client:
            yield client


@contextmanager
def distributed(*, queueing: bool) -> Iterator[Any]:
    """dask.distributed's LocalCluster of two processes with a thread each, and a client."""
    import dask
    from distributed import Client, LocalCluster

    saturation = 1.1 if queueing else float("inf")
    with dask.config.set({"distributed.scheduler.worker-saturation": saturation}):
        with LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
        ) as cluster:
            with Client(cluster) as client:
                yield client
