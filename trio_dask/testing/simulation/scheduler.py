"""The scheduler of a simulated cluster: the real core, with a session for each peer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages import nested, session
from trio_dask.scheduler.core import CoreSettings, Misuse, SchedulerCore
from trio_dask.scheduler.core.reunion import ANOTHER
from trio_dask.scheduler.inside import Inside
from trio_dask.testing.simulation.network import CONNECT_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.messages import Message
    from trio_dask.scheduler import Placement
    from trio_dask.testing.simulation.network import Link, Network
    from trio_dask.testing.simulation.plan import Plan

TICK_S: Final = 0.2
#: Limits that are over at about the same time are looked at together.
TOGETHER_S: Final = 0.01
HOST: Final = "scheduler"
#: Shorter than in production, so that hosts that stand still are given up.
WORKER_TTL_S: Final = 5.0
#: Shorter as well, so that some come back too late.
RECONNECT_S: Final = 2.0
_LOCAL: Final = 1 << 40
#: Why the scheduler gives up a worker.
SILENT: Final = "nothing was heard of it for too long"
#: Why a worker says goodbye.
ENDS: Final = "the worker ends"
#: Why a client's connection ends that needs none any more.
GONE: Final = "the client is gone"


@dataclass(slots=True, eq=False)
class _Visit:
    """A connection, and the peer that it has turned out to be."""

    link: Link
    peer: int = 0
    worker: bool = False


class SimScheduler:
    """One life of a scheduler: nobody reaches it before it was started, or when it is dead.

    `on_flush` is called after the core has handed out work, with what is to be said.
    `listens` tells whether a process is at an address.
    """

    def __init__(
        self,
        network: Network,
        plan: Plan,
        cluster: int,
        listens: Callable[[str], bool],
        *,
        placement: Placement | None = None,
    ) -> None:
        settings = CoreSettings(
            allowed_failures=plan.allowed_failures,
            worker_ttl_s=WORKER_TTL_S,
            turn_max=plan.turn_max,
            reconnect_s=RECONNECT_S,
            clients_from=1024 * (cluster % 2048),
        )
        self.core = SchedulerCore(settings, cluster=f"{cluster:016x}", placement=placement)
        self._network = network
        self._world = network.world
        self._listens = listens
        self._inside = _Inside(self.core, self)
        self._here: dict[_Visit, None] = {}
        self._visits: dict[int, _Visit] = {}  # of those who have registered
        self._peers = 0
        self._working = False
        self._listening = False
        self._wakes_at = math.inf
        self._offset = plan.offset  # of its clock
        self.complaints: list[str] = []
        self.established: set[str] = set()  # clusters that have been more than provisional
        self.on_flush: Callable[[list[tuple[int, list[Message]]]], None] = _nothing

    def start(self) -> None:
        """The process has begun."""
        self._listening = True
        self._world.every(TICK_S, "tick", self._tick)

    def die(self) -> None:
        """The process is gone: what was said to it, or by it, and has not arrived is lost."""
        self._listening = False
        self._note_cluster()
        visits, self._here, self._visits = self._here, {}, {}
        for visit in visits:
            visit.link.detach(1)
            visit.link.cut("the scheduler died")

    @property
    def listening(self) -> bool:
        """Whether it can be connected to."""
        return self._listening

    def ask_here(self, questions: list[tuple[str, dict[str, Any]]]) -> None:
        """Somebody in the scheduler's own process asks; nobody waits for the answers."""
        self.core.local_joined(_LOCAL, "somebody here")
        for serial, (topic, params) in enumerate(questions, 1):
            self.core.handle(_LOCAL, session.Ask(serial, topic, params), self.clock())
        self._flush()
        self.core.left(_LOCAL, "it has asked")

    def accept(self, link: Link) -> bool:
        """Somebody wants to connect; tells whether anybody is there."""
        if not self._listening or not self._network.reachable(*link.hosts):
            link.refuse()
            return False
        visit = _Visit(link)
        self._here[visit] = None
        link.attach(1, partial(self._receive, visit), partial(self._lost, visit))
        return True

    def _receive(self, visit: _Visit, messages: list[Message]) -> None:
        if not self._listening:
            return
        now = self.clock()
        for message in messages:
            try:
                if isinstance(message, nested.Nested) and visit.peer:
                    self.core.heard(visit.peer, message)
                    self._inside.hear(visit.peer, message, now)
                elif visit.peer:
                    self.core.handle(visit.peer, message, now)
                elif isinstance(message, session.Resume):
                    self._resume(visit, self.core.resume(message, now))
                else:
                    self._register(visit, message)
            except Misuse as error:
                self._turn_away(visit.link, message, error)
                break
        self._flush()

    def _register(self, visit: _Visit, message: Message) -> None:
        peer = self._peers + 1
        if isinstance(message, session.RegisterClient):
            self.core.client_joined(peer, message, self.clock())
        else:
            assert isinstance(message, session.RegisterWorker)
            self.core.worker_joined(peer, message, self.clock())
            visit.worker = True
        self._peers = visit.peer = peer
        self._visits[peer] = visit

    def _resume(self, visit: _Visit, peer: int | None) -> None:
        if peer is None:
            visit.link.send(1, [session.Resumed(-1)])
            return
        before = self._visits.get(peer)
        visit.peer, self._visits[peer] = peer, visit
        if before is not None:
            before.link.detach(1)
            before.link.cut("its peer has come back on another")

    def _turn_away(
        self, link: Link, message: Message | None, error: Misuse, *, explained: bool = False
    ) -> None:
        # A worker that is back before its end has been noticed is refused, and comes again.
        explained = explained or isinstance(message, session.RegisterWorker)
        if str(error) == ANOTHER:
            self._note_cluster()
            explained = len(self.established) > 1
        if not explained:
            self.complaints.append(f"{type(message).__name__}: {error}")
        link.send(1, [session.Refused(str(error))])

    def _note_cluster(self) -> None:
        if not self.core.state.reunion.provisional:
            self.established.add(self.core.state.cluster)

    def _lost(self, visit: _Visit, reason: str) -> None:
        peer = visit.peer
        self._here.pop(visit, None)
        if not peer or self._visits.get(peer) is not visit:
            return
        del self._visits[peer]
        if reason in (SILENT, GONE, ENDS):
            self.core.left(peer, reason)
        else:
            self.core.lost(peer, reason, self.clock())
            self._world.after(CONNECT_S, "a look for the lost", partial(self._probe, peer))
        self._flush()

    def _probe(self, peer: int) -> None:
        address = self.core.awaited(peer) if self._listening else None
        if address and not self._listens(address):
            self.core.left(peer, "its process has ended")
            self._flush()

    def _tick(self) -> bool:
        if not self._listening:
            return False
        if self._network.stalled_until(HOST) > self._world.now:
            return True
        for peer in self.core.tick(self.clock()):
            self._visits[peer].link.cut(SILENT)
        self._flush()
        return True

    def clock(self) -> float:
        """What its clock shows."""
        return self._world.now + self._offset

    def _expire(self) -> None:
        """Somebody may be out of time."""
        self._wakes_at = math.inf
        if not self._listening:
            return
        resumed = self._network.stalled_until(HOST)
        if resumed > self._world.now:
            self._world.at(resumed + TOGETHER_S, "limits, late", self._expire, tick=True)
            return
        self.core.expire(self.clock())
        self._flush()

    def _work(self) -> None:
        self._working = False
        if not self._listening:
            return
        for peer, error in self.core.work():
            if peer < 0:
                self._say_inside(*self._inside.refuse(peer, str(error)))
            elif peer in self._visits:
                # A worker that has waited to join, and may not, comes again.
                explained = self._visits[peer].worker and peer not in self.core.state.peers
                self._turn_away(self._visits[peer].link, None, error, explained=explained)
        self._flush()

    def _say_inside(self, worker: int, message: Message) -> None:
        self.core.said(worker, message)
        if worker in self._visits:
            self._visits[worker].link.send(1, [message])

    def _flush(self) -> None:
        self._inside.catch_up()
        said = self.core.flush(self.clock())
        self.on_flush(said)
        for peer, messages in said:
            if peer in self._visits:
                # Who is alive is told that this was heard, again and again.
                tick = all(isinstance(each, session.Heard) for each in messages)
                self._visits[peer].link.send(1, messages, tick=tick)
        for peer, messages in said:
            addressed = self._inside.address(peer, messages) if peer < 0 else None
            if addressed is not None:
                self._say_inside(*addressed)
        for worker, refused in self._inside.refusals():
            self._say_inside(worker, refused)
        if self.core.busy and not self._working:
            self._working = True
            self._world.after(0.0001, "work", self._work)
        if self.core.due_at < self._wakes_at:
            self._wakes_at = self.core.due_at
            when = max(self._world.now, self._wakes_at - self._offset) + TOGETHER_S
            self._world.at(when, "limits", self._expire, tick=True)


class _Inside(Inside):
    """The same, and who is refused for another reason than that its task is over is noted."""

    def __init__(self, core: SchedulerCore, scheduler: SimScheduler) -> None:
        super().__init__(core)
        self._complaints = scheduler

    def _refuse(self, way: tuple[int, int], reason: str) -> session.Refused:
        if reason not in _LATE:
            self._complaints.complaints.append(f"the client in {way}: {reason}")
        return super()._refuse(way, reason)


#: Why a client inside a task may be refused: the scheduler has given its attempt up.
_LATE: Final = {
    "the scheduler has given this attempt up",
    "the scheduler does not know this task's client",
}


def _nothing(_: object) -> None:
    pass
