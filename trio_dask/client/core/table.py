"""All tasks of a client, found by id, and what the scheduler says of them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from trio_dask.client.core.batch import (
    CANCELLED,
    ERROR,
    FINISHED,
    LOST,
    PENDING,
    RELEASED,
    SHARED_ROWS,
    Batch,
    Drops,
    Function,
)
from trio_dask.errors import RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from trio_dask.messages import tasks as words

_first: Final = attrgetter("first")


class Table:
    """The batches, in the order of their ids.

    Args:
        settled: some of these tasks have come to an end for the first time.
        idle: nothing uses the function any more.
        gone: nobody holds a task of the batch any more.
    """

    def __init__(
        self,
        owner: object,
        *,
        settled: Callable[[Batch, list[int]], None],
        idle: Callable[[Function], None],
        gone: Callable[[Batch], None] | None = None,
    ) -> None:
        self._owner = owner
        self._settled = settled
        self._idle = idle
        self._gone = gone
        self.drops = Drops()
        self._batches: list[Batch] = []
        self._shared: Batch | None = None
        self._next = 0

    def begin(self, first: int) -> None:
        """The scheduler has given the client its ids, from this one on."""
        self._next = first

    def __len__(self) -> int:
        return sum(batch.live for batch in self._batches)

    @property
    def next_tid(self) -> int:
        """The id of the next task."""
        return self._next

    @property
    def batches(self) -> Sequence[Batch]:
        """All that have tasks nobody has released, and the one that still grows."""
        return self._batches

    def add(
        self, count: int, name: str, keys: list[str] | None, function: Function | None
    ) -> Batch:
        """A batch with `count` more tasks, with the next ids; small additions share one."""
        shared = self._shared
        if count < SHARED_ROWS:
            if shared is None or self._next != shared.first + len(shared):
                self._close_shared()
                shared = self._shared = self._new_batch(is_open=True)
            batch = shared
        else:
            batch = self._new_batch(is_open=False)
        batch.add(count, name, keys)
        if function is not None:
            batch.use(function)
        self._next += count
        if batch.open and len(batch) >= SHARED_ROWS:
            self._close_shared()
        return batch

    def add_each(self, names: list[str], keys: list[str], functions: Iterable[Function]) -> Batch:
        """A batch of tasks with a name and a function each."""
        batch = self._new_batch(is_open=False)
        batch.add(len(names), "", keys)
        batch.names = names
        for function in functions:
            batch.use(function)
        self._next += len(names)
        return batch

    def _new_batch(self, *, is_open: bool) -> Batch:
        batch = Batch(self._owner, self.drops, self._next)
        batch.open = is_open
        self._batches.append(batch)
        return batch

    def _close_shared(self) -> None:
        shared, self._shared = self._shared, None
        if shared is not None:
            shared.open = False
            if not shared.live:
                self._remove(shared)

    def find(self, tid: int) -> Batch | None:
        """The batch that has the task."""
        at = bisect_right(self._batches, tid, key=_first) - 1
        if at < 0:
            return None
        batch = self._batches[at]
        return batch if tid < batch.first + len(batch) else None

    def holds(self, tid: int) -> bool:
        """Whether anybody holds a future of the task."""
        batch = self.find(tid)
        return batch is not None and batch.status[tid - batch.first] != RELEASED

    def _remove(self, batch: Batch) -> None:
        at = bisect_right(self._batches, batch.first, key=_first) - 1
        del self._batches[at]
        for function in batch.functions.values():
            function.uses -= 1
            if not function.uses:
                self._idle(function)
        batch.functions = {}
        if batch.kept and self._gone is not None:
            self._gone(batch)

    def spanning(self, first: int, stop: int) -> list[Batch]:
        """The batches that have some of these tasks."""
        at = bisect_right(self._batches, first, key=_first) - 1
        if at < 0 or first >= self._batches[at].first + len(self._batches[at]):
            at += 1
        end = bisect_left(self._batches, stop, key=_first)
        return self._batches[at:end]

    # ------------------------------------------------------------ from the scheduler

    def on_finished(self, message: words.Finished) -> None:
        """Values, or where they are.

        Raises:
            RemoteProtocolError: they are nowhere.
        """
        places = message.places
        if max(message.at, default=-1) >= len(places):
            msg = "Finished.at is not in its places"
            raise RemoteProtocolError(msg)
        self._end(
            FINISHED,
            message.tids,
            [
                value if at < 0 else places[at]
                for value, at in zip(message.values, message.at, strict=True)
            ]
            if places
            else message.values,
        )

    def on_failed(self, message: words.Failed) -> None:
        """Errors, possibly one for many tasks.

        Raises:
            RemoteProtocolError: there are fewer than that.
        """
        failures = message.failures
        which = message.which
        if which and not 0 <= min(which) <= max(which) < len(failures):
            msg = "Failed.which is not in its failures"
            raise RemoteProtocolError(msg)
        self._end(ERROR, message.tids, [failures[row] for row in which])

    def on_cancelled(self, message: words.Cancelled) -> None:
        """Tasks that will not run."""
        self._end(CANCELLED, message.tids, [message.reason] * len(message.tids))

    def on_lost(self, message: words.Lost) -> None:
        """Values that are gone."""
        self.lose(message.tids, message.reason)

    def lose(self, tids: list[int], reason: str) -> None:
        """These have no value, for this reason."""
        self._end(LOST, tids, [reason] * len(tids))

    def on_again(self, message: words.Again) -> None:
        """Values that are being made again."""
        self.reopen(message.tids)

    def reopen(self, tids: Iterable[int]) -> None:
        """There is no value at present; the scheduler will say when there is."""
        for tid in tids:
            batch = self.find(tid)
            if batch is not None and batch.status[tid - batch.first] not in (PENDING, RELEASED):
                batch.status[tid - batch.first] = PENDING
                batch.values[tid - batch.first] = None
                batch.pending += 1

    def _end(self, how: int, tids: list[int], values: Sequence[bytes | str]) -> None:
        batch: Batch | None = None
        first = end = 0
        status, column = bytearray(), list[bytes | str | None]()
        done: list[int] = []
        for tid, value in zip(tids, values, strict=True):
            if not first <= tid < end:
                if done and batch is not None:
                    self._tell(batch, done)
                batch, done = self.find(tid), []
                if batch is None:
                    first = end = 0
                    continue
                first, end = batch.first, batch.first + len(batch)
                status, column = batch.status, batch.values
            row = tid - first
            before = status[row]
            if before == RELEASED:
                continue
            status[row] = how
            column[row] = value
            if before == PENDING:
                done.append(row)
        if done and batch is not None:
            self._tell(batch, done)

    def _tell(self, batch: Batch, rows: list[int]) -> None:
        batch.pending -= len(rows)
        batch.tell(rows)
        self._settled(batch, rows)

    # ------------------------------------------------------------ from the user

    def release(self, tids: list[int]) -> tuple[list[int], list[int]]:
        """Nobody holds these any more. Returns them without repetitions, and the pending ones."""
        batch: Batch | None = None
        first = end = 0
        status, column = bytearray(), list[bytes | str | None]()
        released: list[int] = []
        pending: list[int] = []
        awaited: list[tuple[Batch, int]] = []
        for tid in tids:
            if not first <= tid < end:
                batch = self.find(tid)
                if batch is None:
                    first = end = 0
                    continue
                first, end = batch.first, batch.first + len(batch)
                status, column = batch.status, batch.values
            row = tid - first
            before = status[row]
            if batch is None or before == RELEASED:
                continue
            status[row] = RELEASED
            column[row] = None
            released.append(tid)
            if before == PENDING:
                pending.append(tid)
                batch.pending -= 1
                if batch.watches or batch.row_watches:
                    awaited.append((batch, row))
            batch.live -= 1
            if not batch.live and not batch.open:
                self._remove(batch)
                first = end = 0
        for each, row in awaited:  # also those whose batch has gone with its last task
            each.tell([row])
        return released, pending

    def end_pending(self, reason: str) -> None:
        """Nothing more will be heard: all that is pending is cancelled."""
        for batch in tuple(self._batches):
            status, values = batch.status, batch.values
            for row in range(len(batch)) if batch.pending else ():
                if status[row] == PENDING:
                    status[row] = CANCELLED
                    values[row] = reason
            batch.pending = 0
