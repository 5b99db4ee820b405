"""A cluster on this machine, for as long as a block lasts."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import trio

from trio_dask.config import new_token
from trio_dask.deploy.children import Child, open_child
from trio_dask.deploy.plan import LocalPlan, plan_local
from trio_dask.errors import SchedulerUnreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path


@dataclass(slots=True, eq=False)
class ClusterHandle:
    """What a client needs to use the cluster, and what there is of it."""

    scheduler_address: str
    token: str = field(repr=False)
    status: str = "running"
    workers: dict[str, str] = field(default_factory=dict)
    #: The servers' processes.
    children: list[Child] = field(default_factory=list, repr=False)

    async def wait_broken(self) -> str:
        """Wait until one of the servers has ended by itself; which, and its last words."""
        said: list[str] = []

        async def watch(child: Child) -> None:
            said.append(await child.wait_ended())
            watching.cancel("one is enough")

        with trio.CancelScope() as watching:
            async with trio.open_nursery() as watchers:
                for child in self.children:
                    watchers.start_soon(watch, child)
        return said[0]


@asynccontextmanager
async def open_local_cluster(
    n_workers: int | None = None,
    threads_per_worker: int | None = None,
    *,
    on_line: Callable[[str], None] | None = None,
    token: str | None = None,
    scheduler_file: Path | None = None,
    worker_environ: Mapping[str, str] | None = None,
    **options: Any,
) -> AsyncIterator[ClusterHandle]:
    """A scheduler and workers in child processes on the loopback interface.

    When the block is entered all workers are registered; when it is left, for whatever
    reason, all processes have ended. The cluster's token is handed over in the
    environment, never as an argument, which others could read.

    Args:
        n_workers: how many workers; one process hosts them, each has its own runner.
        threads_per_worker: how many tasks each runs at once.
        on_line: called with each line the servers write on stderr.
        token: the cluster's; by default a new one.
        scheduler_file: where the scheduler shall write how to find it.
        worker_environ: variables for the workers' process and what runs in it.
        options: as for `LocalCluster`.

    Raises:
        ConfigError: an option is unknown, or its value is none.
        SchedulerUnreachable: a server did not start; the message has its last words.
    """
    options.setdefault("silence_logs", "info")
    plan = plan_local(n_workers, threads_per_worker, **options)
    async with open_plan(
        plan, on_line, token=token, scheduler_file=scheduler_file, worker_environ=worker_environ
    ) as cluster:
        yield cluster


@asynccontextmanager
async def open_plan(
    plan: LocalPlan,
    on_line: Callable[[str], None] | None,
    *,
    token: str | None = None,
    scheduler_file: Path | None = None,
    worker_environ: Mapping[str, str] | None = None,
) -> AsyncIterator[ClusterHandle]:
    """The cluster as planned."""
    token = new_token() if token is None else token
    environ = {
        name: value for name, value in os.environ.items() if name != "TRIO_DASK_SCHEDULER_ADDRESS"
    } | {"TRIO_DASK_TOKEN": token, **plan.environ}
    config = plan.config
    with trio.CancelScope(deadline=trio.current_time() + plan.start_timeout_s) as starting:
        async with open_child(
            "scheduler",
            [
                *("--host", config.scheduler.host, "--port", str(config.scheduler.port)),
                *(("--scheduler-file", str(scheduler_file)) if scheduler_file else ()),
            ],
            environ=environ,
            on_line=on_line,
        ) as scheduler:
            [address] = await scheduler.wait_for("Scheduler at:")
            options = {
                "--nworkers": str(plan.n_workers),
                "--nthreads": str(plan.threads_per_worker),
                "--memory-limit": str(config.worker.memory_limit),
                "--host": config.worker.host,
                "--name": plan.name,
            }
            arguments = [address, *(word for option in options.items() for word in option)]
            environ |= worker_environ or {}
            async with open_child("worker", arguments, environ=environ, on_line=on_line) as workers:
                places = await workers.wait_for("Start worker at:", plan.n_workers)
                await workers.wait_for("Registered to:", plan.n_workers)
                starting.deadline = trio.current_time() + float("inf")
                handle = ClusterHandle(address, token, children=[scheduler, workers])
                handle.workers |= {each: each for each in places}
                yield handle
    if starting.cancelled_caught:
        msg = f"the cluster did not start within {plan.start_timeout_s:g} s"
        raise SchedulerUnreachable(msg)
