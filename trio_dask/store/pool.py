"""The memory files of a process that writes values: mapped once, written again and again."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections import deque
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Final

from trio_dask.store.books import Shelf, size_class
from trio_dask.store.loans import Loan
from trio_dask.store.segments import Segment, new_file, seal

if TYPE_CHECKING:
    from trio_dask.messages import Buffer


class _File:
    """A memory file that this process has mapped, and may write."""

    __slots__ = ("fd", "memory")

    def __init__(self, size: int) -> None:
        self.fd = new_file(size)
        try:
            self.memory = mmap.mmap(self.fd, size)
        except BaseException:
            os.close(self.fd)
            raise
        seal(self.fd)

    def close(self) -> None:
        with contextlib.suppress(BufferError):  # it is being written to
            self.memory.close()
        os.close(self.fd)


class Pool:
    """Writes values into files of its own. Any thread may use it."""

    def __init__(self, *, idle_bytes_max: int, count_max: int) -> None:
        self._shelf: Final = Shelf(idle_bytes_max, count_max)
        self._files: Final[dict[int, _File]] = {}
        self._lock: Final = Lock()

    @property
    def idle_bytes(self) -> int:
        """Memory that is kept to be written again."""
        return self._shelf.idle_bytes

    def write(self, pieces: list[Buffer], nbytes: int) -> tuple[int, Segment] | None:
        """Put a value of so many bytes into a file: its number here, and the value.

        None where there may be no more of them. The file belongs to the pool until `back`.
        """
        from trio_dask.store.copying import copy_into  # it takes long to load

        found = self._find(nbytes)
        if found is None:
            return None
        number, file = found
        try:
            with memoryview(file.memory) as view:
                copy_into(view, pieces)
        except (OSError, ValueError, MemoryError):
            self.back(number, clean=False)
            return None
        return number, Segment(file.fd, nbytes, owned=False)

    def take(self, nbytes: int) -> tuple[int, memoryview, Segment] | None:
        """A file for a value of so many bytes: its number here, where to write it, and the value.

        Its descriptor is not the pool's, so that it may live longer.
        """
        found = self._find(nbytes)
        if found is None:
            return None
        number, file = found
        try:
            segment = Segment(os.dup(file.fd), nbytes)
        except OSError:
            self.back(number, clean=True)
            return None
        return number, memoryview(file.memory)[:nbytes], segment

    def _find(self, nbytes: int) -> tuple[int, _File] | None:
        """A file that is large enough, which is in use from now on."""
        with self._lock:
            if self._shelf.is_full():
                return None
            number = self._shelf.take(nbytes)
            if number:
                return number, self._files[number]
        size = size_class(nbytes)
        try:
            made = _File(size)
        except (OSError, ValueError, MemoryError, OverflowError):
            return None
        with self._lock:
            number = self._shelf.add(size)
            self._files[number] = made
        return number, made

    def back(self, number: int, *, clean: bool) -> None:
        """Nobody reads it any more; only with `clean` it may be written again."""
        with self._lock:
            self._drop(self._shelf.back(number, clean=clean))

    def shrink(self) -> None:
        """Keep nothing to be written again."""
        with self._lock:
            self._drop(self._shelf.shrink(0))

    def close(self) -> None:
        """Give everything up. What others have mapped stays theirs."""
        with self._lock:
            self._drop(list(self._files))

    def _drop(self, numbers: list[int]) -> None:
        for number in numbers:
            file = self._files.pop(number, None)
            if file is not None:
                file.close()


class Readers:
    """Who reads the values of a pool, here and in other processes, and which nobody does any more.

    Any thread may end a value, also in the middle of something else: that is only noted, and
    `tidy` has its file written again, or let go.
    """

    __slots__ = ("_done", "_pool")

    def __init__(self, pool: Pool) -> None:
        self._pool: Final = pool
        #: Number, and whether it is certain that nobody reads it.
        self._done: Final[deque[tuple[int, bool]]] = deque()

    def watch(self, number: int, segment: Segment) -> None:
        """A value of the pool has readers from now on; all of them refer to this object."""
        segment.loan = loan = Loan()
        segment.on_gone(partial(self._gone, number, loan))

    def _gone(self, number: int, loan: Loan, shared: bool) -> None:  # noqa: FBT001 - called by `Segment`
        loan.ended(partial(self._unread, number), shared=shared)

    def _unread(self, number: int, shared: bool) -> None:  # noqa: FBT001 - called by `Loan`
        self._done.append((number, not shared))

    def tidy(self) -> list[int]:
        """Give back to the pool what nobody reads any more; which these are."""
        numbers = []
        while self._done:
            number, clean = self._done.popleft()
            self._pool.back(number, clean=clean)
            numbers.append(number)
        return numbers
