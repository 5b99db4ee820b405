"""Which of a process's memory files may be written again. Pure: only numbers and sizes.

To write where others have written is four times as fast as to write into new memory, as no
page has to be found and cleared. But it may be done only when nobody reads there any more.
"""

from __future__ import annotations

from typing import Final

#: A file is used for a value that is at least this part of it.
_FILLED_MIN: Final = 0.5
#: Sizes are multiples of this part of the next power of two: so few differ.
_STEPS: Final = 8
_SIZE_MIN: Final = 1 << 20


def size_class(nbytes: int) -> int:
    """How large a new file for so many bytes is.

    >>> size_class(1), size_class((1 << 20) + 1), size_class(5 << 20)
    (1048576, 1310720, 5242880)
    """
    if nbytes <= _SIZE_MIN:
        return _SIZE_MIN
    step = (1 << (nbytes - 1).bit_length()) // _STEPS
    return -(-nbytes // step) * step


class Shelf:
    """The files of one process by number: those in use, and those that may be written again.

    Args:
        idle_bytes_max: so much is kept to be written again; what came back first is dropped first.
        count_max: so many values may be in use at a time, as each costs descriptors.
    """

    __slots__ = (
        "_count_max",
        "_idle",
        "_idle_bytes_max",
        "_last",
        "_out",
        "idle_bytes",
        "out_bytes",
    )

    def __init__(self, idle_bytes_max: int, count_max: int) -> None:
        self._idle_bytes_max = idle_bytes_max
        self._count_max = count_max
        self._idle: dict[int, int] = {}  # number → size, in the order in which they came back
        self._out: dict[int, int] = {}
        self._last = 0
        self.idle_bytes = self.out_bytes = 0

    def is_full(self) -> bool:
        """Whether no more values may be written."""
        return len(self._out) >= self._count_max

    def take(self, nbytes: int) -> int:
        """The smallest idle file that so many bytes fill well enough; 0 if there is none."""
        fits = [
            (size, number)
            for number, size in self._idle.items()
            if nbytes <= size and nbytes >= size * _FILLED_MIN
        ]
        if not fits:
            return 0
        size, number = min(fits)
        del self._idle[number]
        self.idle_bytes -= size
        self._use(number, size)
        return number

    def add(self, size: int) -> int:
        """A new file, which is in use at once; its number."""
        self._last += 1
        self._use(self._last, size)
        return self._last

    def _use(self, number: int, size: int) -> None:
        self._out[number] = size
        self.out_bytes += size

    def back(self, number: int, *, clean: bool) -> list[int]:
        """Nobody reads it any more, or nobody may write it again; which are to be dropped."""
        size = self._out.pop(number, None)
        if size is None:
            return []
        self.out_bytes -= size
        if not clean or size > self._idle_bytes_max:
            return [number]
        self._idle[number] = size
        self.idle_bytes += size
        return self.shrink(self._idle_bytes_max)

    def shrink(self, idle_bytes: int) -> list[int]:
        """Keep no more than that to be written again; which are to be dropped."""
        dropped = []
        while self.idle_bytes > idle_bytes:
            number = next(iter(self._idle))
            self.idle_bytes -= self._idle.pop(number)
            dropped.append(number)
        return dropped
