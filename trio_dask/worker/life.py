"""The life of a worker: it finds the scheduler, has a runner, serves, and says goodbye."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import platform
import secrets
import socket
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import psutil
import trio

from trio_dask.comm import (
    listen_near,
    listening_places,
    open_listener,
    parse_address,
    parse_contact,
    serve,
)
from trio_dask.config import port_choices
from trio_dask.errors import CommError
from trio_dask.messages.session import WORKER, RegisterWorker
from trio_dask.store import files_max, leaving_max, rooms_max, sealed_max
from trio_dask.worker.core import (
    DrainRules,
    MemoryRules,
    RecycleRules,
    RestartRules,
    Store,
    WorkerCore,
)
from trio_dask.worker.coroner import Coroner
from trio_dask.worker.devices import Devices, devices_here
from trio_dask.worker.hosting import ProcessHost
from trio_dask.worker.leaving import age, see_off
from trio_dask.worker.link import Calling, keep_link, reach_scheduler
from trio_dask.worker.nanny import Nannies
from trio_dask.worker.orphans import reap_orphans
from trio_dask.worker.output import Outputs
from trio_dask.worker.pressure import used, watch_memory
from trio_dask.worker.profiles import Profiles
from trio_dask.worker.recording import RecordedCore
from trio_dask.worker.rooms import Rooms
from trio_dask.worker.spilling import Spiller
from trio_dask.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.comm import Connection, Keys, Listener
    from trio_dask.config import WorkerConfig
    from trio_dask.eventlog import EventLog
    from trio_dask.worker.hosting import HostedRunner, RunnerHost

#: How long closing a connection that was never used may take.
DROP_S: Final = 2.0
TICK_S: Final = 1.0

logger: Final = logging.getLogger("trio_dask.worker")


@dataclass(slots=True, eq=False)
class Household:
    """What the workers of a process have in common, and how each of them lives."""

    settings: WorkerConfig
    calling: Calling
    keys: Keys
    host: RunnerHost
    directory: str
    #: Whether the workers' names have numbers.
    numbered: bool
    store: Store = field(default_factory=Store)
    neighbours: dict[str, Worker] = field(default_factory=dict)
    log: EventLog | None = None
    outputs: Outputs = field(default_factory=Outputs)
    #: The last lines of the log, at a time.
    lines: Callable[[float], list[dict[str, Any]]] = lambda _: []
    coroner: Coroner = field(default_factory=lambda: Coroner(socket.gethostname()))
    devices: Devices = field(init=False)

    def __post_init__(self) -> None:
        self.devices = devices_here(self.settings.resources)

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
        scheduler = await reach_scheduler(self.calling, self.settings.death_timeout_s)
        try:
            listener = await self._listen(scheduler, number)
        except BaseException:
            with trio.move_on_after(DROP_S, shield=True):
                await _drop(scheduler)
            raise
        logger.info("Start worker at:  %s", listener.address)
        address = self._contact(listener)
        core = WorkerCore(
            self._name(number, address),
            address,
            settings.nthreads,
            self.store,
            secret=secrets.token_hex(16),
            rules=RestartRules(
                delay_s=settings.restart_delay_s, delay_max_s=settings.restart_delay_max_s
            ),
            drain_rules=DrainRules(grace_s=settings.drain_grace_s, move_s=settings.drain_move_s),
            memory_rules=_memory_rules(settings),
            processes=isinstance(self.host, ProcessHost),
        )
        told = core if self.log is None else RecordedCore(core, self.log, number)
        worker = Worker(told, scheduler, self.keys, self.neighbours)
        worker.lines = self.lines
        worker.profiles = Profiles(settings.profile_interval_s)
        if settings.sealed_bytes_min:
            worker.rooms = Rooms(settings.pool_bytes_max, rooms_max(settings.nworkers))
        worker.open_for_neighbours()
        try:
            # Also by a local socket, which is closed with the others.
            near = listen_near(self.keys, address)
            if near is not None:
                listener = listener.with_local(near)
            async with listener:
                with self.devices.lent() as variables:
                    nannies = self._nannies(worker, variables)
                    await self._serve(worker, nannies, listener, joined)
        finally:
            worker.close_for_neighbours()
            told.leave()
            worker.wake_neighbours()
            worker.rooms.close()

    async def _listen(self, scheduler: Connection, number: int) -> Listener:
        """Where others fetch values: workers of one process have ports that follow one another.

        Raises:
            OSError: there is no free one, or the host is not this machine's.
        """
        settings = self.settings
        host = settings.host or parse_address(scheduler.local_address).host
        protocol = settings.protocol or parse_address(self.calling.address).scheme
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

    def _nannies(self, worker: Worker, variables: dict[str, str]) -> Nannies:
        settings = self.settings
        prepare = {
            "name": worker.name,
            "address": worker.address,
            "scheduler_address": self.calling.address,
            "nthreads": settings.nthreads,
            "inline_bytes_max": settings.inline_bytes_max,
            "local_directory": self.directory,
            "memory_limit": settings.memory_limit,
            "environ": variables,
            "preload": [each.strip() for each in settings.preload.split(",") if each.strip()],
            "sealed_bytes_min": settings.sealed_bytes_min,
            "pool_bytes_max": settings.pool_bytes_max,
            "sealed_max": sealed_max(settings.nworkers),
            "profile_interval_s": settings.profile_interval_s,
        }
        rules = RecycleRules(
            max_tasks=settings.max_tasks,
            max_rss=settings.max_rss,
            max_age_s=settings.max_age_s or math.inf,
        )
        return Nannies(worker, self.start_runner, self.coroner, prepare, rules=rules)

    async def _serve(
        self,
        worker: Worker,
        nannies: Nannies,
        listener: Listener,
        joined: Callable[[Worker], None],
    ) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_link, worker, self.calling, nannies, nursery)
            await nursery.start(worker.peers.run)
            spiller = Spiller(worker, self.neighbours, self.directory, files_max())
            nursery.start_soon(spiller.run)

            async def serve_peers(*, task_status: trio.TaskStatus[Listener]) -> None:
                await serve(
                    listener,
                    keys=self.keys,
                    role=WORKER,
                    handler=worker.serve_peer,
                    task_status=task_status,
                )

            await nursery.start(serve_peers)
            nursery.start_soon(nannies.run)
            nursery.start_soon(nannies.climb)
            # Who is registered is given work, so first there is somebody to do it.
            await nannies.any_ready.wait()
            worker.registration = partial(self._registration, worker)
            worker.scheduler.send(worker.registration())
            await worker.registered.wait()
            # Of several the line says which; the address alone comes first, as it always did.
            which = f" as {worker.name}" if self.numbered else ""
            logger.info("Registered to:    %s%s", worker.scheduler.remote_address, which)
            joined(worker)
            nursery.start_soon(see_off, worker, nannies)
            nursery.start_soon(age, worker, self.settings)
            nursery.start_soon(
                watch_memory, worker, nannies, self.settings.memory, partial(_beat, worker, nannies)
            )
            await self._tick(worker, nannies)

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
            worker.core.resume().secret,
            worker.core.memory.cluster,
            worker.core.memory.epoch,
            worker.core.memory.provisional,
        )

    async def _tick(self, worker: Worker, nannies: Nannies) -> None:
        beat_at = 0.0
        while True:
            now = trio.current_time()
            if now >= beat_at:
                beat_at = now + self.settings.heartbeat_s
                _beat(worker, nannies)
            await trio.sleep(min(TICK_S, self.settings.heartbeat_s))
            nannies.tick()
            worker.peers.tick()
            worker.rooms.tick()
            reap_orphans()
            if self.log is not None:
                self.log.write_out()


async def _drop(connection: Connection) -> None:
    connection.cut("not needed")
    with contextlib.suppress(CommError):
        await connection.run(lambda _: None)


def _memory_rules(settings: WorkerConfig) -> MemoryRules:
    memory = settings.memory
    return MemoryRules(
        limit=settings.memory_limit, target=memory.target, spill=memory.spill,
        pause=memory.pause, terminate=memory.terminate, max_spill=memory.max_spill,
        leaving_max=leaving_max(settings.nworkers), files_max=files_max(settings.nworkers),
    )  # fmt: skip


def _beat(worker: Worker, nannies: Nannies) -> None:
    """Say how the worker is."""
    worker.core.beat(_metrics(worker, nannies))
    worker.perform()


def _metrics(worker: Worker, nannies: Nannies) -> dict[str, Any]:
    process = psutil.Process()
    state = worker.core.state
    return {
        "rss": process.memory_info().rss,
        "store_bytes": state.store.nbytes - state.store.filed_bytes,
        "memory": used(worker, nannies)[0],
        "managed_bytes": state.room.managed,
        "spilled_bytes": state.room.filed_bytes,
        "paused": state.room.paused,
        "runner": nannies.metrics(),
        "books": worker.core.books(),
    }
