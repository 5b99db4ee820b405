"""Whether to compress what goes through a connection. Pure: only rates and shares.

What compresses has to be quicker than the line, and to leave enough of it unused. How fast the line
is shows only when it is full: when writing has to wait for room.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

#: It has to save so much of the time, as what we measure is not that exact.
_TIME_MAX: Final = 0.9
#: Where it is wanted anyway: what does not become smaller than this goes as it is.
_SHARE_MAX: Final = 0.9
#: To write takes longer than this only where there is no room.
_WAITED_S: Final = 0.001
#: So much has to have gone through before anything is known.
_KNOWN_BYTES: Final = 1 << 20
#: What was measured longer ago than this, in time of writing, counts half.
_HALF_S: Final = 0.5
#: When so much has gone without waiting, the line is faster than we have thought.
_FREE_BYTES: Final = 8 << 20


class Offer(NamedTuple):
    """What one way to compress would do to a chunk."""

    method: int
    share: float  # of the bytes, that is left
    pack_rate: float  # bytes before, in a second
    unpack_rate: float


def best_of(offers: Iterable[Offer], line_rate: float, *, forced: bool = False) -> int:
    """The method by which a chunk is there first; 0 if that is as it is.

    >>> lz4 = Offer(1, share=0.5, pack_rate=500e6, unpack_rate=2e9)
    >>> best_of([lz4], 100e6), best_of([lz4], 1e9), best_of([lz4._replace(share=1.0)], 100e6)
    (1, 0, 0)
    """
    best, limit = 0, _SHARE_MAX if forced else _TIME_MAX / line_rate
    for method, share, pack_rate, unpack_rate in offers:
        cost = share if forced else 1 / pack_rate + share / line_rate + 1 / unpack_rate
        if cost < limit:
            best, limit = method, cost
    return best


def may_pay(line_rate: float, pack_rates: Iterable[float]) -> bool:
    """Whether it could be worth the while if a chunk became nothing."""
    return line_rate < _TIME_MAX * max(pack_rates, default=0.0)


class LineRate:
    """How fast a line is, in bytes per second: from what was written, and how long that took."""

    __slots__ = ("_bytes", "_ended", "_free_bytes", "_free_since", "_seconds")

    def __init__(self) -> None:
        self._bytes = self._seconds = 0.0
        #: When the last write ended that had to wait: the line has been full since, or -inf.
        self._ended = -inf
        self._free_bytes = 0
        self._free_since = 0.0

    @property
    def value(self) -> float:
        """The rate; it is infinite until something is known."""
        return self._bytes / self._seconds if self._bytes >= _KNOWN_BYTES else inf

    def wrote(self, nbytes: int, began: float, ended: float) -> None:
        """So many bytes were written between these moments."""
        if ended - began < _WAITED_S:
            self._went_free(nbytes, began, ended)
            return
        self._free_bytes = 0
        elapsed = ended - self._ended
        # Nothing was written for a while: what the system keeps has gone out meanwhile.
        if 0 <= began - self._ended < max(_WAITED_S, 2 * (ended - began)):
            self._note(nbytes, elapsed)
        self._ended = ended

    def _went_free(self, nbytes: int, began: float, ended: float) -> None:
        if not self._free_bytes:
            self._free_since = began
        self._free_bytes += nbytes
        self._ended = -inf
        if self._free_bytes >= _FREE_BYTES:
            rate = 2 * self._free_bytes / max(ended - self._free_since, 1e-9)
            if rate > self.value:
                self._bytes, self._seconds = float(_KNOWN_BYTES), _KNOWN_BYTES / rate
            self._free_bytes = 0

    def _note(self, nbytes: int, seconds: float) -> None:
        self._bytes += nbytes
        self._seconds += seconds
        if self._seconds > _HALF_S and self._bytes > 2 * _KNOWN_BYTES:
            self._bytes /= 2
            self._seconds /= 2
