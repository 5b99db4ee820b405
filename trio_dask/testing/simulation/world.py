"""Time, chance and the network of a simulated cluster: a heap of events, one seed.

Everything random comes from one generator, every event has a number, and nothing
looks at a clock: a seed is a history, and its hash tells whether two are the same.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from trio_dask.messages import decode, encode

if TYPE_CHECKING:
    from trio_dask.messages import Message, Payload

#: One seed in so many sends every message through the codec.
CODEC_EVERY: Final = 20


class World:
    """What happens, in order."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.now = 0.0
        self.steps = 0
        self.through_codec = seed % CODEC_EVERY == 0
        self._heap: list[tuple[float, int, str, Callable[[], None]]] = []
        self._events = 0
        self._trace = hashlib.blake2b(digest_size=16)

    def after(self, seconds: float, what: str, call: Callable[[], None]) -> None:
        """Let something happen `seconds` from now; `what` goes into the trace."""
        self.at(self.now + seconds, what, call)

    def at(self, when: float, what: str, call: Callable[[], None]) -> None:
        """Let something happen at a time; of what happens at one time, first comes first."""
        self._events += 1
        heappush(self._heap, (when, self._events, what, call))

    def step(self) -> bool:
        """Let the next thing happen; False when nothing is left."""
        if not self._heap:
            return False
        self.now, number, what, call = heappop(self._heap)
        self.steps += 1
        self.note(f"{self.now!r} {number} {what}")
        call()
        return True

    def note(self, text: str) -> None:
        """Make something part of the trace."""
        self._trace.update(text.encode())

    @property
    def trace_hash(self) -> str:
        """Equal for equal histories."""
        return self._trace.hexdigest()

    def delay(self) -> float:
        """How long a message is under way: mostly short, now and then long."""
        chance = self.random
        return chance.choice((0.0001, 0.0003, 0.001, 0.02)) * (0.5 + chance.random())


Receive = Callable[["list[Message]"], None]
Closed = Callable[[str], None]


class Link:
    """A connection between two ends, 0 and 1: in order each way, until it breaks."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name
        self._receive: list[Receive | None] = [None, None]
        self._closed: list[Closed | None] = [None, None]
        self._due = [0.0, 0.0]
        self.open = True

    def attach(self, end: int, receive: Receive, closed: Closed) -> None:
        """Say what happens at this end."""
        self._receive[end], self._closed[end] = receive, closed

    def detach(self, end: int) -> None:
        """Nobody is at this end any more: a process died."""
        self._receive[end] = self._closed[end] = None

    def send(self, end: int, messages: list[Message]) -> None:
        """The one at `end` says this to the other."""
        if not self.open:
            return
        world, other = self._world, 1 - end
        for each in messages:
            world.note(repr(each))
        if world.through_codec:
            messages = _through_codec(messages)
        self._due[other] = max(self._due[other], world.now + world.delay())
        world.at(self._due[other], f"{self._name}>{other}", lambda: self._arrive(other, messages))

    def _arrive(self, end: int, messages: list[Message]) -> None:
        receive = self._receive[end]
        if self.open and receive is not None:
            receive(messages)

    def cut(self, reason: str) -> None:
        """The connection breaks; whatever is under way is lost."""
        if not self.open:
            return
        self.open = False
        for end in (0, 1):
            tell = partial(self._tell, end, reason)
            self._world.after(self._world.delay(), f"{self._name} cut", tell)

    def _tell(self, end: int, reason: str) -> None:
        closed = self._closed[end]
        if closed is not None:
            closed(reason)


def _through_codec(messages: list[Message]) -> list[Message]:
    header, payloads = encode(messages)
    return decode(header, [_joined(each) for each in payloads])


def _joined(payload: Payload) -> bytes:
    return b"".join(payload) if isinstance(payload, list) else bytes(payload)
