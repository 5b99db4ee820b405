"""The network of a simulated cluster: connections that are slow, stall, and break.

A connection delivers in order or not at all. What goes wrong is a matter of hosts: one is
slow, or stands still for a while, or two of them cannot reach each other.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from trio_dask.messages import decode, encode

if TYPE_CHECKING:
    import random

    from trio_dask.messages import Message, Payload
    from trio_dask.testing.simulation.world import World

Receive = Callable[["list[Message]"], None]
Closed = Callable[[str], None]

#: Delays to choose from, seconds.
PROFILES: Final[dict[str, tuple[float, ...]]] = {
    "mixed": (0.0001, 0.0003, 0.001, 0.02),
    "fast": (0.0001,),
    "far": (0.02, 0.03),
    "rough": (0.0001, 0.0001, 0.0001, 0.3),
}
#: After so long a connection to a host that cannot be reached fails.
CONNECT_S: Final = 0.2
#: Who found nobody there, or was turned away, tries again after so long.
RETRY_S: Final = 0.5


class Network:
    """What state hosts and the ways between them are in."""

    def __init__(self, world: World, profile: str) -> None:
        self.world = world
        self.delays = PROFILES[profile]
        self.in_flight = 0
        self._slow: dict[str, tuple[float, float]] = {}  # factor, and until when
        self._slow_between: dict[frozenset[str], tuple[float, float]] = {}
        self._stalled: dict[str, float] = {}  # until when
        self._stalled_between: dict[frozenset[str], float] = {}
        self._parted: dict[frozenset[str], float] = {}  # until when
        self._links: dict[Link, None] = {}

    # ---------------------------------------------------------------- what goes wrong

    def slow_down(self, host: str, factor: float, seconds: float) -> None:
        """Everything to and from the host takes longer."""
        self._slow[host] = factor, self.world.now + seconds

    def slow_down_between(self, a: str, b: str, factor: float, seconds: float) -> None:
        """Everything that two hosts say to each other takes longer."""
        self._slow_between[frozenset((a, b))] = factor, self.world.now + seconds

    def stall(self, host: str, seconds: float) -> None:
        """The host stands still: its connections stay open, and nothing happens there."""
        self._stalled[host] = max(self.stalled_until(host), self.world.now + seconds)

    def stall_between(self, a: str, b: str, seconds: float) -> None:
        """What two hosts say to each other waits; their connections stay open."""
        self._stalled_between[frozenset((a, b))] = self.world.now + seconds

    def part(self, a: str, b: str, seconds: float) -> None:
        """Two hosts cannot reach each other, for ever if `seconds` is 0."""
        self._parted[frozenset((a, b))] = self.world.now + seconds if seconds else math.inf
        self.cut_between(a, b)

    def cut_between(self, a: str, b: str) -> None:
        """All connections between two hosts break."""
        for link in [each for each in self._links if set(each.hosts) == {a, b}]:
            link.cut("the network failed")

    # ---------------------------------------------------------------- how it is

    def factor(self, host: str) -> float:
        """How much longer than usual everything takes there."""
        factor, until = self._slow.get(host, (1.0, 0.0))
        return factor if self.world.now < until else 1.0

    def factor_between(self, hosts: tuple[str, str]) -> float:
        """How much longer than usual a message between them takes."""
        factor, until = self._slow_between.get(frozenset(hosts), (1.0, 0.0))
        return max(factor if self.world.now < until else 1.0, *map(self.factor, hosts))

    def stalled_until(self, host: str) -> float:
        """When the host goes on; now or earlier if it does not stand still."""
        return self._stalled.get(host, 0.0)

    def way_stalled_until(self, hosts: tuple[str, str]) -> float:
        """When what the first of them says arrives at the second again."""
        return max(self.stalled_until(hosts[1]), self._stalled_between.get(frozenset(hosts), 0.0))

    def reachable(self, a: str, b: str) -> bool:
        """Whether a connection between the two can be made."""
        return self._parted.get(frozenset((a, b)), 0.0) <= self.world.now

    @property
    def parted_for_ever(self) -> bool:
        """Whether some host can never reach another again."""
        return math.inf in self._parted.values()

    # ---------------------------------------------------------------- connections

    def link(self, name: str, hosts: tuple[str, str]) -> Link:
        """A new connection."""
        link = Link(self, name, hosts)
        self._links[link] = None
        return link

    def forget(self, link: Link) -> None:
        """It has ended."""
        self._links.pop(link, None)


class Pipe:
    """One direction of a connection, or the way between a worker and its runner: in order."""

    __slots__ = ("_batches", "_chance", "_delays", "_due", "_hosts", "_name", "_network", "receive")

    def __init__(
        self,
        network: Network,
        name: str,
        hosts: tuple[str, str],
        chance: random.Random,
        *,
        delays: tuple[float, ...] | None = None,
    ) -> None:
        self._network = network
        self._name = name
        self._chance = chance
        self._delays = network.delays if delays is None else delays
        self._due = 0.0
        self._batches: deque[list[Message] | Callable[[], None]] = deque()
        self._hosts = hosts  # where it begins, and where it ends
        self.receive: Receive | None = None

    def send(self, messages: list[Message], *, factor: float = 1.0, tick: bool = False) -> None:
        """Let this arrive, some time; `tick`: it comes again and again."""
        network, chance = self._network, self._chance
        world = network.world
        if world.traced:
            for each in messages:
                world.note(repr(each))
        if world.through_codec:
            messages = _through_codec(messages)
        delay = factor * chance.choice(self._delays) * (0.5 + chance.random())
        self._due = max(self._due, world.now + delay)
        self._batches.append(messages)
        network.in_flight += 1
        world.at(self._due, self._name, self._arrive, tick=tick)

    def send_last(self, call: Callable[[], None]) -> None:
        """Let something happen when all that was said has arrived."""
        self._due = max(self._due, self._network.world.now)
        self._batches.append(call)
        self._network.in_flight += 1
        self._network.world.at(self._due, f"{self._name} ends", self._arrive)

    def _arrive(self) -> None:
        network = self._network
        resumed = network.way_stalled_until(self._hosts)
        if resumed > network.world.now:
            network.world.at(resumed, self._name, self._arrive)
            return
        network.in_flight -= 1
        messages = self._batches.popleft()
        if callable(messages):
            messages()
        elif self.receive is not None:
            self.receive(messages)

    @property
    def host(self) -> str:
        """Where it ends."""
        return self._hosts[1]

    def __len__(self) -> int:
        return len(self._batches)


class Link:
    """A connection between two ends, 0 and 1: in order each way, until it breaks."""

    def __init__(self, network: Network, name: str, hosts: tuple[str, str]) -> None:
        self._network = network
        self._name = name
        self.hosts: Final = hosts
        self._chance = network.world.chance(name)
        self._pipes = tuple(
            Pipe(network, f"{name}>{end}", (hosts[1 - end], hosts[end]), self._chance)
            for end in (0, 1)
        )
        self._closed: list[Closed | None] = [None, None]
        self.open = True

    def attach(self, end: int, receive: Receive, closed: Closed) -> None:
        """Say what happens at this end."""
        self._pipes[end].receive, self._closed[end] = receive, closed

    def detach(self, end: int) -> None:
        """Nobody is at this end any more: a process died."""
        self._pipes[end].receive = self._closed[end] = None

    def send(self, end: int, messages: list[Message], *, tick: bool = False) -> None:
        """The one at `end` says this to the other."""
        if self.open:
            factor = self._network.factor_between(self.hosts)
            self._pipes[1 - end].send(messages, factor=factor, tick=tick)

    def refuse(self) -> None:
        """It could not be made: nobody listens at its other end."""
        self.open = False
        self._network.forget(self)

    def close(self, end: int, reason: str) -> None:
        """The one at `end` has said all it has to say, and hears nothing more."""
        self.detach(end)
        self._pipes[1 - end].send_last(partial(self._end, 1 - end, reason))

    def _end(self, end: int, reason: str) -> None:
        if self.open:
            self.open = False
            self._network.forget(self)
            closed = self._closed[end]
            if closed is not None:
                closed(reason)

    def cut(self, reason: str) -> None:
        """The connection breaks; whatever is under way is lost, and both ends notice in time."""
        if not self.open:
            return
        self.open = False
        self._network.forget(self)
        self._network.in_flight += 2
        for end in (0, 1):
            self._pipes[end].receive = None
            delay = self._chance.choice(self._network.delays) * (0.5 + self._chance.random())
            self._network.world.after(delay, f"{self._name} cut", partial(self._tell, end, reason))

    def _tell(self, end: int, reason: str) -> None:
        resumed = self._network.stalled_until(self.hosts[end])
        if resumed > self._network.world.now:
            self._network.world.at(resumed, "noticed late", partial(self._tell, end, reason))
            return
        self._network.in_flight -= 1
        closed = self._closed[end]
        if closed is not None:
            closed(reason)


def _through_codec(messages: list[Message]) -> list[Message]:
    header, payloads = encode(messages)
    return decode(header, [_joined(each) for each in payloads])


def _joined(payload: Payload) -> bytes:
    return b"".join(payload) if isinstance(payload, list) else bytes(payload)
