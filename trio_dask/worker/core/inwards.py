"""How much of other workers' values is on its way to a process: all its workers, from all their peers.

A peer sends no more than it may have under way to one of us; without a bound of our own a hundred
peers could send a hundred times that at once. So large values are asked for in turn, first come,
first served, whichever worker of the process wants them. Small ones never wait here.
"""

from __future__ import annotations


class Inwards:
    """What is on its way, and what waits for room; `who` is the address of a worker of the process.

    >>> inwards = Inwards(bytes_max=10)
    >>> inwards.enters("a", 1, 8), inwards.enters("b", 2, 20), inwards.enters("a", 3, 1)
    (True, False, False)
    >>> inwards.over("a", 1)
    >>> inwards.next_turn("b")  # however large it is, as it is alone
    2
    """

    __slots__ = ("_taken", "_waiting", "bytes_max", "due", "nbytes", "waking")

    def __init__(self, bytes_max: int = 0) -> None:
        """`bytes_max`: so much at a time, or one value that is larger; 0: no limit."""
        self.bytes_max = bytes_max
        #: Bytes that have been asked for and have not come.
        self.nbytes = 0
        self._taken: dict[tuple[str, int], int] = {}
        self._waiting: dict[tuple[str, int], int] = {}
        #: Workers who have something in line that is to be asked for now: they are to be flushed.
        self.due: dict[str, None] = {}
        self.waking = False  # whoever does that is at it

    @property
    def taken(self) -> dict[tuple[str, int], int]:
        """Bytes of each value that has been asked for, by who wants it."""
        return dict(self._taken)

    @property
    def waiting(self) -> dict[tuple[str, int], int]:
        """The same of those in line, the first one first."""
        return dict(self._waiting)

    def enters(self, who: str, tid: int, nbytes: int) -> bool:
        """Whether a value may be asked for now; else `next_turn` gives it, some time."""
        if self._waiting or not self._fits(nbytes):
            self._waiting[who, tid] = nbytes
            return False
        self._take(who, tid, nbytes)
        return True

    def next_turn(self, who: str) -> int | None:
        """The first in line, if there is room for it and it is for `who`."""
        if not self._waiting:
            return None
        (whose, tid), nbytes = next(iter(self._waiting.items()))
        if not self._fits(nbytes):
            return None
        if whose != who:
            self.due[whose] = None
            return None
        del self._waiting[who, tid]
        self._take(who, tid, nbytes)
        return tid

    def over(self, who: str, tid: int) -> None:
        """The value has come, or will not."""
        self._waiting.pop((who, tid), None)
        self.nbytes -= self._taken.pop((who, tid), 0)

    def leave(self, who: str) -> None:
        """The worker ends."""
        for whose, tid in [*self._waiting, *self._taken]:
            if whose == who:
                self.over(who, tid)
        self.due.pop(who, None)
        self.next_turn("")

    def next_due(self) -> str | None:
        """A worker that is to be flushed now."""
        if not self.due:
            return None
        who = next(iter(self.due))
        del self.due[who]
        return who

    def _fits(self, nbytes: int) -> bool:
        return not self.bytes_max or not self._taken or self.nbytes + nbytes <= self.bytes_max

    def _take(self, who: str, tid: int, nbytes: int) -> None:
        self._taken[who, tid] = nbytes
        self.nbytes += nbytes
