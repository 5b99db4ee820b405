"""A cluster's servers in this process: on the loop it lives on, and runners in threads."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from trio_dask.comm import own_keys
from trio_dask.dashboard import DashboardOptions, run_dashboard
from trio_dask.deploy.threads import thread_host
from trio_dask.errors import TrioDaskError
from trio_dask.scheduler import run_scheduler
from trio_dask.worker import run_worker

if TYPE_CHECKING:
    from trio_dask.comm import Keys
    from trio_dask.dashboard import Dashboard
    from trio_dask.deploy.handle import ClusterHandle
    from trio_dask.deploy.plan import LocalPlan
    from trio_dask.scheduler import SchedulerView


async def run_inside(plan: LocalPlan, handle: ClusterHandle) -> None:
    """Until cancelled. What goes wrong is the cluster's failure."""
    keys = own_keys(handle.token, plan.config, origin="the cluster's token", security=plan.security)
    try:
        async with trio.open_nursery() as nursery:
            showing = trio.CancelScope()

            def on_closing(_why: str) -> None:
                showing.cancel("the cluster is shut down")
                handle.shut_down()

            serve = partial(run_scheduler, on_closing=on_closing)
            scheduler = await nursery.start(serve, plan.config, keys)
            if plan.config.scheduler.dashboard:
                shown = await nursery.start(_show, scheduler.view, keys, plan, showing)
                handle.dashboard_link = shown.link
                scheduler.shown_at(shown.link)
            handle.scheduler_found(scheduler.address)
            run = partial(
                run_worker, runner_host=thread_host, numbered=True, on_change=handle.worker_changed
            )
            crew = await nursery.start(run, plan.config, scheduler.address, keys)
            handle.obey(crew.scale)
        handle.workers_lost()  # a client has shut it down
    except* (TrioDaskError, OSError) as group:
        handle.fail(str(_first(group)))


async def _show(
    view: SchedulerView,
    keys: Keys,
    plan: LocalPlan,
    scope: trio.CancelScope,
    *,
    task_status: trio.TaskStatus[Dashboard],
) -> None:
    """The dashboard, as long as there is something to show."""
    settings = plan.config.scheduler
    options = DashboardOptions(
        address=settings.dashboard_address,
        host=settings.host,
        prefix=settings.dashboard_prefix,
        https=plan.config.comm.tls.dashboard,
    )
    with scope:
        await run_dashboard(view, keys, options, task_status=task_status)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
