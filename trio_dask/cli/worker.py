"""``trio-dask worker``."""

from __future__ import annotations

import logging
import math
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import trio
from cyclopts import Parameter

from trio_dask.cli.garbage import garbage_collector
from trio_dask.cli.logs import LogLevel, log_to_stderr
from trio_dask.cli.serving import listen_at, pid_file, run_until_signal
from trio_dask.cli.tie import Tie
from trio_dask.comm import Keys, keys_from_token, own_keys
from trio_dask.config import (
    Config,
    complete_worker,
    find_token,
    load_config,
    read_scheduler_file,
)
from trio_dask.errors import ConfigError, SchedulerUnreachable
from trio_dask.worker import RunnerHost, WorkerHandle, run_worker

logger = logging.getLogger("trio_dask.worker")

_LOOK_AGAIN_S = 0.5
#: Settings as the options are called.
_SPELLED = {
    f"worker.{name}": f"--{name.replace('_', '-')}"
    for name in (
        "nworkers",
        "nthreads",
        "memory_limit",
        "death_timeout",
        "resources",
        "max_tasks",
        "max_rss",
        "max_age",
        "lifetime",
        "lifetime_stagger",
    )
} | {"worker.port": "--worker-port"}


def worker(
    scheduler: str | None = None,
    /,
    *,
    nworkers: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    nthreads: int | None = None,
    name: str | None = None,
    memory_limit: str | None = None,
    host: str | None = None,
    interface: str | None = None,
    worker_port: int | None = None,
    scheduler_file: Path | None = None,
    death_timeout: str | None = None,
    max_tasks: int | None = None,
    max_rss: str | None = None,
    max_age: str | None = None,
    lifetime: str | None = None,
    lifetime_stagger: str | None = None,
    lifetime_restart: Annotated[bool | None, Parameter(negative="")] = None,
    local_directory: Path | None = None,
    nanny: bool | None = None,
    resources: str | None = None,
    pid_file: Path | None = None,
    event_log: Path | None = None,
    log_level: LogLevel = "info",
    tied: Annotated[bool, Parameter(show=False, negative="")] = False,
) -> None:
    """Start workers that run tasks for a scheduler.

    On another machine than the scheduler's, set `TRIO_DASK_TOKEN` to what
    `trio-dask token show` prints there.

    Args:
        scheduler: Where the scheduler is, as `tcp://192.0.2.10:8786`; by default the address in
            the scheduler file, or in `TRIO_DASK_SCHEDULER_ADDRESS`.
        nworkers: How many workers; `auto` for what suits the processors, -1 for one each.
            [default: 1]
        nthreads: How many tasks each worker runs at once; by default the processors, shared.
        name: The worker's name; of several workers `name-0`, `name-1` …
        memory_limit: Memory of each worker, as `4GiB`, `0.25` (of the machine's), `auto`, or 0
            for no limit. It is what the scheduler is told; nothing enforces it yet.
        host: Where to listen; by default the address by which the scheduler is reached.
        interface: The network interface to listen on, as `eth0` or `ib0`.
        worker_port: The port to listen on; by default any free one.
        scheduler_file: The file a scheduler wrote with its option of the same name.
        death_timeout: Give up, and exit with 1, when no scheduler answers for so long.
        max_tasks: Replace the process that runs a worker's tasks after so many of them: what it
            runs ends first, and its values stay.
        max_rss: The same when it has so much memory, as `2GiB`.
        max_age: The same after so long, as `12h`.
        lifetime: Leave after so long, as `1h`: running tasks get a few seconds, values move to
            other workers.
        lifetime_stagger: Leave up to so long sooner or later than that, by chance, so that
            workers started together do not leave together.
        lifetime_restart: Put a new worker in the place of one whose lifetime is over.
        local_directory: Where tasks may write files.
        nanny: Run tasks in a child process that is restarted when it dies.
        resources: What tasks may ask for, of each worker, as `"GPU=2 MEM=10e9"`.
        pid_file: Write the process id to this file.
        event_log: Record all that the workers are told in this file, for `trio-dask replay`.
        log_level: The least important lines to show on stderr.
        tied: End when standard input ends.
    """
    at = listen_at(host, worker_port, interface)
    config = load_config(
        overrides={
            "scheduler_address": scheduler,
            "worker.nworkers": nworkers,
            "worker.nthreads": nthreads,
            "worker.name": name,
            "worker.memory_limit": memory_limit,
            "worker.host": at.host,
            "worker.port": at.port,
            "worker.death_timeout": death_timeout,
            "worker.max_tasks": max_tasks,
            "worker.max_rss": max_rss,
            "worker.max_age": max_age,
            "worker.lifetime": lifetime,
            "worker.lifetime_stagger": lifetime_stagger,
            "worker.lifetime_restart": lifetime_restart,
            "worker.local_directory": local_directory and str(local_directory),
            "worker.nanny": nanny,
            "worker.resources": resources,
            "worker.event_log": event_log and str(event_log),
        },
        spelled=_SPELLED,
    )
    config = replace(config, worker=complete_worker(config.worker))
    if scheduler is not None and scheduler_file is not None:
        msg = f"{scheduler} and --scheduler-file {scheduler_file} name two schedulers; give one"
        raise ConfigError(msg)
    if not config.scheduler_address and scheduler_file is None and not tied:
        msg = (
            "where is the scheduler? Give its address, as in `trio-dask worker "
            "tcp://192.0.2.10:8786`, or --scheduler-file, or set TRIO_DASK_SCHEDULER_ADDRESS"
        )
        raise ConfigError(msg)
    log_to_stderr(log_level)
    with garbage_collector(off=config.worker.nanny):  # without a nanny tasks run here
        tie = Tie() if tied else None
        crew = _Crew(tie)
        serve = partial(_serve, config, scheduler_file, pid_file, tie, crew)
        run_until_signal(serve, tie=tie, gently=crew.leave)


class _Crew:
    """The workers of this process, once they are there: a signal has them leave."""

    def __init__(self, tie: Tie | None) -> None:
        self._tie = tie
        self._handle: WorkerHandle | None = None

    def started(self, value: WorkerHandle | None = None) -> None:
        """They are there."""
        self._handle = value
        if self._tie is not None:
            self._tie.started(value)

    def leave(self, reason: str) -> bool:
        """Have them leave, if they are there."""
        if self._handle is not None:
            self._handle.drain(reason)
        return self._handle is not None


async def _serve(
    config: Config,
    scheduler_path: Path | None,
    pid_path: Path | None,
    tie: Tie | None,
    crew: _Crew,
) -> None:
    with pid_file(pid_path):
        if scheduler_path is None:
            address, keys = config.scheduler_address, own_keys(find_token(config), config)
            if not address and tie is not None:
                address = await tie.scheduler()
        else:
            address, keys = await _from_file(scheduler_path, config.worker.death_timeout_s)
        # Tasks run in children of this process: the token is none of their business.
        os.environ.pop("TRIO_DASK_TOKEN", None)
        if tie is not None:  # where its scheduler is a tied worker is told, and only it
            os.environ.pop("TRIO_DASK_SCHEDULER_ADDRESS", None)
        host = None if config.worker.nanny else _thread_host()
        run = partial(run_worker, config, address, keys, runner_host=host, task_status=crew)
        if tie is None:
            await run()
        else:
            await run(numbered=True, on_change=tie.tell_change)


def _thread_host() -> RunnerHost:
    """What starts runners inside this process; it loads what runs user code, so only if asked."""
    from trio_dask.deploy import thread_host

    return thread_host


async def _from_file(path: Path, timeout_s: float | None) -> tuple[str, Keys]:
    """Address and keys from a scheduler file, which may be there only in a while."""
    with trio.move_on_after(math.inf if timeout_s is None else timeout_s):
        told = False
        while True:
            try:
                content = read_scheduler_file(path)
            except FileNotFoundError:
                if not told:
                    logger.info("Waiting for scheduler file:   %s", path)
                told = True
                await trio.sleep(_LOOK_AGAIN_S)
            else:
                return content.address, keys_from_token(content.token, f"the token in {path}")
    msg = f"no scheduler has written {path} in {timeout_s:g} s"
    raise SchedulerUnreachable(msg)
