"""The scheduler's decisions, pure: events in, messages out."""

from trio_dask.scheduler.core.machine import SchedulerCore
from trio_dask.scheduler.core.misuse import Misuse
from trio_dask.scheduler.core.settings import CoreSettings

__all__ = ["CoreSettings", "Misuse", "SchedulerCore"]
