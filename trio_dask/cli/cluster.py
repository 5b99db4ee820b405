"""``trio-dask cluster``: scheduler and workers on this machine, in one command."""

from __future__ import annotations

import ipaddress
from functools import partial
from pathlib import Path
from typing import Any

from trio_dask.cli.checks import check_directory_of, check_hosts
from trio_dask.cli.local_options import LocalOptions, say, show
from trio_dask.cli.logs import LogLevel, log_to_stderr
from trio_dask.cli.serving import check_pages, listen_at, pid_file, run_until_signal
from trio_dask.comm import own_keys, parse_address
from trio_dask.config import Config, ensure_token, format_bytes, load_config, token_path
from trio_dask.deploy import ClusterHandle, open_local_cluster
from trio_dask.errors import CommError

_LOOPBACK = "127.0.0.1"
_DEFAULTS = LocalOptions()


def cluster(
    *,
    options: LocalOptions = _DEFAULTS,
    host: str | None = None,
    port: int | None = None,
    dashboard: bool | None = None,
    dashboard_address: str | None = None,
    scheduler_file: Path | None = None,
    pid_file: Path | None = None,
    log_level: LogLevel = "warning",
) -> None:
    """Start a scheduler and workers on this machine, and run them until a signal comes.

    They listen on the loopback interface: clients on this machine can use the cluster.
    Clients of the same user find the token by themselves.

    Args:
        options: How many workers of which kind.
        host: Where to listen, as `0.0.0.0` for clients on other machines. [default: 127.0.0.1]
        port: The scheduler's port; 0: any free one. [default: 8786]
        dashboard: Have a dashboard. [default: yes]
        dashboard_address: Where it is, as `:8787` or `127.0.0.1:0`. A port that is in use is
            replaced by a free one. [default: :8787]
        scheduler_file: Write address and token to this file, for clients.
        pid_file: Write the process id to this file.
        log_level: The least important lines of the servers' logs to show on stderr.
    """
    at = listen_at(host, port, None)
    check_directory_of(scheduler_file, "--scheduler-file")
    check_directory_of(pid_file, "--pid-file")
    config = load_config(
        overrides={
            "scheduler.host": at.host,
            "scheduler.port": at.port,
            "scheduler.dashboard": dashboard,
            "scheduler.dashboard_address": dashboard_address,
        },
        spelled={"scheduler.port": "--port"},
    )
    check_hosts(config.scheduler.host, "--host" if host is not None else "scheduler.host")
    check_pages(config.scheduler.dashboard_address)
    arguments = options.arguments()
    arguments |= {
        "host": config.scheduler.host or _LOOPBACK,
        "scheduler_port": config.scheduler.port,
        "dashboard_address": (
            config.scheduler.dashboard_address if config.scheduler.dashboard else None
        ),
        "scheduler_file": scheduler_file,
        "on_line": show,
        "silence_logs": log_level,
    }
    log_to_stderr(log_level)
    run_until_signal(partial(_serve, config, arguments, pid_file))


async def _serve(config: Config, arguments: dict[str, Any], pid_path: Path | None) -> None:
    found = config.token or token_path().exists()
    token = ensure_token(config)
    own_keys(token, config)  # said here if it is none, and not by a child
    with pid_file(pid_path):
        async with open_local_cluster(token=token, **arguments) as handle:
            if not found:
                say(f"Made a new token:   {token_path()}")
            _introduce(handle)
            why = await handle.wait_ended()
            if why:
                raise CommError(why)


def _introduce(handle: ClusterHandle) -> None:
    """Say what there is, and how to use it."""
    address, worker = handle.scheduler_address, handle.plan.config.worker
    memory = f" and {format_bytes(worker.memory_limit)}" if worker.memory_limit else ""
    threads = "1 thread" if worker.nthreads == 1 else f"{worker.nthreads} threads"
    say(f"Scheduler at:   {address}")
    if handle.dashboard_link:
        say(f"Dashboard at:   {handle.dashboard_link}")
    say(f"Workers:        {len(handle.workers)}, each with {threads}{memory}")
    say(f'Connect with:   trio_dask.Client("{address}")')
    if not _is_loopback(parse_address(address).host):
        say("On other machines, TRIO_DASK_TOKEN is what `trio-dask token show` prints here.")
    say("It ends with Ctrl-C.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
