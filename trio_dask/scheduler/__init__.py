"""The scheduler: decides what runs where, and never runs or opens any of it.

`core` holds the decisions, `policies` what they weigh, `coordination` locks, queues and the like,
`server` the sockets. `recording` keeps
an event log of what the core is told, `replaying` tells it again.
"""

from trio_dask.scheduler.core import CoreSettings, Misuse, SchedulerCore
from trio_dask.scheduler.importing import find_placement
from trio_dask.scheduler.observing import SchedulerView
from trio_dask.scheduler.plugin import SchedulerPlugin
from trio_dask.scheduler.policies.proposals import Placement
from trio_dask.scheduler.policies.views import TaskView, WorkerView
from trio_dask.scheduler.replaying import ReplayedScheduler
from trio_dask.scheduler.server import SchedulerHandle, run_scheduler

__all__ = [
    "CoreSettings",
    "Misuse",
    "Placement",
    "ReplayedScheduler",
    "SchedulerCore",
    "SchedulerHandle",
    "SchedulerPlugin",
    "SchedulerView",
    "TaskView",
    "WorkerView",
    "find_placement",
    "run_scheduler",
]
