"""Locks that dask chooses for what writes: one in the whole cluster, instead of one in each process.

For dask.distributed's client dask takes a lock of that; for all others one that tasks of one
process share. Two processes would write into one file, or one chunk of it, at the same time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dask.utils import SerializableLock

from trio_dask.client.coordination import Lock
from trio_dask.runner import current

if TYPE_CHECKING:
    from collections.abc import Callable

#: What dask calls to write under a lock, by name, and where that is defined.
_WRITERS: Final = {"load_store_chunk": "dask.array.core", "_pd_to_hdf": "dask.dataframe.io.hdf"}


def writes(fn: Callable[..., Any]) -> bool:
    """Whether a function of a graph writes under the lock that it is given."""
    where = _WRITERS.get(getattr(fn, "__name__", ""))
    return where is not None and getattr(fn, "__module__", "") == where


class WritersLock(Lock):
    """A lock of the cluster for what is about to be written.

    A task that waits for it keeps its slot. Else the next one would begin meanwhile, and wait
    as well: all parts of what is written would gather in memory, each with a thread.
    """

    def acquire(self, blocking: bool = True, timeout: float | str | None = None) -> bool:  # noqa: FBT001, FBT002 - as in Dask
        """Wait until it is ours; whether it is, within `timeout` seconds if that is given."""
        nest = current()
        if nest is None:
            return super().acquire(blocking, timeout)
        nest.keeps_slot = True
        try:
            return super().acquire(blocking, timeout)
        finally:
            nest.keeps_slot = False


def of_cluster(argument: Any) -> Any:
    """The lock of the cluster in the place of one of a process; anything else as it is."""
    if type(argument) is not SerializableLock:
        return argument
    return WritersLock(f"dask-{argument.token}")
