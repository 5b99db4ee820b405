"""What became of a task: its value, or the error that its future raises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.client.core import CANCELLED, ERROR, LOST, Batch
from trio_dask.errors import CancelledError, DataLost
from trio_dask.messages.exceptions import rebuild
from trio_dask.messages.failure import Failure

if TYPE_CHECKING:
    from trio_dask.messages.ids import TaskId


def error_of(batch: Batch, tid: TaskId) -> BaseException:
    """The error of a task that did not end well: a new one each time, so none gathers tracebacks."""
    row = tid - batch.first
    status, value = batch.status[row], batch.values[row]
    if status == ERROR and isinstance(value, bytes):
        return rebuild(Failure.from_bytes(value))
    key, why = batch.key(tid), str(value) if isinstance(value, str) else ""
    if status == LOST:
        return DataLost(f"the value of {key} is lost: {why}")
    if status == CANCELLED:
        return CancelledError(f"{key} was cancelled: {why}" if why else f"{key} was cancelled")
    return CancelledError(f"the future {key} was released")
