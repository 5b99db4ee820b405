"""Clusters on machines that are reached by ssh: the system's own OpenSSH, with all its settings.

Each server is a remote process that is tied to this one by its standard input, over which
it is told the token first of all: neither is on a command line, and it ends when the
connection does.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio

from trio_dask.config import Config, new_token
from trio_dask.deploy.children import Child, open_child
from trio_dask.deploy.handle import ClusterHandle
from trio_dask.errors import ConfigError, SchedulerUnreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from trio_dask.comm import Security

START_S: Final = 60.0
#: What a connection can be told, as Dask's users write it, and how OpenSSH calls it.
_CONNECT: Final = ("username", "port", "client_keys", "known_hosts", "config", "options")
_OURS: Final = ("--tied", "--token-on-stdin")


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
    workers_per_host: int = 1
    threads_per_worker: int = 1
    name: str = "ssh"
    start_timeout_s: float = START_S
    token: str = field(default_factory=new_token, repr=False)
    config: Config = field(default_factory=Config)
    security: Security | None = None

    @property
    def n_workers(self) -> int:
        """How many workers there are to be."""
        return len(self.hosts) * self.workers_per_host


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
        workers_per_host=each,
        threads_per_worker=_whole(workers.get("nthreads", 1), "nthreads"),
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


@asynccontextmanager
async def open_ssh_plan(
    plan: SSHPlan, on_line: Callable[[str, str], None]
) -> AsyncIterator[ClusterHandle]:
    """The cluster as planned; `on_line` gets each line that a server writes, and whose it is.

    Raises:
        ConfigError: there is no OpenSSH.
        SchedulerUnreachable: a server did not start; the message has its last words.
    """
    if shutil.which("ssh") is None:
        msg = "there is no ssh on this machine: OpenSSH's client is needed"
        raise ConfigError(msg)
    handle = ClusterHandle(plan)
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_run, plan, handle, on_line)
        try:
            with trio.move_on_after(plan.start_timeout_s) as starting:
                await handle.wait_started()
            if starting.cancelled_caught:
                msg = f"the cluster did not start within {plan.start_timeout_s:g} s"
                raise SchedulerUnreachable(msg)
            yield handle
        except Exception as error:  # noqa: BLE001 - raised below, outside the nursery: not in a group
            failure = error
        nursery.cancel_scope.cancel("the cluster is closed")
    if failure is not None:
        raise failure


async def _run(plan: SSHPlan, handle: ClusterHandle, on_line: Callable[[str, str], None]) -> None:
    try:
        words = ["scheduler", *plan.scheduler_words]
        async with _remote(
            plan, 0, words, partial(on_line, f"scheduler {plan.scheduler}")
        ) as scheduler:
            [address] = await scheduler.wait_for("Scheduler at:")
            handle.scheduler_found(address)
            async with trio.open_nursery() as nursery:
                for number in range(len(plan.hosts)):
                    nursery.start_soon(_run_worker, plan, handle, number, on_line)
                raise SchedulerUnreachable(await scheduler.wait_ended())
    except* SchedulerUnreachable as group:
        handle.fail(str(group.exceptions[0]))


async def _run_worker(
    plan: SSHPlan, handle: ClusterHandle, number: int, on_line: Callable[[str, str], None]
) -> None:
    host = plan.hosts[number]
    words = ["worker", handle.scheduler_address, *plan.worker_words]
    if plan.tell_host:
        words += ["--host", host.rpartition("@")[2]]
    if not any(word.startswith("--name") for word in words):
        words += ["--name", f"{plan.name}-{number}"]
    async with _remote(plan, number + 1, words, partial(on_line, f"worker {host}")) as child:
        count = plan.workers_per_host
        found = await child.wait_for("Start worker at:", count)
        await child.wait_for("Registered to:", count)
        for at, address in enumerate(found):
            handle.worker_changed(f"{plan.name}-{number}-{at}", address)
        why = await child.wait_ended()
        for at in range(count):
            handle.worker_changed(f"{plan.name}-{number}-{at}", None)
        on_line(f"worker {host}", why)


@asynccontextmanager
async def _remote(
    plan: SSHPlan, at: int, words: Sequence[str], on_line: Callable[[str], None]
) -> AsyncIterator[Child]:
    """A command of ours on another machine, as long as the block lasts."""
    host = (plan.scheduler, *plan.hosts)[at]
    there = shlex.join([plan.python, "-P", "-m", "trio_dask", *words, *_OURS])
    async with open_child(
        words[0], (), environ=None, on_line=on_line,
        command=[*ssh_words(host, plan.connect[at]), f"exec {there}"], first=f"{plan.token}\n",
    ) as child:  # fmt: skip
        yield child
