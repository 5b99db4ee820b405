"""``trio-dask scheduler``."""

from __future__ import annotations

import errno
import logging
import os
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import trio
from cyclopts import Parameter

from trio_dask.cli.checks import check_directory_of, check_hosts
from trio_dask.cli.garbage import garbage_collector
from trio_dask.cli.logs import log_to_stderr
from trio_dask.cli.notify import notify
from trio_dask.cli.options import (
    DASHBOARD_OPTIONS,
    FILES_OPTIONS,
    LIFE_OPTIONS,
    LISTENING_OPTIONS,
    LogOptions,
    MootOfScheduler,
    TlsOptions,
    say_what_is_moot,
)
from trio_dask.cli.preload import import_preloads, preloaded
from trio_dask.cli.serving import (
    check_https,
    check_pages,
    checked_places,
    listen_at,
    owned_file,
    pid_file,
    rewrite_owned,
    run_until_signal,
)
from trio_dask.cli.tie import Tie, take_token
from trio_dask.comm import Keys, own_keys
from trio_dask.config import (
    Config,
    SchedulerFile,
    ensure_token,
    find_token,
    load_config,
    token_path,
    write_scheduler_file,
)
from trio_dask.dashboard import DashboardOptions, run_dashboard
from trio_dask.messages.tie import DASHBOARD, LISTENING, SHUT
from trio_dask.scheduler import SchedulerHandle, run_scheduler

logger = logging.getLogger("trio_dask.scheduler")

#: How often it is seen whether there is another token.
_LOOK_S = 1.0

_TLS, _LOG, _MOOT = TlsOptions(), LogOptions(), MootOfScheduler()


def scheduler(
    *,
    host: Annotated[str | None, Parameter(group=LISTENING_OPTIONS)] = None,
    port: Annotated[
        str | None, Parameter(group=LISTENING_OPTIONS, allow_leading_hyphen=True)
    ] = None,
    interface: Annotated[str | None, Parameter(group=LISTENING_OPTIONS)] = None,
    protocol: Annotated[str | None, Parameter(group=LISTENING_OPTIONS)] = None,
    tls: TlsOptions = _TLS,
    dashboard: Annotated[bool | None, Parameter(group=DASHBOARD_OPTIONS)] = None,
    dashboard_address: Annotated[str | None, Parameter(group=DASHBOARD_OPTIONS)] = None,
    dashboard_prefix: Annotated[str | None, Parameter(group=DASHBOARD_OPTIONS)] = None,
    idle_timeout: Annotated[str | None, Parameter(group=LIFE_OPTIONS)] = None,
    preload: Annotated[list[str] | None, Parameter(group=LIFE_OPTIONS, negative="")] = None,
    scheduler_file: Annotated[Path | None, Parameter(group=FILES_OPTIONS)] = None,
    pid_file: Annotated[Path | None, Parameter(group=FILES_OPTIONS)] = None,
    event_log: Annotated[Path | None, Parameter(group=FILES_OPTIONS)] = None,
    log: LogOptions = _LOG,
    moot: MootOfScheduler = _MOOT,
    tied: Annotated[bool, Parameter(show=False, negative="")] = False,
    token_on_stdin: Annotated[bool, Parameter(show=False, negative="")] = False,
    workers_file: Annotated[Path | None, Parameter(show=False)] = None,
) -> None:
    """Start the scheduler of a cluster, and run it until a signal comes.

    Workers and clients need the cluster's token: `trio-dask token show` prints it.
    The scheduler makes one if there is none.

    Args:
        host: Where to listen, as `127.0.0.1`, `::1`, `127.0.0.1:8786` or `tls://`; several by
            commas. [default: on all interfaces]
        port: The port to listen on; 0: any free one; of a range, as `8786:8790`, the first that
            is free. For several hosts or protocols one for each, by commas. [default: 8786]
        interface: The network interface to listen on, as `eth0` or `ib0`, instead of a host.
        protocol: `tcp`, or `tls`, which is encrypted; several by commas. [default: tcp]
        tls: Certificates.
        dashboard: Have a dashboard. [default: yes]
        dashboard_address: Where it is, as `:8787` or `127.0.0.1:0`, several by commas; without a
            host, where the scheduler listens. A port that is in use is replaced by a free one.
            [default: :8787]
        dashboard_prefix: The path under which a proxy shows it, if the proxy leaves that in.
        idle_timeout: End when there has been nothing to do for so long, as `1h`.
        preload: A module to import first, as `package.module`; its `dask_setup(scheduler)` is
            called, and `dask_teardown` at the end. Of `package.module:Class` an object is made,
            whose `start(scheduler)` and `close()` are called. May be given several times.
        scheduler_file: Write address and token to this file, for workers and clients on the
            same file system.
        pid_file: Write the process id to this file.
        event_log: Record all that the scheduler is told in this file, for `trio-dask replay`.
        log: What is said on stderr.
        moot: What does nothing.
        tied: End when standard input ends.
        token_on_stdin: The first line of standard input is the token.
        workers_file: Another scheduler file, for those who have been started together with it.
    """
    if token_on_stdin:
        take_token()
    at = listen_at(host, port, interface, protocol, tls=tls.given())
    for path, option in ((scheduler_file, "--scheduler-file"), (pid_file, "--pid-file"),
                         (event_log, "--event-log")):  # fmt: skip
        check_directory_of(path, option)
    config = load_config(
        overrides={
            "scheduler.host": at.host,
            "scheduler.port": at.port,
            "scheduler.protocol": at.protocol,
            "scheduler.event_log": event_log and str(event_log),
            "scheduler.dashboard": dashboard,
            "scheduler.dashboard_address": dashboard_address,
            "scheduler.dashboard_prefix": dashboard_prefix,
            "scheduler.idle_timeout": idle_timeout,
            "log_format": log.log_format,
        }
        | tls.overrides(),
        spelled={"scheduler.port": "--port", "scheduler.idle_timeout": "--idle-timeout"},
    )
    checked_places(config.scheduler)
    check_hosts(config.scheduler.host, "--host" if host is not None else "scheduler.host")
    check_pages(config.scheduler.dashboard_address, config.scheduler.dashboard_prefix)
    check_https(config)
    log_to_stderr(log.log_level, config.log_format)
    say_what_is_moot("scheduler", moot, logger)
    modules = import_preloads(preload or ())
    with garbage_collector(off=True):
        tie = Tie() if tied else None
        files = [path for path in (scheduler_file, workers_file) if path is not None]
        run_until_signal(partial(_serve, config, files, pid_file, tie, modules), tie=tie)


async def _serve(
    config: Config,
    scheduler_paths: list[Path],
    pid_path: Path | None,
    tie: Tie | None,
    modules: list[object],
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
        with ExitStack() as files:
            files.enter_context(pid_file(pid_path))
            for path in scheduler_paths:
                files.enter_context(
                    owned_file(path, partial(write_scheduler_file, content=content))
                )
                nursery.start_soon(keep_token, path, content, keys)
            logger.info("Scheduler at:   %s", handle.address)
            for other in handle.other_addresses:
                logger.info("    also at:   %s", other)
            if config.scheduler.dashboard:
                shown = await nursery.start(run_dashboard, handle.view, keys, _options(config))
                handle.shown_at(shown.link)
                logger.info("  dashboard at:   %s", shown.link)
                if tie is not None:
                    tie.tell(f"{DASHBOARD} {shown.link}")
            if tie is not None:
                tie.tell(f"{LISTENING} {handle.address}")
            async with preloaded(modules, handle):
                notify("READY=1")
                await trio.sleep_forever()


async def keep_token(path: Path, content: SchedulerFile, keys: Keys) -> None:
    """Write the scheduler file anew when there is another token."""
    known = keys.current()
    while True:
        await trio.sleep(_LOOK_S)
        now = keys.current()
        if now != known:
            known, content = now, replace(content, token=find_token())
            rewrite_owned(path, partial(write_scheduler_file, content=content))


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


def _options(config: Config) -> DashboardOptions:
    settings = config.scheduler
    return DashboardOptions(
        address=settings.dashboard_address,
        host=settings.host,
        prefix=settings.dashboard_prefix,
        https=config.comm.tls.dashboard,
    )
