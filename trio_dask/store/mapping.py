"""Values as their readers see them: mapped privately, so that changes are the reader's own."""

from __future__ import annotations

import contextlib
import mmap
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from trio_dask.store.segments import Segment


#: Memory is found as it is written, however much was asked for.
_UNRESERVED: Final = getattr(mmap, "MAP_NORESERVE", 0)


class _Mapping(mmap.mmap):
    """Keeps the segment as long as anything refers to the mapping."""

    segment: Segment


def map_privately(segment: Segment) -> memoryview:
    """Its bytes, without copying them. What is changed there is copied, and seen by nobody else.

    The segment lives on until nothing refers to this memory any more.

    Raises:
        OSError: it cannot be mapped.
    """
    if not segment.nbytes:
        return memoryview(bytearray())
    mapping = _Mapping(segment.fd, segment.nbytes, access=mmap.ACCESS_COPY)
    mapping.segment = segment
    return memoryview(mapping)


def new_memory(nbytes: int) -> memoryview:
    """Memory that costs nothing before it is written, and as little as possible then.

    Raises:
        OSError: there cannot be so much.
    """
    if not hasattr(mmap, "MAP_PRIVATE"):  # pragma: no cover - Windows
        return memoryview(mmap.mmap(-1, nbytes))
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _UNRESERVED
    memory = mmap.mmap(-1, nbytes, flags=flags)
    if hasattr(mmap, "MADV_HUGEPAGE"):  # to find and clear one page at a time takes longer
        with contextlib.suppress(OSError):  # not every kernel has them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)
