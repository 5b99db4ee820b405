"""The memory files of a process that writes values: mapped once, written again and again."""

from __future__ import annotations

import contextlib
import mmap
import os
from threading import Lock
from typing import TYPE_CHECKING, Final

from trio_dask.store.books import Shelf, size_class
from trio_dask.store.filing import write_pieces
from trio_dask.store.segments import Segment, new_file, seal

if TYPE_CHECKING:
    from trio_dask.messages import Buffer


class _File:
    """A memory file that this process has mapped, and may write.

    The first value is written by the kernel: it need not clear pages that are filled at once,
    nor be asked for each of them, which is more than twice as fast as to touch them.
    """

    __slots__ = ("fd", "memory")

    def __init__(self, size: int, pieces: list[Buffer]) -> None:
        self.fd = new_file(size)
        try:
            self.memory = mmap.mmap(self.fd, size)
            write_pieces(self.fd, pieces)
            seal(self.fd)
        except BaseException:
            os.close(self.fd)
            raise

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

        with self._lock:
            if self._shelf.is_full():
                return None
            number = self._shelf.take(nbytes)
        try:
            if not number:
                size = size_class(nbytes)
                file = _File(size, pieces)
                with self._lock:
                    number = self._shelf.add(size)
                    self._files[number] = file
            else:
                file = self._files[number]
                with memoryview(file.memory) as view:
                    copy_into(view, pieces)
        except (OSError, ValueError, MemoryError):
            if number:
                self.back(number, clean=False)
            return None
        return number, Segment(file.fd, nbytes, owned=False)

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
