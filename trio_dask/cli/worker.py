"""``trio-dask worker``."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Annotated

import trio
from cyclopts import Parameter

from trio_dask.cli.checks import (
    check_directory_of,
    check_hosts,
    check_scratch,
    check_word,
    some_path,
)
from trio_dask.cli.garbage import garbage_collector
from trio_dask.cli.logs import log_to_stderr
from trio_dask.cli.looking import wait_for_scheduler_file
from trio_dask.cli.notify import notify
from trio_dask.cli.options import (
    FILES_OPTIONS,
    LIFE_OPTIONS,
    LISTENING_OPTIONS,
    SECURITY_OPTIONS,
    WORK_OPTIONS,
    LogOptions,
    MootOfWorker,
    TlsOptions,
    say_what_is_moot,
)
from trio_dask.cli.preload import import_preloads, preloaded
from trio_dask.cli.serving import (
    ListenAt,
    check_https,
    check_pages,
    checked_address,
    listen_at,
    pid_file,
    run_until_signal,
)
from trio_dask.cli.tie import Tie, take_token
from trio_dask.cli.worker_page import PageOptions, beside_page
from trio_dask.comm import TCP, listening_places, own_keys, parse_contact
from trio_dask.config import (
    Config,
    complete_worker,
    find_token,
    load_config,
    port_choices,
    ports_text,
)
from trio_dask.errors import ConfigError
from trio_dask.worker import RunnerHost, WorkerHandle, adopting_orphans, run_worker

logger = logging.getLogger("trio_dask.worker")

_DEFAULT_PORT = 8786
#: Settings as the options are called.
_SPELLED = {
    f"worker.{name}": f"--{name.replace('_', '-')}"
    for name in (
        "nworkers",
        "nthreads",
        "name",
        "memory_limit",
        "death_timeout",
        "resources",
        "lifetime",
        "lifetime_stagger",
        "max_tasks",
        "max_rss",
        "max_age",
    )
} | {"worker.port": "--worker-port"}

_TLS, _LOG, _MOOT, _PAGE = TlsOptions(), LogOptions(), MootOfWorker(), PageOptions()


def worker(
    scheduler: str | None = None,
    /,
    *,
    scheduler_file: Annotated[Path | None, Parameter(group=FILES_OPTIONS)] = None,
    nworkers: Annotated[
        str | None, Parameter(group=WORK_OPTIONS, allow_leading_hyphen=True)
    ] = None,
    nthreads: Annotated[
        str | None, Parameter(group=WORK_OPTIONS, allow_leading_hyphen=True)
    ] = None,
    name: Annotated[str | None, Parameter(group=WORK_OPTIONS)] = None,
    memory_limit: Annotated[
        str | None, Parameter(group=WORK_OPTIONS, allow_leading_hyphen=True)
    ] = None,
    resources: Annotated[str | None, Parameter(group=WORK_OPTIONS)] = None,
    nanny: Annotated[bool | None, Parameter(group=WORK_OPTIONS)] = None,
    preload: Annotated[list[str] | None, Parameter(group=WORK_OPTIONS, negative="")] = None,
    host: Annotated[str | None, Parameter(group=LISTENING_OPTIONS)] = None,
    interface: Annotated[str | None, Parameter(group=LISTENING_OPTIONS)] = None,
    worker_port: Annotated[
        str | None, Parameter(group=LISTENING_OPTIONS, allow_leading_hyphen=True)
    ] = None,
    protocol: Annotated[str | None, Parameter(group=LISTENING_OPTIONS)] = None,
    listen_address: Annotated[str | None, Parameter(group=LISTENING_OPTIONS)] = None,
    contact_address: Annotated[str | None, Parameter(group=LISTENING_OPTIONS)] = None,
    tls: TlsOptions = _TLS,
    scheduler_sni: Annotated[str | None, Parameter(group=SECURITY_OPTIONS)] = None,
    death_timeout: Annotated[str | None, Parameter(group=LIFE_OPTIONS)] = None,
    lifetime: Annotated[str | None, Parameter(group=LIFE_OPTIONS)] = None,
    lifetime_stagger: Annotated[str | None, Parameter(group=LIFE_OPTIONS)] = None,
    lifetime_restart: Annotated[bool | None, Parameter(group=LIFE_OPTIONS)] = None,
    max_tasks: Annotated[
        str | None, Parameter(group=LIFE_OPTIONS, allow_leading_hyphen=True)
    ] = None,
    max_rss: Annotated[str | None, Parameter(group=LIFE_OPTIONS, allow_leading_hyphen=True)] = None,
    max_age: Annotated[str | None, Parameter(group=LIFE_OPTIONS)] = None,
    preload_nanny: Annotated[list[str] | None, Parameter(group=LIFE_OPTIONS, negative="")] = None,
    local_directory: Annotated[
        Path | None, Parameter(group=FILES_OPTIONS, converter=some_path)
    ] = None,
    pid_file: Annotated[Path | None, Parameter(group=FILES_OPTIONS)] = None,
    event_log: Annotated[Path | None, Parameter(group=FILES_OPTIONS)] = None,
    log: LogOptions = _LOG,
    page: PageOptions = _PAGE,
    moot: MootOfWorker = _MOOT,
    tied: Annotated[bool, Parameter(show=False, negative="")] = False,
    unnumbered: Annotated[bool, Parameter(show=False, negative="")] = False,
    token_on_stdin: Annotated[bool, Parameter(show=False, negative="")] = False,
) -> None:
    """Start workers that run tasks for a scheduler.

    On another machine than the scheduler's, set `TRIO_DASK_TOKEN` to what
    `trio-dask token show` prints there.

    Args:
        scheduler: Where the scheduler is, as `tcp://192.0.2.10:8786`; by default the address in
            the scheduler file, or in `TRIO_DASK_SCHEDULER_ADDRESS`.
        scheduler_file: The file a scheduler wrote with its option of the same name. If it is
            not there yet, it is waited for.
        nworkers: How many workers; `auto` for what suits the processors, -1 for one each.
            [default: 1]
        nthreads: How many tasks each worker runs at once; by default the processors, shared.
        name: The worker's name; of several workers `name-0`, `name-1` …
        memory_limit: Memory of each worker, as `4GiB`, `0.25` (of the machine's), `auto`, or 0
            for no limit. When it gets short, values go to files, and in the end the worker
            pauses: `worker.memory` of the settings.
        resources: What tasks may ask for, of each worker, as `"GPU=2 MEM=10e9"`.
        nanny: Run tasks in a child process that is restarted when it dies.
        preload: A module, as `package.module`, or a file, to load where tasks run, before the
            first of them; its `dask_setup(worker)` is called. May be given several times.
        host: Where to listen; by default the address by which the scheduler is reached.
        interface: The network interface to listen on, as `eth0` or `ib0`.
        worker_port: The port to listen on, or a range, as `3000:3026`, of which the first that
            is free is taken. [default: any free one]
        protocol: `tcp` or `tls`. [default: the scheduler's]
        listen_address: Where to listen, all of it in one, as `tls://0.0.0.0:8765`.
        contact_address: Where others reach the worker, if not where it listens, as
            `tcp://203.0.113.5:8765`.
        tls: Certificates.
        scheduler_sni: The name of the server to ask for, if not the host of its address.
        death_timeout: Give up, and exit with 1, when no scheduler answers for so long.
        lifetime: Leave after so long, as `1h`: running tasks get a few seconds, values move to
            other workers.
        lifetime_stagger: Leave up to so long sooner or later than that, by chance, so that
            workers started together do not leave together.
        lifetime_restart: Put a new worker in the place of one whose lifetime is over.
        max_tasks: Put a fresh process in the place of one that has run so many tasks: for code
            that leaks. Values are kept, and what runs comes to its end. 0 for no limit.
        max_rss: The same when a process has so much memory after a task, as `2GiB`.
        max_age: The same after so long, as `6h`.
        preload_nanny: A module to import into the worker's own process, as `package.module`.
        local_directory: Where tasks may write files, and values go when memory is short.
        pid_file: Write the process id to this file.
        event_log: Record all that the workers are told in this file, for `trio-dask replay`.
        log: What is said on stderr.
        page: A page of the process.
        moot: What does nothing.
        tied: End when standard input ends.
        unnumbered: Though tied, a single worker has its name as it is: there will be no others.
        token_on_stdin: The first line of standard input is the token.
    """
    if token_on_stdin:
        take_token()
    at = _where(host, interface, worker_port, protocol, listen_address)
    for path, option in ((pid_file, "--pid-file"), (event_log, "--event-log")):
        check_directory_of(path, option)
    check_scratch(local_directory)
    check_word(scheduler_sni, "--scheduler-sni", "name of a server")
    config = load_config(
        overrides={
            "scheduler_address": scheduler,
            "worker.nworkers": nworkers,
            "worker.nthreads": _number(nthreads),
            "worker.name": name,
            "worker.memory_limit": memory_limit,
            "worker.host": at.host,
            "worker.port": at.port,
            "worker.protocol": at.protocol,
            "worker.contact_address": contact_address,
            "worker.death_timeout": death_timeout,
            "worker.lifetime": lifetime,
            "worker.lifetime_stagger": lifetime_stagger,
            "worker.lifetime_restart": lifetime_restart,
            "worker.max_tasks": _number(max_tasks),
            "worker.max_rss": max_rss,
            "worker.max_age": max_age,
            "worker.local_directory": local_directory and str(local_directory),
            "worker.nanny": nanny,
            "worker.preload": ",".join(preload or ()) or None,
            "worker.resources": resources,
            "worker.event_log": event_log and str(event_log),
            "comm.tls.sni": scheduler_sni,
            "log_format": log.log_format,
        }
        | tls.overrides()
        | page.overrides(),
        spelled=_SPELLED,
    )
    config = replace(config, worker=complete_worker(config.worker))
    _check(config, alone=listen_address is not None or contact_address is not None)
    given_as = "worker.host" if host is None else "--host"
    check_hosts(
        config.worker.host,
        given_as if listen_address is None else f"--listen-address {listen_address}",
    )
    if scheduler is not None and scheduler_file is not None:
        msg = f"{scheduler} and --scheduler-file {scheduler_file} name two schedulers; give one"
        raise ConfigError(msg)
    if not config.scheduler_address and scheduler_file is None and not tied:
        msg = (
            "where is the scheduler? Give its address, as in `trio-dask worker "
            "tcp://192.0.2.10:8786`, or --scheduler-file, or set TRIO_DASK_SCHEDULER_ADDRESS"
        )
        raise ConfigError(msg)
    log_to_stderr(log.log_level, config.log_format)
    say_what_is_moot("worker", moot, logger)
    modules = import_preloads(preload_nanny or (), "--preload-nanny")
    with garbage_collector(off=config.worker.nanny):  # without a nanny tasks run here
        tie = Tie() if tied else None
        crew = _Crew(tie)
        serve = partial(_serve, config, scheduler_file, pid_file, tie, crew, not unnumbered)
        run_until_signal(partial(_around, modules, serve, crew), tie=tie, gently=crew.leave)


def _number(text: str | None) -> str | int | None:
    """What is written with a few digits as a number, for messages; the rest is looked at later."""
    short = text is not None and text.isascii() and text.isdecimal() and len(text) < 10
    return int(text) if short and text is not None else text


def _where(
    host: str | None,
    interface: str | None,
    port: str | None,
    protocol: str | None,
    listen_address: str | None,
) -> ListenAt:
    """Where to listen, from the options that say so.

    Raises:
        ConfigError: they contradict each other.
    """
    if listen_address is None:
        return listen_at(host, port, interface, protocol, option="--worker-port")
    for given, option in ((host, "--host"), (interface, "--interface"), (port, "--worker-port"),
                          (protocol, "--protocol")):  # fmt: skip
        if given is not None:
            msg = f"--listen-address {listen_address} says all of it; leave {option} {given} out"
            raise ConfigError(msg)
    checked_address(listen_address, "--listen-address")
    return listen_at(listen_address, None, None)


def _check(config: Config, *, alone: bool) -> None:
    """Whether all of it goes together.

    Raises:
        ConfigError: it does not.
    """
    settings = config.worker
    if config.scheduler_address:
        parse_contact(config.scheduler_address, default_port=_DEFAULT_PORT)
    if settings.contact_address:
        checked_address(settings.contact_address, "--contact-address")
    check_pages(settings.dashboard_address, settings.dashboard_prefix)
    check_https(config)
    if alone and settings.nworkers > 1:
        msg = f"--listen-address and --contact-address are for one worker, not --nworkers {settings.nworkers}"
        raise ConfigError(msg)
    ports = port_choices(settings.port)
    if "," in settings.host or "," in settings.protocol:
        msg = (
            f"a worker listens at one place: --host {settings.host}, --protocol {settings.protocol}"
        )
        raise ConfigError(msg)
    listening_places(settings.protocol or TCP, settings.host, ports)
    if len(ports) > 1 and len(ports) < settings.nworkers:
        msg = f"--worker-port: {ports_text(settings.port)} are {len(ports)} ports for {settings.nworkers} workers"
        raise ConfigError(msg)
    for each in filter(None, map(str.strip, settings.preload.split(","))):
        _check_preload(each)


def _check_preload(name: str) -> None:
    """It is looked for, and not loaded: that is for the processes that run tasks.

    Raises:
        ConfigError: it is not there.
    """
    if name.endswith(".py"):
        found = Path(name).is_file()
    else:
        top = name.partition(".")[0]
        path = [*sys.path, str(Path.cwd())]
        found = top in sys.builtin_module_names or bool(PathFinder.find_spec(top, path))
    if not found:
        msg = f"--preload: {name!r} is neither a module, as package.module, nor a file, as setup.py"
        raise ConfigError(msg)


async def _around(modules: list[object], serve: Callable[[], Awaitable[None]], crew: _Crew) -> None:
    async with preloaded(modules, crew):
        await serve()


class _Crew:
    """The workers of this process, once they are there: a signal has them leave."""

    def __init__(self, tie: Tie | None) -> None:
        self._tie = tie
        self.handle: WorkerHandle | None = None
        self.there = trio.Event()

    def started(self, value: WorkerHandle | None = None) -> None:
        """They are there."""
        self.handle = value
        self.there.set()
        notify("READY=1")
        if self._tie is not None:
            self._tie.started(value)

    def leave(self, reason: str) -> bool:
        """Have them leave, if they are there."""
        if self.handle is not None:
            self.handle.drain(reason)
        return self.handle is not None


async def _serve(
    config: Config,
    scheduler_path: Path | None,
    pid_path: Path | None,
    tie: Tie | None,
    crew: _Crew,
    numbered: bool,
) -> None:
    with pid_file(pid_path):
        if scheduler_path is None:
            address, keys = config.scheduler_address, own_keys(find_token(config), config)
            if not address and tie is not None:
                address = await tie.scheduler()
        else:
            timeout_s = config.worker.death_timeout_s
            found = await wait_for_scheduler_file(scheduler_path, timeout_s, logger)
            address = found.address
            keys = own_keys(found.token, config, origin=f"the token in {scheduler_path}")
        # Tasks run in children of this process: the token is none of their business.
        os.environ.pop("TRIO_DASK_TOKEN", None)
        if tie is not None:  # where its scheduler is a tied worker is told, and only it
            os.environ.pop("TRIO_DASK_SCHEDULER_ADDRESS", None)
        host = None if config.worker.nanny else _thread_host()
        run = partial(run_worker, config, address, keys, runner_host=host, task_status=crew)
        if tie is not None:
            run = partial(run, numbered=numbered, on_change=tie.tell_change)
        if config.worker.nanny:
            async with adopting_orphans():
                await beside_page(config, keys, crew, run)
        else:  # what tasks have started here is nobody's but theirs
            await beside_page(config, keys, crew, run)


def _thread_host() -> RunnerHost:
    """What starts runners inside this process; it loads what runs user code, so only if asked."""
    from trio_dask.deploy import thread_host

    return thread_host
