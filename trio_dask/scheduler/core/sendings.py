"""When a worker was given its last batches of work."""

from __future__ import annotations

from array import array
from typing import Final

#: So many are remembered.
KEPT: Final = 256


class Sendings:
    """The first attempts of the last batches, and when they were sent.

    In machine words: objects that stay, one from each batch, would each keep the page that it is
    in from being given back, with all around it that has gone.

    >>> sendings = Sendings()
    >>> sendings.add(1, 10.0)
    >>> sendings.add(5, 12.0)
    >>> sendings.when(4), sendings.when(5), sendings.when(0)
    (10.0, 12.0, None)
    """

    __slots__ = ("_at", "_firsts", "_times")

    def __init__(self) -> None:
        self._firsts = array("q")
        self._times = array("d")
        self._at = 0  # of the oldest one, which is replaced next

    def add(self, first: int, now: float) -> None:
        """A batch whose attempts begin with this one is sent now."""
        if len(self._firsts) < KEPT:
            self._firsts.append(first)
            self._times.append(now)
            return
        self._firsts[self._at], self._times[self._at] = first, now
        self._at = (self._at + 1) % KEPT

    def when(self, attempt: int) -> float | None:
        """When this attempt was sent; None if that was too many batches ago."""
        firsts = self._firsts
        found = max((first for first in firsts if first <= attempt), default=None)
        return None if found is None else self._times[firsts.index(found)]
