"""Giving parts of a file back to the disk, while others of it are read."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TypeAlias

#: Of `fallocate`: leave the size, and make a hole.
_PUNCH_HOLE = 0x01 | 0x02

_Call: TypeAlias = Callable[[int, int, int, int], int]


def punch(fd: int, at: int, nbytes: int) -> bool:
    """Make a hole in a file; False where that cannot be, and then never can."""
    call = _fallocate()
    return call is not None and not call(fd, _PUNCH_HOLE, at, nbytes)


@functools.cache
def _fallocate() -> _Call | None:
    if sys.platform != "linux":  # pragma: no cover - others have other words for it
        return None
    import ctypes  # it takes long to load

    library = ctypes.CDLL(None)
    call = getattr(library, "fallocate64", None) or getattr(library, "fallocate", None)
    if call is None:  # pragma: no cover - every C library has one of them
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    found: _Call = call
    return found
