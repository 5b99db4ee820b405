"""All settings: frozen, built once at the edge, handed down by room.

A field's name says its unit (`worker_ttl_s`); the setting a user writes has none
(``worker_ttl = "5m"``), as its value carries it. What each is for is said here once,
for ``trio-dask config list`` and the reference as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from trio_dask.config.machine import automatic_workers, cpu_count, memory_bytes
from trio_dask.config.names import worker_name
from trio_dask.config.ports import parse_ports
from trio_dask.config.units import parse_bytes, parse_seconds
from trio_dask.errors import ConfigError

#: "Work it out from the machine": `complete_worker` does.
AUTO: Final = -1

T = TypeVar("T")
Parse = Callable[[object], Any]

KIB: Final = 1024
MIB: Final = 1024 * KIB
#: No process has so many workers, no worker so many slots.
COUNT_MAX: Final = 10_000

#: What a setting's field knows besides its default.
PARSE: Final = "parse"
DOC: Final = "doc"
SECRET: Final = "secret"


def text(raw: object) -> str:
    """Any text."""
    if not isinstance(raw, str):
        msg = f"{raw!r} is no text"
        raise ConfigError(msg)
    return raw


def log_format(raw: object) -> str:
    """How lines of a log are written."""
    if raw not in ("text", "json"):
        msg = f"{raw!r} is none of text, json"
        raise ConfigError(msg)
    return str(raw)


def compression(raw: object) -> str:
    """How values are compressed between hosts; ``false`` is what Dask says for none."""
    if raw is None or raw is False or (isinstance(raw, str) and raw.lower() in ("false", "off")):
        return "none"
    if raw not in ("auto", "none", "lz4", "zstd"):
        msg = f"{raw!r} is none of auto, none, lz4, zstd"
        raise ConfigError(msg)
    return str(raw)


def count(raw: object) -> int:
    """A whole number, zero or more."""
    try:
        number = int(raw) if isinstance(raw, str | int) and not isinstance(raw, bool) else -1
    except ValueError:
        number = -1
    if number < 0:
        msg = f"{raw!r} is no whole number of at least 0"
        raise ConfigError(msg)
    return number


def flag(raw: object) -> bool:
    """Yes or no."""
    words = {"true": True, "yes": True, "on": True, "1": True}
    words |= {"false": False, "no": False, "off": False, "0": False}
    value = raw if isinstance(raw, bool) else words.get(str(raw).lower())
    if value is None:
        msg = f"{raw!r} is neither true nor false"
        raise ConfigError(msg)
    return value


def automatic_count(raw: object) -> int:
    """A whole number of at least 1, or `AUTO`."""
    if raw == "auto":
        return AUTO
    number = count(raw)
    if number == 0:
        msg = f"{raw!r}: there must be at least one"
        raise ConfigError(msg)
    if number > COUNT_MAX:
        msg = f"{raw!r} is too much for one process; {COUNT_MAX} is the most"
        raise ConfigError(msg)
    return number


def worker_count(raw: object) -> int:
    """A whole number of at least 1, `AUTO`, or one below 0: the processors but so many, -1 for all."""
    below = str(raw)
    if below.startswith("-") and below[1:].isdecimal():
        cpus = cpu_count()
        if count(below[1:]) > cpus:
            msg = f"{raw!r} would be less than one worker: there are {cpus} processors here"
            raise ConfigError(msg)
        return cpus + 1 - count(below[1:])
    return automatic_count(raw)


def memory_limit(raw: object) -> int:
    """Bytes, a share of the machine's memory up to 1.0, 0 for no limit, or `AUTO`."""
    if raw == "auto":
        return AUTO
    try:
        share = float(raw) if isinstance(raw, str | float) else 0.0
    except ValueError:
        share = 0.0
    shared = 0 < share < 1 or (share == 1 and "." in str(raw))
    return int(share * memory_bytes()) if shared else parse_bytes(raw)


def share(raw: object) -> float:
    """A share above 0 and at most 1; 0 for ``never``, or false."""
    if raw is False or raw in ("never", "false"):
        return 0.0
    try:
        number = float(raw) if isinstance(raw, str | int | float) and raw is not True else -1.0
    except (ValueError, OverflowError):
        number = -1.0
    if not 0 <= number <= 1:
        msg = f"{raw!r} is no share between 0 and 1; never: do without"
        raise ConfigError(msg)
    return number


def optional_seconds(raw: object) -> float | None:
    """A duration, or None for ``never``."""
    return None if raw == "never" else parse_seconds(raw)


def resources(raw: object) -> Mapping[str, float]:
    """Amounts by name: a table, or text like ``GPU=2 MEM=10e9``."""
    if isinstance(raw, str):
        pairs = [part.partition("=") for part in raw.replace(",", " ").split()]
        raw = {name: amount for name, _, amount in pairs}
    try:
        if not isinstance(raw, Mapping) or "" in raw:
            raise ValueError
        amounts = {str(name): float(amount) for name, amount in raw.items()}
        if not all(0 <= amount < math.inf for amount in amounts.values()):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        msg = f'{raw!r} are no resources; write them as in "GPU=2 MEM=10e9"'
        raise ConfigError(msg) from None
    return amounts


def _setting(default: T, doc: str, parse: Parse, *, secret: bool = False) -> T:
    return field(
        default=default, repr=not secret, metadata={PARSE: parse, DOC: doc, SECRET: secret}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerConfig:
    """How the scheduler listens and decides."""

    host: str = _setting("", "Where to listen, several by commas; empty: on all interfaces.", text)
    port: int | tuple[int, ...] = _setting(
        8786,
        "The port to listen on; 0: any free one; of a range, 8786:8790, or several, the first "
        "that is free.",
        parse_ports,
    )
    protocol: str = _setting(
        "tcp", "tcp, or tls, which is encrypted; or both, tcp,tls, with a port for each.", text
    )
    allowed_failures: int = _setting(
        3, "How often a task's process may die before the task fails with KilledWorker.", count
    )
    window_horizon_s: float = _setting(
        0.03, "How much estimated work a worker is given ahead of time.", parse_seconds
    )
    window_max: int = _setting(512, "The most tasks given ahead of time, for each slot.", count)
    tick_s: float = _setting(
        0.5,
        "How often the scheduler looks at the clock; half as often while there are no tasks.",
        parse_seconds,
    )
    worker_ttl_s: float = _setting(
        300.0, "A worker that is silent for so long is given up.", parse_seconds
    )
    idle_timeout_s: float | None = _setting(
        None, "End when there has been nothing to do for so long; never: stay.", optional_seconds
    )
    reconnect_s: float = _setting(
        10.0,
        "Who has lost the connection may come back for so long before it is given up.",
        parse_seconds,
    )
    event_log: str = _setting(
        "", "Record all that the scheduler is told in this file; empty: do not.", text
    )
    dashboard: bool = _setting(True, "Have a dashboard.", flag)
    dashboard_address: str = _setting(
        ":8787",
        "Where the dashboard is, several by commas; without a host, where the scheduler listens. "
        "A port that is in use is replaced by a free one.",
        text,
    )
    dashboard_prefix: str = _setting(
        "", "The path under which a proxy shows the dashboard, if it leaves that in.", text
    )
    placement: str = _setting(
        "", "Where tasks go: a Placement of your own, as module:name; empty: as usual.", text
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryConfig:
    """What a worker does as its memory fills: shares of `worker.memory_limit`."""

    target: float = _setting(
        0.6,
        "From so much in values on, those least recently used go to files; never: only when "
        "the process has too much.",
        share,
    )
    spill: float = _setting(
        0.7,
        "When the process has so much, values go to files, until it has as much as for the target; "
        "never: it does not count.",
        share,
    )
    pause: float = _setting(
        0.8, "With so much a worker is given no new tasks, until it has less; never: it is.", share
    )
    terminate: float = _setting(
        0.95, "With so much the process that runs tasks is ended; never: it goes on.", share
    )
    max_spill: int = _setting(
        0, "So much of each worker's values may be in files, in bytes; 0: no limit.", parse_bytes
    )
    interval_s: float = _setting(0.1, "How often memory is looked at, at most.", parse_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """What one worker process offers, and how it treats its runners."""

    nworkers: int = _setting(
        1,
        "How many workers live in the process; auto: as the processors suggest; "
        "below 0: all processors but so many, -1 for all.",
        worker_count,
    )
    nthreads: int = _setting(
        AUTO,
        "Slots of each worker; auto: the processors, shared among the workers.",
        automatic_count,
    )
    name: str = _setting("", "The worker's name; empty: its address.", worker_name)
    host: str = _setting("", "Where to listen; empty: where the scheduler can reach us.", text)
    port: int | tuple[int, ...] = _setting(
        0,
        "The port to listen on; 0: any free one; of a range, 3000:3026, the first that is free.",
        parse_ports,
    )
    protocol: str = _setting("", "tcp or tls; empty: the scheduler's.", text)
    contact_address: str = _setting(
        "", "Where others reach the worker, if not where it listens.", text
    )
    memory_limit: int = _setting(
        AUTO,
        "Memory of each worker: bytes, a share below 1, 0 for no limit, "
        "auto: the machine's, in proportion to its slots.",
        memory_limit,
    )
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    nanny: bool = _setting(
        True, "Run user code in a child process that is restarted when it dies.", flag
    )
    death_timeout_s: float | None = _setting(
        None, "Give up when no scheduler answers for so long; never: keep trying.", optional_seconds
    )
    reconnect_s: float = _setting(
        30.0,
        "A worker that has lost the scheduler looks for it for so long, or for death-timeout.",
        parse_seconds,
    )
    local_directory: str = _setting(
        "",
        "Where tasks may write, and values go for want of memory; empty: the temporary directory.",
        text,
    )
    resources: Mapping[str, float] = field(
        default_factory=dict,
        metadata={PARSE: resources, DOC: "What tasks may ask for, of each worker.", SECRET: False},
    )
    inline_bytes_max: int = _setting(
        2 * KIB, "Results up to this size travel with the news that they are there.", parse_bytes
    )
    sealed_bytes_min: int = _setting(
        MIB,
        "Results with buffers of this size are in shared memory, and outlive their process; 0: none.",
        parse_bytes,
    )
    pool_bytes_max: int = _setting(
        256 * MIB, "So much shared memory each process keeps for results to come.", parse_bytes
    )
    fetch_bytes_max: int = _setting(
        256 * MIB,
        "So much of large values may be on its way from others to the process at a time, or one "
        "that is larger; 0: no limit.",
        parse_bytes,
    )
    heartbeat_s: float = _setting(5.0, "How often a worker says how it is.", parse_seconds)
    drain_grace_s: float = _setting(
        5.0,
        "Running tasks get so long to end when their worker is to leave; then they run elsewhere.",
        parse_seconds,
    )
    drain_move_s: float = _setting(
        5.0,
        "After that, values get so long to move to other workers, if a signal ends the worker.",
        parse_seconds,
    )
    lifetime_s: float | None = _setting(
        None, "A worker leaves after so long; never: it stays.", optional_seconds
    )
    lifetime_stagger_s: float = _setting(
        0.0,
        "Up to so long sooner or later, by chance, so that workers do not leave together.",
        parse_seconds,
    )
    lifetime_restart: bool = _setting(
        False, "A new worker takes the place of one whose lifetime is over.", flag
    )
    max_tasks: int = _setting(
        0, "A process that has run so many tasks makes room for a fresh one; 0: no limit.", count
    )
    max_rss: int = _setting(
        0,
        "A process that has so much memory after a task makes room for a fresh one; 0: no limit.",
        parse_bytes,
    )
    max_age_s: float | None = _setting(
        None,
        "A process makes room for a fresh one after so long; never: it stays.",
        optional_seconds,
    )
    restart_delay_s: float = _setting(
        1.0, "The wait before a runner's second restart in a row; doubled each time.", parse_seconds
    )
    restart_delay_max_s: float = _setting(60.0, "The longest such wait.", parse_seconds)
    preload: str = _setting(
        "", "Modules or files to load where tasks run, before the first; by commas.", text
    )
    event_log: str = _setting(
        "", "Record all that the workers of a process are told in this file; empty: do not.", text
    )
    dashboard: bool = _setting(
        False, "Have a page and metrics of the worker's process at a port of its own.", flag
    )
    dashboard_address: str = _setting(
        ":0", "Where that is; without a host, on all interfaces.", text
    )
    dashboard_prefix: str = _setting(
        "", "The path under which a proxy shows it, if it leaves that in.", text
    )
    profile_interval_s: float = _setting(
        0.01, "How often it is looked at what running tasks do; 0: never.", parse_seconds
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """How a client hands its work over."""

    argument_bytes_max: int = _setting(
        64 * KIB,
        "Larger arguments go to a worker directly, never through the scheduler.",
        parse_bytes,
    )
    reconnect_s: float = _setting(
        10.0, "A client that has lost the scheduler looks for it for so long.", parse_seconds
    )
    full_tracebacks: bool = _setting(
        False, "Show our own frames, too, in the tracebacks of tasks' errors.", flag
    )
    tracing: bool = _setting(
        False,
        "Make spans of OpenTelemetry for what is submitted, and for the tasks that come of it.",
        flag,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """Certificates for encrypted connections: ``tls://``."""

    ca_file: str = _setting("", "The authorities whose certificates are good, as a PEM file.", text)
    cert: str = _setting("", "The certificate that this process shows, as a PEM file.", text)
    key: str = _setting(
        "", "Its private key, as a PEM file; empty: it is in the certificate's.", text
    )
    sni: str = _setting(
        "", "The name of the server to ask for; empty: the host of its address.", text
    )
    required: bool = _setting(False, "Refuse connections that are not encrypted.", flag)
    dashboard: bool = _setting(
        False, "Have dashboards by https, with the certificate that is shown to peers.", flag
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CommConfig:
    """How connections behave."""

    connect_timeout_s: float = _setting(
        30.0, "How long a connection may take to be made.", parse_seconds
    )
    compression: str = _setting(
        "auto",
        "How values are compressed between hosts: auto, where a line is slow enough for it; lz4 "
        "or zstd, on all of them; none.",
        compression,
    )
    tls: TlsConfig = field(default_factory=TlsConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings of a process."""

    token: str = _setting(
        "", "The cluster's token; empty: the user's token file.", text, secret=True
    )
    log_format: str = _setting(
        "text", "How servers log: text, or json, an object for each line.", log_format
    )
    scheduler_address: str = _setting("", "Where workers and clients find the scheduler.", text)
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    worker: WorkerConfig = field(default_factory=WorkerConfig)
    client: ClientConfig = field(default_factory=ClientConfig)
    comm: CommConfig = field(default_factory=CommConfig)


def complete_worker(config: WorkerConfig) -> WorkerConfig:
    """The same with every `AUTO` worked out from this machine.

    Raises:
        ConfigError: what it asks for does not go together.
    """
    limited = config.max_tasks or config.max_rss or config.max_age_s is not None
    if limited and not config.nanny:
        msg = (
            "max-tasks, max-rss and max-age have processes that run tasks make room for fresh "
            "ones, and without a nanny there are none: leave one of the two out"
        )
        raise ConfigError(msg)
    cpus, memory = cpu_count(), memory_bytes()
    nworkers, nthreads, limit = config.nworkers, config.nthreads, config.memory_limit
    if nworkers == AUTO:
        nworkers, suggested = automatic_workers(cpus)
        nthreads = suggested if nthreads == AUTO else nthreads
    if nthreads == AUTO:
        nthreads = max(1, cpus // nworkers)
    if limit == AUTO:
        limit = int(memory * min(1.0, nthreads / cpus))
    limit = min(limit, memory)
    return replace(config, nworkers=nworkers, nthreads=nthreads, memory_limit=limit)
