"""The scheduler of a simulated cluster: the real core, with a session for each peer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from trio_dask.messages import nested, session
from trio_dask.scheduler.core import CoreSettings, Misuse, SchedulerCore
from trio_dask.scheduler.inside import Inside

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.messages import Message
    from trio_dask.scheduler import Placement
    from trio_dask.testing.simulation.network import Link, Network
    from trio_dask.testing.simulation.plan import Plan

TICK_S: Final = 0.2
HOST: Final = "scheduler"
#: Shorter than in production, so that hosts that stand still are given up.
WORKER_TTL_S: Final = 5.0


class SimScheduler:
    """One life of a scheduler: nobody reaches it before it was started, or when it is dead.

    `on_flush` is called after the core has handed out work, with what is to be said.
    """

    def __init__(
        self,
        network: Network,
        plan: Plan,
        cluster: str,
        placement: Placement | None = None,
    ) -> None:
        settings = CoreSettings(
            allowed_failures=plan.allowed_failures,
            worker_ttl_s=WORKER_TTL_S,
            turn_max=plan.turn_max,
        )
        self.core = SchedulerCore(settings, cluster=cluster, placement=placement)
        self._network = network
        self._world = network.world
        self._inside = _Inside(self.core, self)
        self._links: dict[int, Link] = {}
        self._peers = 0
        self._working = False
        self._listening = False
        self.complaints: list[str] = []
        self.on_flush: Callable[[list[tuple[int, list[Message]]]], None] = _nothing

    def start(self) -> None:
        """The process has begun."""
        self._listening = True
        self._world.every(TICK_S, "tick", self._tick)

    def die(self) -> None:
        """The process is gone: what was said to it, or by it, and has not arrived is lost."""
        self._listening = False
        links, self._links = self._links, {}
        for link in links.values():
            link.detach(1)
            link.cut("the scheduler died")

    @property
    def listening(self) -> bool:
        """Whether it can be connected to."""
        return self._listening

    def accept(self, link: Link) -> bool:
        """Somebody wants to connect; tells whether anybody is there."""
        if not self._listening:
            link.refuse()
            return False
        self._peers += 1
        peer = self._peers
        self._links[peer] = link
        link.attach(1, partial(self._receive, peer), partial(self._left, peer))
        return True

    def _receive(self, peer: int, messages: list[Message]) -> None:
        for message in messages:
            try:
                if isinstance(message, nested.Nested):
                    for _, said in self._inside.hear(peer, message, self._world.now):
                        self._links[peer].send(1, [said])
                elif isinstance(message, session.RegisterClient):
                    self.core.client_joined(peer, message)
                elif isinstance(message, session.RegisterWorker):
                    self.core.worker_joined(peer, message, self._world.now)
                else:
                    self.core.handle(peer, message, self._world.now)
            except Misuse as error:
                self._turn_away(peer, message, error)
                break
        self._flush()

    def _turn_away(self, peer: int, message: Message | None, error: Misuse) -> None:
        if peer < 0:
            self._say(*self._inside.refuse(peer, str(error)))
            return
        # A worker that is back before its end has been noticed is refused, and comes again.
        if not isinstance(message, session.RegisterWorker):
            self.complaints.append(f"{type(message).__name__} of peer {peer}: {error}")
        self._links[peer].send(1, [session.Refused(str(error))])

    def _left(self, peer: int, reason: str) -> None:
        del self._links[peer]
        self.core.left(peer, reason)
        self._flush()

    def _tick(self) -> bool:
        if not self._listening:
            return False
        if self._network.stalled_until(HOST) > self._world.now:
            return True
        for peer in self.core.tick(self._world.now):
            self._links[peer].cut("nothing was heard of it for too long")
        self._flush()
        return True

    def _work(self) -> None:
        self._working = False
        if not self._listening:
            return
        for peer, error in self.core.work():
            self._turn_away(peer, None, error)
        self._flush()

    def _say(self, peer: int, message: Message) -> None:
        if peer in self._links:
            self._links[peer].send(1, [message])

    def _flush(self) -> None:
        said = self.core.flush()
        self.on_flush(said)
        for peer, messages in said:
            addressed = self._inside.address(peer, messages) if peer < 0 else None
            if addressed is not None:
                self._say(*addressed)
            elif peer in self._links:
                self._links[peer].send(1, messages)
        if self.core.busy and not self._working:
            self._working = True
            self._world.after(0.0001, "work", self._work)


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
