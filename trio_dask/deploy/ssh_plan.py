"""Clusters over ssh to be: which hosts, how they are reached, and what is said to servers there."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from trio_dask.config import Config, new_token
from trio_dask.deploy.sizes import WorkerSize, size_of_worker
from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    from trio_dask.comm import Security

START_S: Final = 60.0
#: What a connection can be told, as Dask's users write it, and how OpenSSH calls it.
_CONNECT: Final = ("username", "port", "client_keys", "known_hosts", "config", "options")


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHPlan:
    """A cluster to be: the scheduler's host, those of the workers, and what each is told."""

    scheduler: str
    hosts: tuple[str, ...]
    connect: tuple[Mapping[str, Any], ...]
    python: str
    scheduler_words: tuple[str, ...] = ()
    worker_words: tuple[str, ...] = ()
    #: Whether workers are told the host by which they were reached.
    tell_host: bool = False
    worker_size: WorkerSize
    name: str = "ssh"
    start_timeout_s: float = START_S
    token: str = field(default_factory=new_token, repr=False)
    config: Config = field(default_factory=Config)
    security: Security | None = None

    @property
    def n_workers(self) -> int:
        """How many workers there are to be."""
        return len(self.hosts) * self.worker_size.together


def plan_ssh(
    hosts: Sequence[str],
    *,
    connect_options: Mapping[str, Any] | Sequence[Mapping[str, Any]] = (),
    scheduler_options: Mapping[str, Any] | None = None,
    worker_options: Mapping[str, Any] | None = None,
    remote_python: str | None = None,
    name: str = "ssh",
    start_timeout_s: float = START_S,
) -> SSHPlan:
    """Settle it: the first host has the scheduler, each of the others a worker process.

    Raises:
        ConfigError: it makes no sense.
    """
    if isinstance(hosts, str) or len(hosts) < 2:
        msg = f"hosts={hosts!r}: a list, of the scheduler's host and at least one for workers"
        raise ConfigError(msg)
    for host in hosts:
        if not host or host.startswith("-") or not host.isprintable():
            msg = f"{host!r} is no name of a host"
            raise ConfigError(msg)
    workers = dict(worker_options or {})
    each = _whole(workers.pop("n_workers", workers.pop("nworkers", 1)), "n_workers")
    if isinstance(connect_options, Mapping):
        connect = (connect_options,) * len(hosts)
    else:
        connect = tuple(connect_options) or ({},) * len(hosts)
    if len(connect) != len(hosts):
        msg = (
            f"{len(connect)} connect_options for {len(hosts)} hosts: give one for all, or for each"
        )
        raise ConfigError(msg)
    for options in connect:
        ssh_words("somewhere", options)  # says what is wrong, before anything starts
    return SSHPlan(
        scheduler=hosts[0],
        hosts=tuple(hosts[1:]),
        connect=connect,
        python=remote_python or sys.executable,
        scheduler_words=words_of(scheduler_options or {}),
        worker_words=(*words_of(workers), "--nworkers", str(each)),
        worker_size=size_of_worker(
            workers,
            together=each,
            most=each * (len(hosts) - 1),
            cores_said_by="worker_options={'nthreads': …} says it",
            memory_said_by="worker_options={'memory_limit': '…'} says it",
        ),
        name=name,
        start_timeout_s=start_timeout_s,
    )


def _whole(value: object, name: str) -> int:
    if not str(value).isdecimal() or int(str(value)) < 1:
        msg = f"{name}={value!r}: a whole number of at least 1"
        raise ConfigError(msg)
    return int(str(value))


def words_of(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Options of a command, from a dictionary.

    >>> words_of({"nthreads": 2, "dashboard": False, "resources": {"GPU": 1}})
    ('--nthreads=2', '--no-dashboard', '--resources=GPU=1')
    """
    words = []
    for name, value in options.items():
        option = name.replace("_", "-")
        if value is None:
            continue
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        elif isinstance(value, Mapping):
            words.append(f"--{option}=" + " ".join(f"{key}={each}" for key, each in value.items()))
        else:
            words.append(f"--{option}={value}")
    return tuple(words)


def ssh_words(host: str, options: Mapping[str, Any]) -> list[str]:
    """The call of OpenSSH that reaches a host, without a command for it.

    It never asks anything: a program has nobody to answer.

    >>> ssh_words("ada@192.0.2.7", {"port": 2222, "client_keys": ["key"]})[-5:]
    ['-p', '2222', '-i', 'key', 'ada@192.0.2.7']

    Raises:
        ConfigError: an option is unknown.
    """
    words = ["ssh", "-T", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=15"]
    for name, value in options.items():
        if name not in _CONNECT:
            msg = f"connect_options: unknown option {name}; there are {', '.join(_CONNECT)}"
            raise ConfigError(msg)
        if name == "username":
            words += ["-l", str(value)]
        elif name == "port":
            words += ["-p", str(value)]
        elif name == "config":
            words += ["-F", str(value)]
        elif name == "known_hosts" and value is None:  # as asyncssh has it: anybody
            words += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
            words += ["-o", "LogLevel=ERROR"]
        elif name == "known_hosts":
            words += ["-o", f"UserKnownHostsFile={value}"]
        else:
            mark = "-i" if name == "client_keys" else "-o"
            for each in [value] if isinstance(value, str) else value:
                words += [mark, str(each)]
    return [*words, host]
