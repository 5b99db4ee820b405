"""Locks that dask chooses for what writes: one in the whole cluster, instead of one in each process.

For dask.distributed's client dask takes a lock of that; for all others one that tasks of one
process share. Two processes would write into one file, or one chunk of it, at the same time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dask.utils import SerializableLock

if TYPE_CHECKING:
    from collections.abc import Callable

#: What dask calls to write under a lock, by name, and where that is defined.
_WRITERS: Final = {"load_store_chunk": "dask.array.core", "_pd_to_hdf": "dask.dataframe.io.hdf"}


def writes(fn: Callable[..., Any]) -> bool:
    """Whether a function of a graph writes under the lock that it is given."""
    where = _WRITERS.get(getattr(fn, "__name__", ""))
    return where is not None and getattr(fn, "__module__", "") == where


def of_cluster(argument: Any) -> Any:
    """The lock of the cluster in the place of one of a process; anything else as it is."""
    if type(argument) is not SerializableLock:
        return argument
    from trio_dask.client.coordination import Lock  # it knows the clients, which know this

    return Lock(f"dask-{argument.token}")
