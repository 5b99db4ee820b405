"""The worker: hosts runners, holds values, and answers for both.

`core` decides; the rest performs. Nothing in this process ever unpickles anything.
"""

from trio_dask.worker.hosting import HostedRunner, ProcessHost, RunnerHost
from trio_dask.worker.nanny import RunnerFailed
from trio_dask.worker.observing import WorkersView
from trio_dask.worker.orphans import adopting_orphans
from trio_dask.worker.replaying import ReplayedWorkers
from trio_dask.worker.server import WorkerHandle, run_worker

__all__ = [
    "HostedRunner",
    "ProcessHost",
    "ReplayedWorkers",
    "RunnerFailed",
    "RunnerHost",
    "WorkerHandle",
    "WorkersView",
    "adopting_orphans",
    "run_worker",
]
