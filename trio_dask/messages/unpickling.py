"""Unpickling in a process where other threads may be importing the same packages.

Modules of a package often need each other. If one thread imports the package, and another one
of its modules, each may come to wait for a module that the other has begun; Python finds that
out, and lets one of them go on with half a module, so that it fails with an `ImportError` about
a "partially initialized module". Who imports a package before its modules is in nobody's way.
"""

from __future__ import annotations

import io
import pickle
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.messages.columns import Buffer

#: The opcode that finds something in a module.
_GLOBAL: Final = b"\x93"
#: More than this is not copied as a whole to be read.
_LARGE: Final = 256 * 1024

_plain_loads = pickle.loads


class _PackagesFirst(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module not in sys.modules:
            end = module.find(".")
            while end > 0:
                __import__(module[:end])
                end = module.find(".", end + 1)
        return super().find_class(module, name)


class _Reader:
    """A file that is read from memory where it is: only what is in it is copied."""

    __slots__ = ("_at", "_view")

    def __init__(self, data: Buffer) -> None:
        self._view = memoryview(data).cast("B")
        self._at = 0

    def _take(self, count: int) -> memoryview:
        at = self._at
        taken = self._view[at : at + count]
        self._at = at + len(taken)
        return taken

    def read(self, count: int = -1) -> bytes:
        return bytes(self._take(len(self._view) if count < 0 else count))

    def readinto(self, target: Any) -> int:
        taken = self._take(len(target))
        memoryview(target)[: len(taken)] = taken
        return len(taken)

    def readline(self) -> bytes:
        line = bytearray()
        while (byte := self._take(1)) and line[-1:] != b"\n":
            line += byte
        return bytes(line)


def loads(data: Buffer) -> Any:
    """What was pickled, by protocol 4 or later. Raises whatever that raises."""
    if type(data) is bytes and (len(data) < _LARGE and _GLOBAL not in data):
        return _plain_loads(data)
    return loads_with(data, ())


def loads_with(data: Buffer, buffers: Iterable[Buffer]) -> Any:
    """The same with buffers that are beside it."""
    # What is `bytes` already is not copied to be a file.
    copied = type(data) is bytes or len(data) < _LARGE
    file: Any = io.BytesIO(data) if copied else _Reader(data)
    return _PackagesFirst(file, buffers=buffers).load()
