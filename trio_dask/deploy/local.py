"""A cluster on this machine, for as long as a block lasts."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import trio

from trio_dask.config import new_token
from trio_dask.deploy.children import open_child
from trio_dask.errors import SchedulerUnreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class ClusterHandle:
    """What a client needs to use the cluster."""

    scheduler_address: str
    token: str = field(repr=False)


@asynccontextmanager
async def open_local_cluster(
    *,
    n_workers: int = 1,
    threads_per_worker: int = 1,
    memory_limit: str = "auto",
    start_timeout_s: float = 30.0,
    on_line: Callable[[str], None] | None = None,
) -> AsyncIterator[ClusterHandle]:
    """A scheduler and workers in child processes on the loopback interface.

    When the block is entered all workers are registered; when it is left, for whatever
    reason, all processes have ended. The cluster's token is new and handed over in the
    environment, never as an argument, which others could read.

    Args:
        n_workers: how many workers; one process hosts them, each has its own runner.
        threads_per_worker: how many tasks each runs at once.
        memory_limit: memory of each worker, as on the command line.
        start_timeout_s: how long the start may take.
        on_line: called with each line the servers write on stderr.

    Raises:
        SchedulerUnreachable: a server did not start; the message has its last words.
    """
    token = new_token()
    environ = {
        name: value for name, value in os.environ.items() if name != "TRIO_DASK_SCHEDULER_ADDRESS"
    } | {"TRIO_DASK_TOKEN": token}
    with trio.CancelScope(deadline=trio.current_time() + start_timeout_s) as starting:
        async with open_child(
            "scheduler", ["--host", _LOOPBACK, "--port", "0"], environ=environ, on_line=on_line
        ) as scheduler:
            [address] = await scheduler.wait_for("Scheduler at:")
            options = {
                "--nworkers": str(n_workers),
                "--nthreads": str(threads_per_worker),
                "--memory-limit": memory_limit,
                "--host": _LOOPBACK,
            }
            arguments = [address, *(word for option in options.items() for word in option)]
            async with open_child("worker", arguments, environ=environ, on_line=on_line) as workers:
                await workers.wait_for("Registered to:", n_workers)
                starting.deadline = trio.current_time() + float("inf")
                yield ClusterHandle(address, token)
    if starting.cancelled_caught:
        msg = f"the cluster did not start within {start_timeout_s:g} s"
        raise SchedulerUnreachable(msg)
