"""Clusters started from Python: servers as child processes, and their end."""

from trio_dask.deploy.local import ClusterHandle, open_local_cluster

__all__ = ["ClusterHandle", "open_local_cluster"]
