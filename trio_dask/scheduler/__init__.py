"""The scheduler: decides what runs where, and never runs or opens any of it.

`core` holds the decisions, `policies` what they weigh, `server` the sockets.
"""

from trio_dask.scheduler.core import CoreSettings, Misuse, SchedulerCore
from trio_dask.scheduler.server import SchedulerHandle, run_scheduler

__all__ = ["CoreSettings", "Misuse", "SchedulerCore", "SchedulerHandle", "run_scheduler"]
