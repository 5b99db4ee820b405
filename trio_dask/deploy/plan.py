"""What a cluster on this machine shall be: asked for in many ways, settled once."""

from __future__ import annotations

import difflib
import logging
import math
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from trio_dask.comm import Security, checked_security
from trio_dask.config import (
    AUTO,
    Config,
    WorkerConfig,
    complete_worker,
    cpu_count,
    known_settings,
    load_config,
    memory_bytes,
    new_token,
)
from trio_dask.deploy.sizes import WorkerSize
from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOOPBACK: Final = "127.0.0.1"
START_S: Final = 30.0
NAME: Final = "local"
DASHBOARD: Final = ":8787"

#: What a worker of a cluster can be told besides what has an argument of its own.
_WORKER_OPTIONS: Final = (
    "death_timeout",
    "drain_grace",
    "drain_move",
    "heartbeat",
    "inline_bytes_max",
    "lifetime",
    "lifetime_restart",
    "lifetime_stagger",
    "local_directory",
    "max_age",
    "max_rss",
    "max_tasks",
    "nanny",
    "pool_bytes_max",
    "port",
    "resources",
    "restart_delay",
    "restart_delay_max",
    "sealed_bytes_min",
)
#: Of these the setting has another name: Dask has them as arguments, too.
_MEMORY_OPTIONS: Final = {
    "max_spill": "memory.max_spill",
    "memory_pause_fraction": "memory.pause",
    "memory_spill_fraction": "memory.spill",
    "memory_target_fraction": "memory.target",
    "memory_terminate_fraction": "memory.terminate",
}
#: Known elsewhere, by other names or not at all.
_ELSEWHERE: Final = {
    "asynchronous": "AsyncLocalCluster is the one to await",
    "nthreads": "it is threads_per_worker here",
    "ncores": "it is threads_per_worker here",
    "nworkers": "it is n_workers here",
    "protocol": "with security= it is tls, else tcp",
    "silence_log": "it is silence_logs",
    "timeout": "it is start_timeout_s here",
}
#: Arguments of Dask's for which there is nothing here, and what asks for what is the case anyway.
_WITHOUT: Final[dict[str, tuple[object, ...]]] = {
    "asynchronous": (False,),
    "blocked_handlers": (None,),
    "interface": (None,),
    "loop": (None,),
    "protocol": (None,),
    "scheduler_kwargs": (None, {}),
    "start": (None,),
    "worker_class": (None,),
    "worker_dashboard_address": (None,),
}
_LEVELS: Final = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPlan:
    """A cluster to be, with nothing left to be worked out."""

    name: str
    n_workers: int
    processes: bool
    #: All settings, for servers in this process; `worker` is complete.
    config: Config
    #: Worker options, for servers in processes of their own.
    environ: Mapping[str, str]
    log_level: str
    start_timeout_s: float
    token: str = field(default_factory=new_token, repr=False)
    #: Certificates, where connections are to be encrypted.
    security: Security | None = None
    scheduler_file: Path | None = None
    #: Variables for the workers' process and what runs in it.
    worker_environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def worker_size(self) -> WorkerSize:
        """What each worker has."""
        worker = self.config.worker
        return WorkerSize(
            cores=worker.nthreads, memory=worker.memory_limit,
            memory_said_by="memory_limit= does, and 0 is no limit",
        )  # fmt: skip


def plan_local(  # noqa: PLR0913 - the arguments of a cluster
    n_workers: int | None = None,
    threads_per_worker: int | None = None,
    *,
    processes: bool = True,
    memory_limit: str | float | None = "auto",
    dashboard_address: str | None = DASHBOARD,
    security: object = None,
    scheduler_port: int | str = 0,
    host: str | None = LOOPBACK,
    name: str | int | None = None,
    start_timeout_s: float = START_S,
    silence_logs: int | str | bool = logging.WARNING,
    **worker_options: Any,
) -> LocalPlan:
    """Settle what was left open, as Dask does, and refuse what makes no sense.

    Raises:
        ConfigError: an option is unknown, or its value is none.
    """
    certificates = checked_security(security)
    worker_options = {
        option: value
        for option, value in worker_options.items()
        if value not in _WITHOUT.get(option, ())
    }
    protocol = "tls" if certificates else "tcp"
    if worker_options.get("protocol") in (protocol, f"{protocol}://"):
        del worker_options["protocol"]
    _refuse_unknown(worker_options)
    host = (LOOPBACK if host is None else host).removeprefix(f"{protocol}://")
    options = dict(map(_setting, worker_options.items()))
    options = {name: value for name, value in options.items() if value is not None}
    workers, threads = _sizes(n_workers, threads_per_worker, processes=processes)
    limit: object = 0 if memory_limit is None else memory_limit
    if limit == "auto":  # the machine's, shared
        limit = memory_bytes() // max(1, workers)
    overrides: dict[str, object] = {
        "scheduler.host": host,
        "scheduler.port": scheduler_port,
        "scheduler.protocol": "tls" if certificates else None,
        "scheduler.dashboard": None if dashboard_address else False,
        # What everybody gives by not saying anything is not told apart from the settings.
        "scheduler.dashboard_address": None
        if dashboard_address == DASHBOARD
        else dashboard_address,
        "worker.nthreads": threads,
        "worker.memory_limit": limit,
        "worker.host": host,
        "worker.name": NAME if name is None or name == "" else name,
    }
    overrides |= {f"worker.{option}": value for option, value in options.items()}
    config = load_config(overrides=overrides)
    # No worker at all is no setting of a worker process, but of a cluster it is.
    worker = complete_worker(replace(config.worker, nworkers=max(1, workers)))
    nanny = worker.nanny and processes
    return LocalPlan(
        name=worker.name,
        n_workers=workers,
        processes=processes,
        config=replace(config, worker=replace(worker, nworkers=workers, nanny=nanny)),
        environ=_variables(options),
        log_level=_level(silence_logs),
        start_timeout_s=start_timeout_s,
        security=certificates,
    )


def _sizes(workers: int | None, threads: int | None, *, processes: bool) -> tuple[int, int]:
    """How many workers, and how many slots each.

    >>> _sizes(3, 1, processes=True)
    (3, 1)
    """
    for what, number, least in (("n_workers", workers, 0), ("threads_per_worker", threads, 1)):
        if number is not None and (type(number) is not int or number < least):
            msg = f"{what}={number!r}: it is a whole number of at least {least}"
            raise ConfigError(msg)
    cpus = cpu_count()
    if workers is None:
        if not processes:
            return 1, threads or cpus
        return (max(1, cpus // threads), threads) if threads else _automatic()
    if threads is None:
        # Rather a thread too many than a processor idle.
        threads = math.ceil(cpus / workers) if workers else _automatic()[1]
    return workers, threads


def _automatic() -> tuple[int, int]:
    chosen = complete_worker(WorkerConfig(nworkers=AUTO))
    return chosen.nworkers, chosen.nthreads


def _setting(option: tuple[str, object]) -> tuple[str, object]:
    """What an option is called as a setting of `worker`, and its value there.

    >>> _setting(("memory_spill_fraction", False))
    ('memory.spill', 'never')
    """
    name, value = option
    if name in _MEMORY_OPTIONS and value is False:
        value = 0 if name == "max_spill" else "never"
    return _MEMORY_OPTIONS.get(name, name), (
        os.fspath(value) if isinstance(value, os.PathLike) else value
    )


def _refuse_unknown(options: Mapping[str, object]) -> None:
    for option in options:
        if option in _WORKER_OPTIONS or option in _MEMORY_OPTIONS:
            continue
        hint = _ELSEWHERE.get(option)
        if hint is None:
            known = [
                *_WORKER_OPTIONS,
                *_MEMORY_OPTIONS,
                "dashboard_address",
                "memory_limit",
                "n_workers",
                "processes",
                "scheduler_port",
            ]
            known += ["silence_logs", "start_timeout_s", "threads_per_worker", "host", "name"]
            near = difflib.get_close_matches(option, known, n=1)
            hint = f"the nearest known one is {near[0]}" if near else "there is none like it"
        msg = f"unknown option {option}: {hint}"
        raise ConfigError(msg)


def _variables(options: Mapping[str, object]) -> dict[str, str]:
    """Worker options as environment variables, which is how a child process reads them."""
    known = known_settings()
    return {known[f"worker.{name}"].variable: _text(value) for name, value in options.items()}


def _text(value: object) -> str:
    if hasattr(value, "items"):
        return " ".join(f"{name}={amount}" for name, amount in value.items())
    return str(value)


def _level(silence: object) -> str:
    """The least important lines to show, from what Dask takes: a level, its name, or False for all."""
    if isinstance(silence, bool):
        return "error" if silence else "info"
    text = silence.lower() if isinstance(silence, str) else ""
    if isinstance(silence, int):
        text = "error" if silence > logging.WARNING else logging.getLevelName(silence).lower()
    if text not in _LEVELS:
        msg = f"silence_logs={silence!r}: it is one of {', '.join(_LEVELS)}, or a level of logging"
        raise ConfigError(msg)
    return text
