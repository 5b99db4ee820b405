"""Clusters started from Python: servers as child processes, and their end.

The names below are imported when they are first used: a worker process needs but one.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from trio_dask.deploy.cluster import AsyncLocalCluster, LocalCluster
    from trio_dask.deploy.handle import ClusterHandle
    from trio_dask.deploy.job_cluster import (
        AsyncJobQueueCluster,
        AsyncLSFCluster,
        AsyncPBSCluster,
        AsyncSGECluster,
        AsyncSLURMCluster,
        JobQueueCluster,
        LSFCluster,
        PBSCluster,
        SGECluster,
        SLURMCluster,
    )
    from trio_dask.deploy.job_plan import job_script
    from trio_dask.deploy.local import open_local_cluster
    from trio_dask.deploy.reporting import TaskStream, get_task_stream, performance_report
    from trio_dask.deploy.ssh import open_ssh_plan
    from trio_dask.deploy.ssh_cluster import AsyncSSHCluster, SSHCluster
    from trio_dask.deploy.ssh_plan import SSHPlan, plan_ssh
    from trio_dask.deploy.threads import thread_host

_HOMES: Final[dict[str, str]] = {
    "AsyncLocalCluster": "cluster",
    "AsyncSSHCluster": "ssh_cluster",
    "ClusterHandle": "handle",
    "LocalCluster": "cluster",
    "SSHCluster": "ssh_cluster",
    "SSHPlan": "ssh_plan",
    "TaskStream": "reporting",
    **dict.fromkeys(
        (
            "AsyncJobQueueCluster",
            "AsyncLSFCluster",
            "AsyncPBSCluster",
            "AsyncSGECluster",
            "AsyncSLURMCluster",
            "JobQueueCluster",
            "LSFCluster",
            "PBSCluster",
            "SGECluster",
            "SLURMCluster",
        ),
        "job_cluster",
    ),
    "get_task_stream": "reporting",
    "job_script": "job_plan",
    "open_local_cluster": "local",
    "open_ssh_plan": "ssh",
    "performance_report": "reporting",
    "plan_ssh": "ssh_plan",
    "thread_host": "threads",
}

__all__ = [
    "AsyncJobQueueCluster",
    "AsyncLSFCluster",
    "AsyncLocalCluster",
    "AsyncPBSCluster",
    "AsyncSGECluster",
    "AsyncSLURMCluster",
    "AsyncSSHCluster",
    "ClusterHandle",
    "JobQueueCluster",
    "LSFCluster",
    "LocalCluster",
    "PBSCluster",
    "SGECluster",
    "SLURMCluster",
    "SSHCluster",
    "SSHPlan",
    "TaskStream",
    "get_task_stream",
    "job_script",
    "open_local_cluster",
    "open_ssh_plan",
    "performance_report",
    "plan_ssh",
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
