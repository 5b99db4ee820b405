"""The life of a worker: it finds the scheduler, has a runner, serves, and says goodbye."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import psutil
import trio

from trio_dask.comm import (
    connect,
    listening_places,
    open_listener,
    parse_address,
    parse_contact,
    serve,
)
from trio_dask.config import port_choices
from trio_dask.errors import (
    AuthenticationError,
    CommError,
    HandshakeRefused,
    SchedulerUnreachable,
)
from trio_dask.messages.session import (
    SCHEDULER,
    WORKER,
    Heartbeat,
    Refused,
    RegisterWorker,
    Welcome,
)
from trio_dask.store import sealed_max
from trio_dask.worker.core import DrainRules, RestartRules, Store, WorkerCore
from trio_dask.worker.coroner import Coroner
from trio_dask.worker.leaving import age, see_off
from trio_dask.worker.nanny import Nanny
from trio_dask.worker.orphans import reap_orphans
from trio_dask.worker.output import Outputs
from trio_dask.worker.profiles import Profiles
from trio_dask.worker.recording import RecordedCore
from trio_dask.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.comm import Connection, Keys, Listener
    from trio_dask.config import WorkerConfig
    from trio_dask.eventlog import EventLog
    from trio_dask.messages import Message
    from trio_dask.worker.hosting import HostedRunner, RunnerHost

#: How long closing a connection that was never used may take.
DROP_S: Final = 2.0
TICK_S: Final = 1.0
#: The wait between attempts to reach the scheduler: doubled each time.
RETRY_S: Final = 0.5
RETRY_MAX_S: Final = 30.0

logger: Final = logging.getLogger("trio_dask.worker")


@dataclass(slots=True, eq=False)
class Household:
    """What the workers of a process have in common, and how each of them lives."""

    settings: WorkerConfig
    scheduler_address: str
    keys: Keys
    host: RunnerHost
    directory: str
    connect_s: float
    #: Whether the workers' names have numbers.
    numbered: bool
    store: Store = field(default_factory=Store)
    neighbours: dict[str, Worker] = field(default_factory=dict)
    log: EventLog | None = None
    outputs: Outputs = field(default_factory=Outputs)
    coroner: Coroner = field(default_factory=lambda: Coroner(socket.gethostname()))

    def start_runner(self, nthreads: int) -> HostedRunner:
        """Start a runner, and pass on what it prints.

        Raises:
            OSError: it cannot be started.
        """
        hosted = self.host(nthreads)
        if hosted.output is not None:
            self.outputs.listen(hosted.output)
        return hosted

    async def live(self, number: int, joined: Callable[[Worker], None]) -> None:
        """One worker, from the first call to the scheduler to its goodbye.

        `joined` is called when the scheduler knows it. It ends when the scheduler says
        goodbye, or by cancelling, which says goodbye to the scheduler.
        """
        settings = self.settings
        scheduler = await self._reach_scheduler()
        try:
            listener = await self._listen(scheduler, number)
        except BaseException:
            with trio.move_on_after(DROP_S, shield=True):
                await _drop(scheduler)
            raise
        logger.info("Start worker at:  %s", listener.address)
        rules = DrainRules(grace_s=settings.drain_grace_s, move_s=settings.drain_move_s)
        address = self._contact(listener)
        name = self._name(number, address)
        core = WorkerCore(name, address, settings.nthreads, self.store, drain_rules=rules)
        told = core if self.log is None else RecordedCore(core, self.log, number)
        worker = Worker(told, scheduler, self.keys, self.neighbours)
        worker.profiles = Profiles(settings.profile_interval_s)
        worker.open_for_neighbours()
        try:
            async with listener:
                await self._serve(worker, listener, joined)
        finally:
            worker.close_for_neighbours()
            told.leave()

    async def _listen(self, scheduler: Connection, number: int) -> Listener:
        """Where others fetch values: workers of one process have ports that follow one another.

        Raises:
            OSError: there is no free one, or the host is not this machine's.
        """
        settings = self.settings
        host = settings.host or parse_address(scheduler.local_address).host
        protocol = settings.protocol or parse_address(self.scheduler_address).scheme
        ports = port_choices(settings.port)
        if len(ports) == 1:
            ports = (ports[0] + number,) if ports[0] else ports
        else:  # each begins with its own, so that none waits for another's
            ports = ports[number % len(ports) :] + ports[: number % len(ports)]
        [places] = listening_places(protocol, host, ports)
        return await open_listener(*places)

    def _contact(self, listener: Listener) -> str:
        """Where others reach us: where we listen, unless something in between changes that."""
        given = self.settings.contact_address
        if not given:
            return listener.address
        own = parse_address(listener.address)
        return str(parse_contact(given, default_port=own.port, default_scheme=own.scheme))

    async def _serve(
        self, worker: Worker, listener: Listener, joined: Callable[[Worker], None]
    ) -> None:
        settings = self.settings
        rules = RestartRules(
            delay_s=settings.restart_delay_s, delay_max_s=settings.restart_delay_max_s
        )
        prepare = {
            "name": worker.name,
            "address": worker.address,
            "scheduler_address": self.scheduler_address,
            "nthreads": settings.nthreads,
            "inline_bytes_max": settings.inline_bytes_max,
            "local_directory": self.directory,
            "preload": [each.strip() for each in settings.preload.split(",") if each.strip()],
            "sealed_bytes_min": settings.sealed_bytes_min,
            "pool_bytes_max": settings.pool_bytes_max,
            "sealed_max": sealed_max(settings.nworkers),
            "profile_interval_s": settings.profile_interval_s,
        }
        nanny = Nanny(worker, self.start_runner, self.coroner, rules=rules, settings=prepare)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_link, worker, nanny, nursery)
            await nursery.start(worker.peers.run)

            async def serve_peers(*, task_status: trio.TaskStatus[Listener]) -> None:
                await serve(
                    listener,
                    keys=self.keys,
                    role=WORKER,
                    handler=worker.serve_peer,
                    task_status=task_status,
                )

            await nursery.start(serve_peers)
            nursery.start_soon(nanny.run)
            nursery.start_soon(nanny.climb)
            # Who is registered is given work, so first there is somebody to do it.
            await nanny.any_ready.wait()
            worker.scheduler.send(self._registration(worker))
            await worker.registered.wait()
            # Of several the line says which; the address alone comes first, as it always did.
            which = f" as {worker.name}" if self.numbered else ""
            logger.info("Registered to:    %s%s", worker.scheduler.remote_address, which)
            joined(worker)
            nursery.start_soon(see_off, worker, nanny)
            nursery.start_soon(age, worker, settings)
            await self._tick(worker, nanny)

    def _name(self, number: int, address: str) -> str:
        """A worker's name; several are numbered."""
        name = self.settings.name
        return (f"{name}-{number}" if self.numbered else name) if name else address

    def _registration(self, worker: Worker) -> RegisterWorker:
        settings = self.settings
        info: dict[str, Any] = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "python": platform.python_version(),
            "local_directory": self.directory,
        }
        return RegisterWorker(
            worker.name,
            worker.address,
            settings.nthreads,
            settings.memory_limit,
            dict(settings.resources),
            info,
        )

    async def _keep_link(self, worker: Worker, nanny: Nanny, nursery: trio.Nursery) -> None:
        """The conversation with the scheduler; its end is the worker's."""

        def on_messages(messages: list[Message]) -> None:
            for message in messages:
                if worker.registered.is_set():
                    worker.core.on_scheduler(message, time.monotonic())
                elif type(message) is Welcome:
                    worker.on_registered()
                elif type(message) is Refused:
                    raise HandshakeRefused(f"{self.scheduler_address}: {message.reason}")
            worker.perform()

        async def say_goodbye_at_the_end() -> None:
            try:
                await trio.sleep_forever()
            finally:
                nanny.stop()
                worker.scheduler.close("the worker ends")

        async with trio.open_nursery() as parting:
            parting.start_soon(say_goodbye_at_the_end)
            with trio.CancelScope(shield=True):  # bounded: `close` ends it within two seconds
                try:
                    reason = await worker.scheduler.run(on_messages)
                except HandshakeRefused:
                    raise
                except CommError as error:
                    reason = _lost(worker, error)
            parting.cancel_scope.cancel("the conversation is over")
        if not worker.registered.is_set():
            raise CommError(f"{worker.scheduler.remote_address} is not taking workers: {reason}")
        logger.info("End worker %s: %s", worker.name, reason)
        nursery.cancel_scope.cancel("the scheduler said goodbye")

    async def _tick(self, worker: Worker, nanny: Nanny) -> None:
        beat_at = 0.0
        while True:
            now = trio.current_time()
            if now >= beat_at:
                beat_at = now + self.settings.heartbeat_s
                worker.scheduler.send(Heartbeat(_metrics(worker, nanny)))
            await trio.sleep(min(TICK_S, self.settings.heartbeat_s))
            nanny.tick()
            worker.peers.tick()
            reap_orphans()
            if self.log is not None:
                self.log.write_out()

    async def _reach_scheduler(self) -> Connection:
        """A connection to the scheduler, as soon as there is one.

        Raises:
            SchedulerUnreachable: not within the death timeout.
            AuthenticationError, HandshakeRefused: there is one that we do not belong to.
        """
        limit_s = self.settings.death_timeout_s
        deadline = float("inf") if limit_s is None else trio.current_time() + limit_s
        delay, why = RETRY_S, "no answer"
        with trio.CancelScope(deadline=deadline):
            while True:
                try:
                    return await connect(
                        self.scheduler_address, keys=self.keys, role=WORKER, expect=SCHEDULER,
                        timeout_s=self.connect_s,
                    )  # fmt: skip
                except (AuthenticationError, HandshakeRefused):
                    raise
                except CommError as error:
                    why = str(error)
                logger.warning("Waiting for the scheduler: %s; next try in %g s", why, delay)
                await trio.sleep(delay)
                delay = min(2 * delay, RETRY_MAX_S)
        msg = f"Timed out starting worker: no scheduler within {limit_s:g} s: {why}"
        raise SchedulerUnreachable(msg)


def _lost(worker: Worker, error: CommError) -> str:
    """The scheduler is lost: why a worker that was to leave anyway ends; for others it is an error."""
    reason = f"the scheduler is lost: {error}"
    if not worker.core.draining:
        raise CommError(reason) from error
    return reason


async def _drop(connection: Connection) -> None:
    connection.cut("not needed")
    with contextlib.suppress(CommError):
        await connection.run(lambda _: None)


def _metrics(worker: Worker, nanny: Nanny) -> dict[str, Any]:
    process = psutil.Process()
    return {
        "rss": process.memory_info().rss,
        "store_bytes": worker.core.state.store.nbytes,
        "runner": nanny.metrics(),
        "books": worker.core.books(),
    }
