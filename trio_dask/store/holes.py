"""Which parts of a file nobody reads any more, and can be given back to the disk. Pure: only numbers."""

from __future__ import annotations

from bisect import bisect_right
from threading import Lock
from typing import Final

#: A disk gives and takes so much at a time, or a part of it.
BLOCK: Final = 4096
#: It is worth the while when so much has come together, or this share of the file.
_WORTH_BYTES: Final = 1 << 20
_WORTH_SHARE: Final = 8


class Holes:
    """The ranges of one file that are dead. A block is given back when all of it is.

    >>> holes = Holes(8 * BLOCK)
    >>> holes.add(0, 100), holes.add(100, 2 * BLOCK)
    ([], [(0, 8192)])
    """

    __slots__ = ("_ends", "_fresh", "_fresh_bytes", "_nbytes", "_starts", "_worth", "busy")

    def __init__(self, nbytes: int) -> None:
        self._nbytes = nbytes
        self.busy = Lock()  # held by whoever uses it
        self._worth = min(_WORTH_BYTES, nbytes // _WORTH_SHARE)
        # Apart from each other, in order.
        self._starts: list[int] = []
        self._ends: list[int] = []
        #: Not yet looked at.
        self._fresh: list[tuple[int, int]] = []
        self._fresh_bytes = 0

    def add(self, at: int, nbytes: int) -> list[tuple[int, int]]:
        """One more is dead; the ranges, from and to, that are to be given back now."""
        if not nbytes:
            return []
        self._merge(at, at + nbytes)
        self._fresh.append((at, at + nbytes))
        self._fresh_bytes += nbytes
        if self._fresh_bytes < self._worth:
            return []
        fresh, self._fresh, self._fresh_bytes = sorted(self._fresh), [], 0
        out: list[tuple[int, int]] = []
        for each in fresh:
            start, end = self._blocks(*each)
            if start >= end:
                continue
            if out and start <= out[-1][1]:
                out[-1] = out[-1][0], max(end, out[-1][1])
            else:
                out.append((start, end))
        return out

    def _merge(self, start: int, end: int) -> None:
        """Note it, as one with what it touches."""
        starts, ends = self._starts, self._ends
        index = bisect_right(starts, start)
        if index and ends[index - 1] >= start:
            index -= 1
            start = starts.pop(index)
            end = max(end, ends.pop(index))
        while index < len(starts) and starts[index] <= end:
            starts.pop(index)
            end = max(end, ends.pop(index))
        starts.insert(index, start)
        ends.insert(index, end)

    def _blocks(self, start: int, end: int) -> tuple[int, int]:
        """The blocks that this one has a part in, and that are dead as a whole."""
        index = bisect_right(self._starts, start) - 1
        first, last = self._starts[index], self._ends[index]
        if last >= self._nbytes:
            last += BLOCK  # behind its end there is nothing
        return max(_up(first), _down(start)), min(_down(last), _up(end))


def _up(at: int) -> int:
    return -(-at // BLOCK) * BLOCK


def _down(at: int) -> int:
    return at // BLOCK * BLOCK
