"""A cluster's servers in this process: on the loop it lives on, and runners in threads."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from trio_dask.comm import keys_from_token
from trio_dask.deploy.threads import thread_host
from trio_dask.errors import TrioDaskError
from trio_dask.scheduler import run_scheduler
from trio_dask.worker import run_worker

if TYPE_CHECKING:
    from trio_dask.deploy.handle import ClusterHandle
    from trio_dask.deploy.plan import LocalPlan


async def run_inside(plan: LocalPlan, handle: ClusterHandle) -> None:
    """Until cancelled. What goes wrong is the cluster's failure."""
    keys = keys_from_token(handle.token)
    try:
        async with trio.open_nursery() as nursery:
            serve = partial(run_scheduler, on_closing=lambda _: handle.shut_down())
            scheduler = await nursery.start(serve, plan.config, keys)
            handle.scheduler_found(scheduler.address)
            run = partial(
                run_worker, runner_host=thread_host, numbered=True, on_change=handle.worker_changed
            )
            crew = await nursery.start(run, plan.config, scheduler.address, keys)
            handle.obey(crew.scale)
        handle.workers_lost()  # a client has shut it down
    except* (TrioDaskError, OSError) as group:
        handle.fail(str(_first(group)))


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
