"""Clusters on this machine as objects: `LocalCluster` blocks, `AsyncLocalCluster` is awaited."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from trio_dask.deploy.base import AsyncCluster, BlockingCluster, ClusterBase, show_line
from trio_dask.deploy.engine import Engine
from trio_dask.deploy.local import open_plan
from trio_dask.deploy.plan import DASHBOARD, LOOPBACK, START_S, plan_local

if TYPE_CHECKING:
    from trio_dask.comm import Security


class _LocalCluster(ClusterBase):
    """The arguments of both."""

    def __init__(  # noqa: PLR0913 - as many as Dask's
        self,
        n_workers: int | None = None,
        threads_per_worker: int | None = None,
        *,
        processes: bool = True,
        memory_limit: str | float | None = "auto",
        dashboard_address: str | None = DASHBOARD,
        security: Security | bool | None = None,
        scheduler_port: int | str = 0,
        host: str | None = LOOPBACK,
        name: str | int | None = None,
        start_timeout_s: float = START_S,
        silence_logs: int | str | bool = logging.WARNING,
        **worker_options: Any,
    ) -> None:
        plan = plan_local(
            n_workers,
            threads_per_worker,
            processes=processes,
            memory_limit=memory_limit,
            dashboard_address=dashboard_address,
            security=security,
            scheduler_port=scheduler_port,
            host=host,
            name=name,
            start_timeout_s=start_timeout_s,
            silence_logs=silence_logs,
            **worker_options,
        )
        self._engine = Engine(plan, lambda: open_plan(plan, show_line))
        self._begin()


class LocalCluster(_LocalCluster, BlockingCluster):
    """A scheduler and workers on this machine, there as soon as it is made.

    >>> from trio_dask import Client, LocalCluster
    >>> with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster) as client:
    ...     client.gather(client.map(abs, [-1, -2]))
    [1, 2]
    >>> cluster.status
    'closed'

    The servers are processes tied to this one: they end with it, whatever becomes of it, and a
    program that forgets to close its cluster ends all the same. A worker process that dies is
    started again. With ``processes=False`` all of it lives in this process and starts within
    milliseconds: for tests, and for tasks that release the interpreter's lock. User code then
    runs in threads of this process, and nothing protects the servers from it.

    Args:
        n_workers: how many workers; what is left out suits the processors. 0: none yet.
        threads_per_worker: how many tasks each runs at once.
        processes: whether servers and tasks have processes of their own.
        memory_limit: memory of each worker, as ``"4GiB"``, bytes, a share below 1 of the
            machine's, or 0 for no limit; ``"auto"`` shares the machine's among them.
        dashboard_address: where the dashboard is, as ``":8787"`` or ``"127.0.0.1:0"``; if the port
            is in use, a free one is taken. None: there is none.
        security: certificates, to have all connections encrypted; True makes some for this
            cluster alone. The cluster's token is needed in any case.
        scheduler_port: where the scheduler listens; 0: any free port; of a range, as
            ``"8786:8790"``, the first that is free.
        host: on which interface; by default, and with None, nobody outside this machine gets in.
        name: what the workers' names begin with, as ``name-0``.
        start_timeout_s: how long the start may take.
        silence_logs: the least important lines of the servers' logs to show on stderr, as a level
            of `logging` or its name; False: also what they say when all is well.
        worker_options: settings of the workers, as `local_directory` or `resources`; shares of
            `memory_limit`, as `memory_target_fraction`, `memory_spill_fraction`,
            `memory_pause_fraction` or `memory_terminate_fraction`, each below 1, or False to do
            without; and `max_spill`, how much of each worker's values may be in files.

    Raises:
        ConfigError: an argument is unknown, or makes no sense.
        SchedulerUnreachable: a server did not start; the message has its last words.
        RuntimeError: a loop runs in this thread, which must not be blocked.
    """


class AsyncLocalCluster(_LocalCluster, AsyncCluster):
    """The same as `LocalCluster` for async code, on Trio and asyncio; ``async with`` starts it.

    It lives on a loop of its own, so nothing that its user's loop is busy with holds it up.
    """
