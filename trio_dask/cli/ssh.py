"""``trio-dask ssh``: a cluster on machines that are reached by ssh."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import trio
from cyclopts import Parameter

from trio_dask.cli.checks import check_word
from trio_dask.cli.dasks import why_moot
from trio_dask.cli.local_options import say
from trio_dask.cli.logs import log_to_stderr
from trio_dask.cli.options import MOOT_OPTIONS, WORK_OPTIONS, LogOptions
from trio_dask.cli.serving import run_until_signal
from trio_dask.config import ensure_token, load_config, parse_ports, ports_text
from trio_dask.deploy import SSHPlan, open_ssh_plan, plan_ssh
from trio_dask.errors import CommError, ConfigError

logger = logging.getLogger("trio_dask.ssh")

_LOG = LogOptions()
_PORT = "8786"


def ssh(
    *hostnames: str,
    scheduler: str | None = None,
    scheduler_port: Annotated[str, Parameter(allow_leading_hyphen=True)] = _PORT,
    nthreads: Annotated[
        str | None, Parameter(group=WORK_OPTIONS, allow_leading_hyphen=True)
    ] = None,
    nworkers: Annotated[str, Parameter(group=WORK_OPTIONS, allow_leading_hyphen=True)] = "1",
    memory_limit: Annotated[str | None, Parameter(group=WORK_OPTIONS)] = None,
    worker_port: Annotated[str | None, Parameter(group=WORK_OPTIONS)] = None,
    local_directory: Annotated[str | None, Parameter(group=WORK_OPTIONS)] = None,
    hostfile: Path | None = None,
    ssh_username: str | None = None,
    ssh_port: Annotated[str, Parameter(allow_leading_hyphen=True)] = "22",
    ssh_private_key: Path | None = None,
    nohost: Annotated[bool, Parameter(negative="")] = False,
    log_directory: str | None = None,
    remote_python: str | None = None,
    remote_dask_worker: Annotated[str | None, Parameter(group=MOOT_OPTIONS)] = None,
    nanny_port: Annotated[str | None, Parameter(group=MOOT_OPTIONS)] = None,
    log: LogOptions = _LOG,
) -> None:
    """Start a scheduler and workers on machines that are reached by ssh, until a signal comes.

    The system's `ssh` is used, with what `~/.ssh/config` says; it never asks anything.

    Args:
        hostnames: Where there shall be workers; a host may be there several times.
        scheduler: Where the scheduler shall be. [default: the first host]
        scheduler_port: The port it listens on, or a range.
        nthreads: How many tasks each worker runs at once. [default: the processors, shared]
        nworkers: How many workers on each host.
        memory_limit: Memory of each worker, as `4GiB`.
        worker_port: The port workers listen on, or a range. [default: any free one]
        local_directory: Where tasks may write files, on the hosts.
        hostfile: A file with more hosts.
        ssh_username: Who logs in. [default: as ssh is configured]
        ssh_port: The port of ssh.
        ssh_private_key: The key to log in with. [default: as ssh is configured]
        nohost: Do not tell workers to listen where they were reached.
        log_directory: Where, on this machine, to write what each server says, a file for each.
        remote_python: The interpreter on the hosts. [default: where this one is]
        remote_dask_worker: It is trio-dask worker in any case.
        nanny_port: The nanny is part of the worker, and has no port.
        log: What is said on stderr.
    """
    hosts = [*hostnames, *_listed(hostfile)]
    if not hosts:
        msg = "on which hosts? Name them, as in `trio-dask ssh node-1 node-2`, or give --hostfile"
        raise ConfigError(msg)
    config = load_config(
        overrides={
            "worker.nthreads": None if nthreads == "0" else nthreads,
            "worker.memory_limit": memory_limit,
            "worker.port": worker_port,
            "log_format": log.log_format,
        },
        spelled={
            "worker.nthreads": "--nthreads",
            "worker.memory_limit": "--memory-limit",
            "worker.port": "--worker-port",
        },
    )
    log_to_stderr(log.log_level, config.log_format)
    for given, option in (
        (remote_dask_worker, "--remote-dask-worker"),
        (nanny_port, "--nanny-port"),
    ):
        if given is not None:
            logger.warning("%s", why_moot("ssh", option))
    connect: dict[str, Any] = {"port": _ports(ssh_port, "--ssh-port")} if ssh_port != "22" else {}
    check_word(ssh_username, "--ssh-username", "name of somebody who could log in")
    check_word(scheduler, "--scheduler", "name of a host")
    if ssh_username is not None:
        connect["username"] = ssh_username
    if ssh_private_key is not None:
        if not ssh_private_key.is_file():
            msg = f"--ssh-private-key: there is no file {ssh_private_key}"
            raise ConfigError(msg)
        connect["client_keys"] = str(ssh_private_key)
    workers = {
        "n_workers": nworkers,
        "nthreads": None if nthreads == "0" else nthreads,
        "memory_limit": memory_limit,
        "worker_port": worker_port,
        "local_directory": local_directory,
    }
    try:
        plan = plan_ssh(
            [scheduler or hosts[0], *hosts],
            connect_options=connect,
            scheduler_options={"port": _ports(scheduler_port, "--scheduler-port")},
            worker_options={name: value for name, value in workers.items() if value is not None},
            remote_python=remote_python,
        )
    except ConfigError as error:
        msg = str(error).replace("n_workers=", "--nworkers ")
        raise ConfigError(msg) from error
    from dataclasses import replace

    plan = replace(plan, tell_host=not nohost, token=ensure_token(config), config=config)
    run_until_signal(partial(_serve, plan, _files(log_directory)))


def _ports(text: str, option: str) -> str:
    try:
        return ports_text(parse_ports(text))
    except ConfigError as error:
        msg = f"{option}: {error}"
        raise ConfigError(msg) from error


def _listed(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, ValueError) as error:
        msg = f"--hostfile: {path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}"
        raise ConfigError(msg) from error


def _files(directory: str | None) -> Path | None:
    if directory is None:
        return None
    path = Path(directory)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"--log-directory: {path} cannot be made: {error.strerror}"
        raise ConfigError(msg) from error
    return path


async def _serve(plan: SSHPlan, directory: Path | None) -> None:
    def on_line(who: str, line: str) -> None:
        say(f"[ {who} ] : {line}")
        if directory is not None:
            with (directory / f"{who.replace(' ', '-').replace('/', '-')}.log").open("a") as file:
                file.write(f"{line}\n")

    async with open_ssh_plan(plan, on_line) as handle:
        say(f"Scheduler at:   {handle.scheduler_address}")
        say(f"Workers:        {len(handle.workers)} on {len(plan.hosts)} hosts")
        say("It ends with Ctrl-C.")
        with trio.CancelScope():
            why = await handle.wait_ended()
            if why:
                raise CommError(why)
