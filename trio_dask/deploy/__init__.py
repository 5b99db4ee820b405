"""Clusters started from Python: servers as child processes, and their end."""

from trio_dask.deploy.local import ClusterHandle, open_local_cluster
from trio_dask.deploy.threads import thread_host

__all__ = ["ClusterHandle", "open_local_cluster", "thread_host"]
