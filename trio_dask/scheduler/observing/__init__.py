"""What may be shown of a scheduler: read-only, in plain data, and free while nobody looks."""

from trio_dask.scheduler.observing.view import SchedulerView

__all__ = ["SchedulerView"]
