"""Time and chance of a simulated cluster: a heap of events, one seed.

Everything random comes from generators made from the seed, every event has a number, and
nothing looks at a clock: a seed is a history, and its hash tells whether two are the same.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

#: One seed in so many sends every message through the codec.
CODEC_EVERY: Final = 20

Call = Callable[[], None]


class World:
    """What happens, in order."""

    def __init__(self, seed: int, *, traced: bool = True) -> None:
        self.seed = seed
        self.now = 0.0
        self.steps = 0
        self.ticks = 0  # of the steps, those in which a clock has ticked
        self.through_codec = seed % CODEC_EVERY == 0
        #: Events to come that are not just the ticking of clocks.
        self.due = 0
        self.traced = traced
        self._heap: list[tuple[float, int, str, Call, bool]] = []
        self._events = 0
        self._trace = hashlib.blake2b(digest_size=16)

    def chance(self, name: str) -> random.Random:
        """A generator of its own for whoever is called so: others do not disturb it."""
        return random.Random(f"{self.seed} {name}")

    def after(self, seconds: float, what: str, call: Call) -> None:
        """Let something happen `seconds` from now; `what` goes into the trace."""
        self.at(self.now + seconds, what, call)

    def at(self, when: float, what: str, call: Call, *, tick: bool = False) -> None:
        """Let something happen at a time; of what happens at one time, first comes first."""
        self._events += 1
        self.due += not tick
        heappush(self._heap, (when, self._events, what, call, tick))

    def every(self, seconds: float, what: str, call: Callable[[], bool]) -> None:
        """Let something happen again and again, until it returns False."""

        def tick() -> None:
            if call():
                self.at(self.now + seconds, what, tick, tick=True)

        self.at(self.now + seconds, what, tick, tick=True)

    def step(self) -> None:
        """Let the next thing happen; there is one."""
        self.now, number, what, call, tick = heappop(self._heap)
        self.due -= not tick
        self.steps += 1
        self.ticks += tick
        if self.traced:
            self.note(f"{self.now!r} {number} {what}")
        call()

    @property
    def over(self) -> bool:
        """Whether nothing more will ever happen."""
        return not self._heap

    def note(self, text: str) -> None:
        """Make something part of the trace."""
        self._trace.update(text.encode(errors="surrogatepass"))

    @property
    def trace_hash(self) -> str:
        """Equal for equal histories."""
        return self._trace.hexdigest()
