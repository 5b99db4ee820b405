"""Memory for large values that come from other hosts: they are read to where others here read them.

From then on such a value is as one that a process of this host has made: runners are given its
descriptor, and it is sent and written to files by the kernel.
"""

from __future__ import annotations

from typing import Final

from trio_dask.comm import Filling, private_room
from trio_dask.store import Pool, Readers

#: Memory is not kept longer than so many ticks after the last value.
_WARM_TICKS: Final = 30


class Rooms:
    """The memory files that one worker writes.

    Args:
        idle_bytes_max: so much is kept to be written again.
        count_max: so many values may be there at a time; others are in memory of this process.
    """

    def __init__(self, idle_bytes_max: int = 0, count_max: int = 0) -> None:
        self._pool: Final = Pool(idle_bytes_max=idle_bytes_max, count_max=count_max)
        #: Bytes of those that somebody reads, by their number.
        self._alive: Final[dict[int, int]] = {}
        self._readers: Final = Readers(self._pool)
        self._ticks = 0  # since the last one came

    def make(self, nbytes: int) -> Filling | None:
        """Room for a value of so many bytes."""
        self._ticks = 0
        self.tidy()
        taken = self._pool.take(nbytes)
        if taken is None:
            return private_room(nbytes)
        number, view, segment = taken
        self._readers.watch(number, segment)
        self._alive[number] = nbytes
        return Filling(view, segment)

    @property
    def nbytes(self) -> int:
        """Memory of what came, and of what is kept for more."""
        self.tidy()
        return sum(self._alive.values()) + self._pool.idle_bytes

    def tidy(self) -> None:
        """Have memory that nobody reads any more written again, or let go."""
        for number in self._readers.tidy():
            del self._alive[number]

    def rest(self) -> None:
        """Keep no memory for values to come."""
        self.tidy()
        self._pool.shrink()

    def tick(self) -> None:
        """A second has passed."""
        self._ticks += 1
        if self._ticks > _WARM_TICKS:
            self.rest()

    def close(self) -> None:
        """Give everything up; what is still read somewhere is not ours."""
        self._pool.close()
