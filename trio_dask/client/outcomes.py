"""What became of a task: its value, or the error that its future raises."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from trio_dask.client.core import CANCELLED, ERROR, LOST, Batch
from trio_dask.errors import CancelledError, DataLost
from trio_dask.messages.exceptions import rebuild
from trio_dask.messages.failure import Failure
from trio_dask.messages.tracebacks import rebuild_traceback

if TYPE_CHECKING:
    from types import TracebackType

    from trio_dask.messages.ids import TaskId


#: What an error is told about where it comes from.
_TASK: Final = "__trio_dask_task__"


class Failed:
    """Wraps the error of a task, where values are expected."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def take(self) -> BaseException:
        """The error, to be raised where this stays: a frame that refers to what it has raised is
        kept by it, with the future, until the garbage is collected.
        """
        error = self.error
        del self.error
        return error


def error_of(batch: Batch, tid: TaskId, *, full: bool = False) -> BaseException:
    """The error of a task that did not end well: a new one each time, so none gathers tracebacks."""
    error = _error_of(batch, tid, full=full)
    with suppress(Exception):  # a type that takes no attributes goes without
        setattr(error, _TASK, tid)
    return error


def task_of(error: BaseException) -> TaskId:
    """The task whose error this is; 0 if it is of none."""
    tid = getattr(error, _TASK, 0)
    return tid if type(tid) is int else 0


def _error_of(batch: Batch, tid: TaskId, *, full: bool) -> BaseException:
    row = tid - batch.first
    status, value = batch.status[row], batch.values[row]
    if status == ERROR and isinstance(value, bytes):
        return rebuild(Failure.from_bytes(value), full=full)
    key, why = batch.key(tid), str(value) if isinstance(value, str) else ""
    if status == LOST:
        return DataLost(f"the value of {key} is lost: {why}")
    if status == CANCELLED:
        return CancelledError(f"{key} was cancelled: {why}" if why else f"{key} was cancelled")
    return CancelledError(f"the future {key} was released")


def late_task(batch: Batch, tid: TaskId) -> str:
    """The key of the task, this one or one it needs, that has missed its deadline, if that is why."""
    row = tid - batch.first
    value = batch.values[row]
    if batch.status[row] != ERROR or not isinstance(value, bytes):
        return ""
    origin = Failure.from_bytes(value).origin
    return str(origin.get("key", "")) if origin.get("limit") == "deadline" else ""


def traceback_of(batch: Batch, tid: TaskId, *, full: bool = False) -> TracebackType | None:
    """Where a task raised its error, as a traceback; None where none is known."""
    row = tid - batch.first
    status, value = batch.status[row], batch.values[row]
    if status != ERROR or not isinstance(value, bytes):
        return None
    failure = Failure.from_bytes(value)
    return rebuild_traceback(failure.lead + failure.traceback if full else failure.traceback)
