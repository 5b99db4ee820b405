"""Clusters started from Python: servers as child processes, and their end.

The names below are imported when they are first used: a worker process needs but one.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from trio_dask.deploy.cluster import AsyncLocalCluster, LocalCluster
    from trio_dask.deploy.handle import ClusterHandle
    from trio_dask.deploy.local import open_local_cluster
    from trio_dask.deploy.reporting import performance_report
    from trio_dask.deploy.threads import thread_host

_HOMES: Final[dict[str, str]] = {
    "AsyncLocalCluster": "cluster",
    "ClusterHandle": "handle",
    "LocalCluster": "cluster",
    "open_local_cluster": "local",
    "performance_report": "reporting",
    "thread_host": "threads",
}

__all__ = [
    "AsyncLocalCluster",
    "ClusterHandle",
    "LocalCluster",
    "open_local_cluster",
    "performance_report",
    "thread_host",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"trio_dask.deploy.{home}"), name)
    globals()[name] = value
    return value
