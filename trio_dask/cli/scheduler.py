"""``trio-dask scheduler``."""

from __future__ import annotations

import errno
import logging
import os
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import trio
from cyclopts import Parameter

from trio_dask.cli.garbage import garbage_collector
from trio_dask.cli.logs import LogLevel, log_to_stderr
from trio_dask.cli.serving import listen_at, owned_file, pid_file, run_until_signal
from trio_dask.cli.tie import Tie
from trio_dask.comm import Keys, own_keys
from trio_dask.config import (
    Config,
    SchedulerConfig,
    SchedulerFile,
    ensure_token,
    load_config,
    token_path,
    write_scheduler_file,
)
from trio_dask.dashboard import DashboardOptions, run_dashboard
from trio_dask.messages.tie import DASHBOARD, LISTENING, SHUT
from trio_dask.scheduler import SchedulerHandle, run_scheduler

logger = logging.getLogger("trio_dask.scheduler")


def scheduler(
    *,
    host: str | None = None,
    port: int | None = None,
    interface: str | None = None,
    protocol: Literal["tcp"] = "tcp",
    scheduler_file: Path | None = None,
    pid_file: Path | None = None,
    event_log: Path | None = None,
    dashboard: bool | None = None,
    dashboard_address: str | None = None,
    dashboard_prefix: str | None = None,
    log_level: LogLevel = "info",
    tied: Annotated[bool, Parameter(show=False, negative="")] = False,
) -> None:
    """Start the scheduler of a cluster, and run it until a signal comes.

    Workers and clients need the cluster's token: `trio-dask token show` prints it.
    The scheduler makes one if there is none.

    Args:
        host: Where to listen, as `127.0.0.1`, `::1` or `127.0.0.1:8786`; by default on all
            interfaces.
        port: The port to listen on; 0: any free one. [default: 8786]
        interface: The network interface to listen on, as `eth0` or `ib0`.
        protocol: How connections are made.
        scheduler_file: Write address and token to this file, for workers and clients on the
            same file system.
        pid_file: Write the process id to this file.
        event_log: Record all that the scheduler is told in this file, for `trio-dask replay`.
        dashboard: Have a dashboard. [default: yes]
        dashboard_address: Where it is, as `:8787` or `127.0.0.1:0`; without a host, where the
            scheduler listens. A port that is in use is replaced by a free one. [default: :8787]
        dashboard_prefix: The path under which a proxy shows it, if the proxy leaves that in.
        log_level: The least important lines to show on stderr.
        tied: End when standard input ends.
    """
    del protocol  # there is but one; the option is there because scripts give it
    at = listen_at(host, port, interface)
    config = load_config(
        overrides={
            "scheduler.host": at.host,
            "scheduler.port": at.port,
            "scheduler.event_log": event_log and str(event_log),
            "scheduler.dashboard": dashboard,
            "scheduler.dashboard_address": dashboard_address,
            "scheduler.dashboard_prefix": dashboard_prefix,
        },
        spelled={"scheduler.port": "--port"},
    )
    log_to_stderr(log_level)
    with garbage_collector(off=True):
        tie = Tie() if tied else None
        run_until_signal(partial(_serve, config, scheduler_file, pid_file, tie), tie=tie)


async def _serve(
    config: Config, scheduler_path: Path | None, pid_path: Path | None, tie: Tie | None
) -> None:
    found = config.token or token_path().exists()
    token = ensure_token(config)
    keys = own_keys(token, config)
    # Nothing that this process starts needs it.
    os.environ.pop("TRIO_DASK_TOKEN", None)
    if not found:
        logger.info("Made a new token:   %s", token_path())
    async with trio.open_nursery() as nursery:
        try:
            handle = await nursery.start(_run_to_the_end, config, keys, tie, nursery.cancel_scope)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                error.strerror = f"{error.strerror}; --port takes another one, 0 is any free one"
            raise
        content = SchedulerFile(id=handle.cluster, address=handle.address, token=token)
        # Not before it listens: a second one on the same port leaves the files of the first alone.
        with (
            pid_file(pid_path),
            owned_file(scheduler_path, partial(write_scheduler_file, content=content)),
        ):
            logger.info("Scheduler at:   %s", handle.address)
            if config.scheduler.dashboard:
                shown = await nursery.start(
                    run_dashboard, handle.view, keys, _options(config.scheduler)
                )
                handle.shown_at(shown.link)
                logger.info("  dashboard at:   %s", shown.link)
                if tie is not None:
                    tie.tell(f"{DASHBOARD} {shown.link}")
            if tie is not None:
                tie.tell(f"{LISTENING} {handle.address}")
            await trio.sleep_forever()


async def _run_to_the_end(
    config: Config,
    keys: Keys,
    tie: Tie | None,
    command: trio.CancelScope,
    *,
    task_status: trio.TaskStatus[SchedulerHandle],
) -> None:
    """The scheduler; when a client shuts it down, the command ends with it."""

    def on_closing(_why: str) -> None:
        if tie is not None:
            tie.tell(SHUT)

    await run_scheduler(config, keys, on_closing=on_closing, task_status=task_status)
    command.cancel("the scheduler has ended")


def _options(settings: SchedulerConfig) -> DashboardOptions:
    return DashboardOptions(
        address=settings.dashboard_address, host=settings.host, prefix=settings.dashboard_prefix
    )
