"""Values as their readers see them: mapped privately, so that changes are the reader's own."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio_dask.store.segments import Segment


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
