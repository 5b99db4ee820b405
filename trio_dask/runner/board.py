"""The board: what each slot is running, in memory that outlives the runner.

16 bytes a slot: the attempt (0 = idle) and when it began on the monotonic clock. The
runner writes, the worker reads, also after the runner was killed: that is how it knows
which attempts died with it.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Final

_SLOT: Final = struct.Struct("=qd")


class Board:
    """One runner's board, as seen by one of the two processes."""

    __slots__ = ("_attempts", "_memory", "_times", "_view", "fd", "slots")

    def __init__(self, fd: int) -> None:
        """Open the board behind `fd`, which stays the caller's."""
        self.fd = fd
        self.slots = os.fstat(fd).st_size // _SLOT.size
        self._memory = mmap.mmap(fd, self.slots * _SLOT.size)
        self._view = memoryview(self._memory)
        self._attempts, self._times = self._view.cast("q"), self._view.cast("d")

    @classmethod
    def create(cls, slots: int) -> Board:
        """A board of its own memory file; who creates it closes `fd`."""
        fd = os.memfd_create("trio-dask-board")
        os.ftruncate(fd, _SLOT.size * slots)
        return cls(fd)

    def close(self) -> None:
        """No slot uses it any more: give its memory back, and a descriptor with it."""
        self._attempts.release()
        self._times.release()
        self._view.release()
        self._memory.close()

    def begin(self, slot: int, attempt: int, now: float) -> None:
        """The slot starts an attempt."""
        self._times[2 * slot + 1] = now
        self._attempts[2 * slot] = attempt

    def end(self, slot: int) -> None:
        """The slot is idle."""
        self._attempts[2 * slot] = 0

    def idle(self, slot: int) -> bool:
        """Whether the slot runs nothing."""
        return self._attempts[2 * slot] == 0

    def running(self) -> list[tuple[int, float]]:
        """The attempts that run, in order of slots, each with the time at which it began."""
        data = os.pread(self.fd, _SLOT.size * self.slots, 0)
        return [(attempt, began) for attempt, began in _SLOT.iter_unpack(data) if attempt]
