"""A cluster on this machine, for as long as a block lasts."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import trio

from trio_dask.config import new_token
from trio_dask.deploy.adaptive import keep_adapting
from trio_dask.deploy.handle import ClusterHandle
from trio_dask.deploy.outside import Outside
from trio_dask.deploy.plan import LocalPlan, plan_local
from trio_dask.errors import SchedulerUnreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path


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
    """A cluster as part of a Trio program, which `LocalCluster` runs on a loop of its own.

    When the block is entered all workers are registered; when it is left, for whatever
    reason, nothing of it is left. The cluster's token is handed over in the environment,
    never as an argument, which others could read.

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
    plan = replace(
        plan_local(n_workers, threads_per_worker, **options),
        token=token or new_token(),
        scheduler_file=scheduler_file,
        worker_environ=worker_environ or {},
    )
    async with open_plan(plan, on_line) as cluster:
        yield cluster


@asynccontextmanager
async def open_plan(
    plan: LocalPlan, on_line: Callable[[str], None] | None
) -> AsyncIterator[ClusterHandle]:
    """The cluster as planned."""
    handle = ClusterHandle(plan)
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        if plan.processes:
            nursery.start_soon(Outside(plan, handle, on_line).run)
        else:
            from trio_dask.deploy.inside import run_inside

            nursery.start_soon(run_inside, plan, handle)
        try:
            await _start(handle, plan.start_timeout_s)
            nursery.start_soon(keep_adapting, handle)
            yield handle
        except Exception as error:  # noqa: BLE001 - raised below, outside the nursery: not in a group
            failure = error
        nursery.cancel_scope.cancel("the cluster is closed")
    if failure is not None:
        raise failure


async def _start(handle: ClusterHandle, timeout_s: float) -> None:
    with trio.move_on_after(timeout_s) as starting:
        await handle.wait_started()
    if starting.cancelled_caught:
        msg = f"the cluster did not start within {timeout_s:g} s"
        raise SchedulerUnreachable(msg)
