"""Waiting for tasks, and getting their values from wherever they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.lowlevel

from trio_dask.client.core import (
    ERROR,
    FINISHED,
    PENDING,
    AllDone,
    Batch,
    ClientCore,
    Groups,
    group,
    whole,
)
from trio_dask.client.outcomes import error_of
from trio_dask.client.shapes import SKIPPED
from trio_dask.errors import CancelledError, SchedulerUnreachable
from trio_dask.messages.exceptions import rebuild
from trio_dask.messages.failure import Failure
from trio_dask.messages.payload import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trio_dask.client.futures import BaseFuture
    from trio_dask.messages.ids import TaskId

_MISSING: Final = object()


class Failed:
    """Wraps the error of a task, where values are expected."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Results:
    """Outcomes of the tasks of one client.

    Args:
        flush: send what the core wants to send.
    """

    def __init__(self, core: ClientCore, flush: Callable[[], None]) -> None:
        self._core = core
        self._flush = flush

    async def done(self, groups: Groups, *, stop_on_failure: bool = False) -> None:
        """Wait until these tasks are done; with `stop_on_failure`, until one has failed.

        Raises:
            SchedulerUnreachable: nothing more will be heard.
        """
        core, waited = self._core, False
        while left := _pending(groups):
            if core.ended:
                raise SchedulerUnreachable(core.ended)
            if stop_on_failure and _any_failed(groups):
                break
            event, waited = anyio.Event(), True
            watch = AllDone(left, event.set, stop_on_failure=stop_on_failure)
            core.watch(watch, groups)
            try:
                self._flush()
                await event.wait()
            finally:
                core.unwatch(watch)
        if not waited:
            await anyio.lowlevel.checkpoint()

    async def one(self, batch: Batch, tid: TaskId, limit_s: float | None) -> Any:
        """The value of one task, or its error raised."""
        if limit_s is None:
            outcome = await self._one(batch, tid)
        else:
            outcome = _MISSING
            with anyio.move_on_after(limit_s):
                outcome = await self._one(batch, tid)
            if outcome is _MISSING:
                msg = f"{batch.key(tid)} is not done after {limit_s:g} s"
                raise TimeoutError(msg)
        if type(outcome) is Failed:
            raise outcome.error
        return outcome

    async def error(self, batch: Batch, tid: TaskId, limit_s: float | None) -> BaseException | None:
        """The error of one task, or None."""
        groups: Groups = {batch: [tid - batch.first]}
        with anyio.move_on_after(limit_s):
            await self.done(groups)
        status = batch.status[tid - batch.first]
        if status == PENDING:
            msg = f"{batch.key(tid)} is not done after {limit_s:g} s"
            raise TimeoutError(msg)
        if status == FINISHED:
            return None
        error = error_of(batch, tid)
        if isinstance(error, CancelledError) and status != ERROR:
            raise error
        return error

    async def _one(self, batch: Batch, tid: TaskId) -> Any:
        row = tid - batch.first
        groups: Groups = {batch: [row]}
        while True:
            await self.done(groups)
            value = batch.values[row]
            if batch.status[row] != FINISHED:
                return Failed(error_of(batch, tid))
            if isinstance(value, bytes):
                return unpack(value)
            fetched = await self._fetch([(tid, str(value))])
            if tid in fetched:
                return fetched[tid]

    async def many(self, futures: Sequence[BaseFuture[Any]], errors: str) -> list[Any]:
        """Values in order; bad ends by `errors`: raised, `SKIPPED`, or given as exceptions."""
        groups = group((future._batch, future._tid) for future in futures)  # noqa: SLF001
        fetched: dict[TaskId, Any] = {}
        while True:
            await self.done(groups, stop_on_failure=errors == "raise")
            if errors == "raise":
                self._raise_first(groups)
            wanted = self._elsewhere(groups, fetched)
            if not wanted:
                break
            fetched.update(await self._fetch(wanted))
        out: list[Any] = []
        for future in futures:
            batch, tid = future._batch, future._tid  # noqa: SLF001
            row = tid - batch.first
            value = batch.values[row]
            if batch.status[row] != FINISHED:
                outcome: Any = Failed(error_of(batch, tid))
            elif isinstance(value, bytes):
                outcome = unpack(value)
            else:
                outcome = fetched[tid]
            out.append(_by(errors, outcome) if type(outcome) is Failed else outcome)
        return out

    def _raise_first(self, groups: Groups) -> None:
        for batch, rows in groups.items():
            status = batch.status
            if status.count(FINISHED) == len(status):
                continue
            for row in rows:
                if status[row] not in (PENDING, FINISHED):
                    raise error_of(batch, batch.first + row)

    def _elsewhere(self, groups: Groups, fetched: dict[TaskId, Any]) -> list[tuple[TaskId, str]]:
        """Finished tasks whose values are still to be fetched, and from where."""
        wanted: dict[TaskId, str] = {}
        for batch, rows in groups.items():
            status, values, first = batch.status, batch.values, batch.first
            for row in rows:
                value = values[row]
                if type(value) is str and status[row] == FINISHED and first + row not in fetched:
                    wanted[first + row] = value
        return list(wanted.items())

    async def _fetch(self, wanted: list[tuple[TaskId, str]]) -> dict[TaskId, Any]:
        """What could be fetched of these values; unpickling errors as `Failed`."""
        core = self._core
        if core.ended:
            raise SchedulerUnreachable(core.ended)
        event = anyio.Event()
        request = core.request(wanted, event.set)
        try:
            self._flush()
            await event.wait()
        finally:
            core.abandon(request)
        out: dict[TaskId, Any] = {
            tid: Failed(rebuild(Failure.from_bytes(blob))) for tid, blob in request.failures.items()
        }
        for tid, payload in request.payloads.items():
            out[tid] = unpack(whole(payload))
        return out


def _pending(groups: Groups) -> int:
    left = 0
    for batch, rows in groups.items():
        if not batch.pending:
            continue
        if len(rows) == len(batch) and not batch.open and rows == list(range(len(rows))):
            left += batch.pending
        else:
            status = batch.status
            left += sum(status[row] == PENDING for row in rows)
    return left


def _any_failed(groups: Groups) -> bool:
    for batch, rows in groups.items():
        status = batch.status
        if status.count(PENDING) + status.count(FINISHED) < len(status) and any(
            status[row] not in (PENDING, FINISHED) for row in rows
        ):
            return True
    return False


def _by(errors: str, failed: Failed) -> Any:
    if errors == "skip":
        return SKIPPED
    if errors == "return":
        return failed.error
    raise failed.error
