"""Room for large payloads in memory of this process, for who has no memory that others read."""

from __future__ import annotations

from trio_dask.comm.filling import Filling
from trio_dask.store import new_memory


def private_room(nbytes: int) -> Filling | None:
    """Room for so many bytes; None where that cannot be."""
    try:
        view = new_memory(nbytes)
    except (OSError, ValueError, OverflowError):
        return None
    return Filling(view, view)
