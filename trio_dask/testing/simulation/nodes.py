"""The servers of a simulated cluster: the real cores, with simulated links around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.messages import session, values
from trio_dask.scheduler.core import CoreSettings, Misuse, SchedulerCore
from trio_dask.testing.simulation.runner import SimRunner
from trio_dask.testing.simulation.world import Link
from trio_dask.worker.core import (
    AwaitDrain,
    FetchFrom,
    Store,
    ToPeer,
    ToRunner,
    ToScheduler,
    WorkerCore,
)

if TYPE_CHECKING:
    from trio_dask.messages import Message
    from trio_dask.testing.simulation.world import World
    from trio_dask.worker.core import Action

TICK_S = 0.1
#: A simulated runner dies often: no task is given up for it.
_DEATHS_MAX = 1_000_000


class SimScheduler:
    """The scheduler's core with a session for each peer."""

    def __init__(self, world: World) -> None:
        settings = CoreSettings(allowed_failures=_DEATHS_MAX)
        self.core = SchedulerCore(settings, cluster="simulated")
        self._world = world
        self._links: dict[int, Link] = {}
        self._peers = 0
        self._working = False
        self.complaints: list[str] = []
        world.after(TICK_S, "tick", self._tick)

    def accept(self, link: Link) -> None:
        """Somebody connected."""
        self._peers += 1
        peer = self._peers
        self._links[peer] = link
        link.attach(
            1, lambda messages: self._receive(peer, messages), lambda why: self._left(peer, why)
        )

    def _receive(self, peer: int, messages: list[Message]) -> None:
        for message in messages:
            try:
                if isinstance(message, session.RegisterClient):
                    self.core.client_joined(peer, message)
                elif isinstance(message, session.RegisterWorker):
                    self.core.worker_joined(peer, message, self._world.now)
                else:
                    self.core.handle(peer, message, self._world.now)
            except Misuse as error:
                self.complaints.append(f"{type(message).__name__} of peer {peer}: {error}")
        self._flush()

    def _left(self, peer: int, reason: str) -> None:
        del self._links[peer]
        self.core.left(peer, reason)
        self._flush()

    def _tick(self) -> None:
        self.core.tick(self._world.now)
        self._flush()
        self._world.after(TICK_S, "tick", self._tick)

    def _work(self) -> None:
        self._working = False
        self.core.work()
        self._flush()

    def _flush(self) -> None:
        for peer, messages in self.core.flush():
            if peer in self._links:
                self._links[peer].send(1, messages)
        if self.core.busy and not self._working:
            self._working = True
            self._world.after(0.0001, "work", self._work)


class SimWorker:
    """A worker process: core, store and runner, which live and die."""

    def __init__(
        self, cluster: dict[str, SimWorker], name: str, nthreads: int, failed: dict[int, int]
    ) -> None:
        self._cluster = cluster  # the living, by address
        self.name = name
        self.nthreads = nthreads
        self._failed = failed
        self._lives = 0
        self.alive = False

    def start(self, world: World, scheduler: SimScheduler) -> None:
        """A new process, if none is there: nothing of an earlier one is left."""
        if self.alive:
            return
        self._world, self._scheduler = world, scheduler
        self._lives += 1
        self.alive = True
        self.address = f"tcp://{self.name}:{self._lives}"
        self._cluster[self.address] = self
        self.core = WorkerCore(self.name, self.address, self.nthreads, Store())
        self._fetching: dict[str, Link] = {}
        self._asking: dict[int, Link] = {}
        self._sessions = 0
        self._new_runner()
        self.link = Link(world, f"{self.address}-scheduler")
        self.link.attach(0, self._from_scheduler, lambda _: self.crash())
        scheduler.accept(self.link)
        register = session.RegisterWorker(self.name, self.address, self.nthreads, 0, {}, {})
        self.link.send(0, [register])

    def crash(self) -> None:
        """The process dies."""
        if not self.alive:
            return
        self.alive = self.runner.alive = False
        del self._cluster[self.address]
        self.link.detach(0)
        for link in (self.link, *self._fetching.values(), *self._asking.values()):
            link.cut("the process died")

    def cut_connections(self) -> None:
        """Its data connections break; the processes live on."""
        if self.alive:
            for link in (*self._fetching.values(), *self._asking.values()):
                link.cut("a fault")

    def leftovers(self) -> dict[str, int]:
        """What is on its books besides functions."""
        if not self.alive:
            return {}
        books = self.core.books()
        del books["functions"]
        return {**books, "values in the runner": len(self.runner.values)}

    def crash_runner(self) -> None:
        """The process that runs tasks dies, and soon there is another."""
        runner = self.runner
        if not self.alive or not runner.alive:
            return
        runner.alive = False
        self.core.runner_died(list(runner.running), {"signal": 9})
        self._flush()
        life = self._lives
        self._world.after(0.1, f"{self.name} new runner", lambda: self._back(life))

    def _back(self, life: int) -> None:
        if self.alive and life == self._lives:
            self._new_runner()
            self._flush()

    def _new_runner(self) -> None:
        runner = SimRunner(
            self._world, self.nthreads, self._failed, lambda m: self._soon(runner, m)
        )
        self.runner = runner
        self.core.runner_ready()

    def _soon(self, runner: SimRunner, messages: list[Message]) -> None:
        """What a runner says takes a moment, and is lost if it dies in it."""
        self._world.after(
            0.00005, f"{self.name} runner says", lambda: self._from_runner(runner, messages)
        )

    def _from_runner(self, runner: SimRunner, messages: list[Message]) -> None:
        if runner.alive and self.alive:
            for message in messages:
                self.core.on_runner(message)
            self._flush()

    def _from_scheduler(self, messages: list[Message]) -> None:
        for message in messages:
            if not isinstance(message, session.Welcome):
                self.core.on_scheduler(message)
        self._flush()

    # ---------------------------------------------------------------- data connections

    def accept(self, link: Link, *, may_store: bool) -> None:
        """Somebody opened a data connection."""
        self._sessions += 1
        number = self._sessions
        self._asking[number] = link
        self.core.peer_joined(number, may_store=may_store)
        core = self.core

        def receive(messages: list[Message]) -> None:
            for message in messages:
                core.on_peer(number, message)
            self._flush()

        def closed(_: str) -> None:
            if self.core is core and self.alive:
                del self._asking[number]
                core.peer_left(number)
                self._flush()

        link.attach(1, receive, closed)

    def _fetch(self, action: FetchFrom) -> None:
        link = self._fetching.get(action.address)
        if link is None:
            target = self._cluster.get(action.address)
            if target is None:
                life = self._lives
                self._world.after(0.01, "no answer", lambda: self._gone(action.address, life))
                return
            link = self._fetching[action.address] = Link(
                self._world, f"{self.address}-{action.address}"
            )
            life = self._lives
            link.attach(0, self._fetched, lambda _: self._gone(action.address, life))
            target.accept(link, may_store=False)
        link.send(0, [values.Fetch(action.serial, action.tids)])

    def _fetched(self, messages: list[Message]) -> None:
        if not self.alive:
            return
        for message in messages:
            assert isinstance(message, values.Values)
            self.core.fetched(message)
        self._flush()

    def _gone(self, address: str, life: int) -> None:
        if self.alive and life == self._lives:
            self._fetching.pop(address, None)
            self.core.fetch_failed(address)
            self._flush()

    # ---------------------------------------------------------------- what the core wants

    def _flush(self) -> None:
        if self.alive:
            for action in self.core.flush():
                self._perform(action)

    def _perform(self, action: Action) -> None:
        match action:
            case ToScheduler():
                self.link.send(0, action.messages)
            case ToRunner():
                runner, messages = self.runner, action.messages
                self._world.after(
                    0.00005, f"{self.name} to runner", lambda: runner.receive(messages)
                )
            case ToPeer():
                self._asking[action.session].send(1, action.messages)
            case FetchFrom():
                self._fetch(action)
            case AwaitDrain():
                number, core = action.session, self.core
                self._world.after(0.001, "drained", lambda: self._drained(core, number))

    def _drained(self, core: WorkerCore, number: int) -> None:
        if self.alive and self.core is core:
            core.drained(number)
            self._flush()
