"""Waiting for tasks, and getting their values from wherever they are."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

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
from trio_dask.client.outcomes import Failed, error_of, traceback_of
from trio_dask.client.shapes import SKIPPED
from trio_dask.client.waits import TimeIsUp
from trio_dask.errors import CancelledError, SchedulerUnreachable
from trio_dask.messages.exceptions import rebuild
from trio_dask.messages.failure import Failure
from trio_dask.messages.payload import unpack
from trio_dask.store import Segment, map_privately

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from trio_dask.client.futures import BaseFuture
    from trio_dask.client.metering import Gathering
    from trio_dask.client.waits import Waits
    from trio_dask.messages import Buffer
    from trio_dask.messages.ids import TaskId

#: Stands for a value that has to be waited for, or fetched, or that there will not be.
ELSEWHERE: Final = object()


class Results:
    """Outcomes of the tasks of one client.

    Args:
        flush: send what the core wants to send.
        lock: held by whoever uses the core.
        waits: how this client waits.
        full_tracebacks: whether errors show our own frames.
    """

    def __init__(
        self,
        core: ClientCore,
        flush: Callable[[], None],
        lock: AbstractContextManager[object],
        waits: Waits,
        *,
        full_tracebacks: bool,
    ) -> None:
        self._core = core
        self._flush = flush
        self._lock = lock
        self._waits = waits
        self._full = full_tracebacks
        #: The error of a task that did not end well.
        self.error_of = partial(error_of, full=full_tracebacks)
        #: Where a task raised its error, as a traceback.
        self.traceback = partial(traceback_of, full=full_tracebacks)

    async def done(
        self,
        groups: Groups,
        *,
        stop_on_failure: bool = False,
        deadline: float | None = None,
        meter: Gathering | None = None,
    ) -> None:
        """Wait until these tasks are done; with `stop_on_failure`, until one has failed.

        Raises:
            SchedulerUnreachable: nothing more will be heard.
            TimeIsUp: they were not by `deadline`.
        """
        core, waited = self._core, False
        while True:
            with self._lock:
                left = _pending(groups)
                if not left:
                    break
                if core.ended:
                    raise SchedulerUnreachable(core.ended)
                if stop_on_failure and _any_failed(groups):
                    break
                bell, waited = self._waits.bell(), True
                watch = AllDone(left, bell.ring, stop_on_failure=stop_on_failure)
                core.watch(watch, groups)
            if meter is not None:
                meter.waits(left, watch)
            try:
                self._flush()
                await bell.wait(deadline)
            finally:
                with self._lock:
                    core.unwatch(watch)
        if meter is not None:
            meter.waits(left)
        if not waited:
            await self._waits.checkpoint()

    async def one(self, batch: Batch, tid: TaskId, limit_s: float | None) -> Any:
        """The value of one task, or its error as `Failed`."""
        row, deadline = tid - batch.first, self._waits.deadline(limit_s)
        groups: Groups = {batch: [row]}
        try:
            while True:
                await self.done(groups, deadline=deadline)
                with self._lock:
                    status, value = batch.status[row], batch.values[row]
                if status == PENDING:
                    continue  # it was lost in the meantime, and is made again
                if status != FINISHED:
                    return Failed(self.error_of(batch, tid))
                if isinstance(value, bytes):
                    return _opened(value, batch, tid)
                fetched = await self._fetch([(tid, str(value))], deadline)
                if tid in fetched:
                    return fetched[tid]
        except TimeIsUp:
            msg = f"{batch.key(tid)} is not done after {limit_s:g} s"
            return Failed(TimeoutError(msg))

    def at_hand(self, future: BaseFuture[Any]) -> Any:
        """The value of a task that has ended well, if it has come with the news; else `ELSEWHERE`."""
        with self._lock:
            status, value = _end(future._batch, future._tid)  # noqa: SLF001
        if status != FINISHED or type(value) is not bytes or future.stays:
            return ELSEWHERE
        return _opened(value, future._batch, future._tid)  # noqa: SLF001

    async def error(self, batch: Batch, tid: TaskId, limit_s: float | None) -> BaseException | None:
        """The error of one task, or None."""
        groups: Groups = {batch: [tid - batch.first]}
        try:
            await self.done(groups, deadline=self._waits.deadline(limit_s))
        except TimeIsUp:
            msg = f"{batch.key(tid)} is not done after {limit_s:g} s"
            raise TimeoutError(msg) from None
        status = batch.status[tid - batch.first]
        if status in (PENDING, FINISHED):
            return None
        found = Failed(self.error_of(batch, tid))
        if isinstance(found.error, CancelledError) and status != ERROR:
            raise found.take()
        return found.error

    async def many(
        self, futures: Sequence[BaseFuture[Any]], errors: str, meter: Gathering | None = None
    ) -> list[Any] | Failed:
        """Values in order; bad ends by `errors`.

        With ``"raise"`` the first is all there is, as `Failed`; with ``"skip"`` they are
        `SKIPPED`; with ``"return"`` there are exceptions in the place of values.
        """
        groups = group((future._batch, future._tid) for future in futures)  # noqa: SLF001
        fetched: dict[TaskId, Any] = {}
        kinds: set[type[BaseFuture[Any]]] = set(map(type, futures))
        if any(kind.stays for kind in kinds):
            fetched = {f._tid: f.stand_in() for f in futures if f.stays}  # noqa: SLF001
        ends: list[tuple[int, bytes | str | None]] | None = None
        while ends is None:
            await self.done(groups, stop_on_failure=errors == "raise", meter=meter)
            with self._lock:
                failed = self._first_failed(groups) if errors == "raise" else None
                if failed is not None:
                    return failed
                # Some may have been lost in the meantime, and are made again.
                lost = _pending(groups)
                wanted = [] if lost else self._elsewhere(groups, fetched)
                if not lost and not wanted:
                    ends = [_end(future._batch, future._tid) for future in futures]  # noqa: SLF001
            if wanted and meter is not None:
                await meter.expect(self._keys(wanted))
            if wanted:
                fetched.update(await self._fetch(wanted, meter=meter))
        # Users' code runs without the lock.
        return _values(futures, ends, fetched, errors=errors, error=self.error_of)

    def _first_failed(self, groups: Groups) -> Failed | None:
        for batch, rows in groups.items():
            status = batch.status
            if status.count(FINISHED) == len(status):
                continue
            for row in rows:
                if status[row] not in (PENDING, FINISHED):
                    return Failed(self.error_of(batch, batch.first + row))
        return None

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

    def _keys(self, wanted: list[tuple[TaskId, str]]) -> list[str]:
        with self._lock:
            found = [(self._core.table.find(tid), tid) for tid, _ in wanted]
            return [batch.key(tid) for batch, tid in found if batch is not None]

    async def _fetch(
        self,
        wanted: list[tuple[TaskId, str]],
        deadline: float | None = None,
        meter: Gathering | None = None,
    ) -> dict[TaskId, Any]:
        """What could be fetched of these values; unpickling errors as `Failed`."""
        core, bell = self._core, self._waits.bell()
        with self._lock:
            if core.ended:
                raise SchedulerUnreachable(core.ended)
            request = core.request(wanted, bell.ring)
        if meter is not None:
            meter.fetches(request)
        try:
            self._flush()
            await bell.wait(deadline)
        finally:
            with self._lock:
                core.abandon(request)
        if meter is not None:
            meter.fetches(None)
        out: dict[TaskId, Any] = {
            tid: Failed(rebuild(Failure.from_bytes(blob), full=self._full))
            for tid, blob in request.failures.items()
        }
        for tid, payload in request.payloads.items():
            with self._lock:
                batch = core.table.find(tid)
            here: Any = payload
            if isinstance(here, Segment):
                here = _mapped(here)
            out[tid] = _opened(here if callable(here) else whole(here), batch, tid)
        return out


def _mapped(segment: Segment) -> memoryview:
    """A value in memory that others read, too: what is changed here nobody else sees."""
    try:
        return map_privately(segment)
    except (OSError, ValueError):  # there are too many of them
        return memoryview(bytearray(segment.read(0, segment.nbytes)))


def _opened(payload: Buffer | Callable[[], Any], batch: Batch | None, tid: TaskId) -> Any:
    """The value of a task; an error that unpickling it raises says so.

    Inside a task a value may be here as it is: then it is called for.
    """
    try:
        return payload() if callable(payload) else unpack(payload)
    except Exception as error:
        key = "a task" if batch is None else batch.key(tid)
        error.add_note(
            f"{key} has ended well; its value has arrived, but cannot be unpickled here: "
            "this process needs the packages that the value is made of, as the workers have them"
        )
        raise


def _end(batch: Batch, tid: TaskId) -> tuple[int, bytes | str | None]:
    row = tid - batch.first
    return batch.status[row], batch.values[row]


def _values(
    futures: Sequence[BaseFuture[Any]],
    ends: list[tuple[int, bytes | str | None]],
    fetched: dict[TaskId, Any],
    *,
    errors: str,
    error: Callable[[Batch, TaskId], BaseException],
) -> list[Any] | Failed:
    out: list[Any] = []
    for future, (status, value) in zip(futures, ends, strict=True):
        if status != FINISHED:
            outcome: Any = Failed(error(future._batch, future._tid))  # noqa: SLF001
        elif isinstance(value, bytes):
            outcome = _opened(value, future._batch, future._tid)  # noqa: SLF001
        else:
            outcome = fetched[future._tid]  # noqa: SLF001
        if type(outcome) is Failed:
            if errors == "raise":
                return outcome
            outcome = SKIPPED if errors == "skip" else outcome.error
        out.append(outcome)
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
