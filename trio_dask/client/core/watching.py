"""Waiting for many tasks at constant cost for each that ends.

Who waits for a whole batch is registered once with it; who waits for some of its
rows, with each of these.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from trio_dask.client.core.batch import FINISHED, PENDING, Batch, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Tasks by batch, in order.
Groups: TypeAlias = dict[Batch, list[int]]


class AllDone:
    """Wakes once, when all rows are done; on request at the first that ends badly, too."""

    __slots__ = ("_left", "_stop_on_failure", "_wake")

    def __init__(
        self, left: int, wake: Callable[[], None], *, stop_on_failure: bool = False
    ) -> None:
        self._left = left
        self._wake = wake
        self._stop_on_failure = stop_on_failure

    @property
    def left(self) -> int:
        """So many are not done."""
        return self._left

    def rows_done(self, batch: Batch, rows: list[int]) -> None:
        """Count them."""
        self._left -= len(rows)
        if self._left <= 0:
            self._wake()
        elif self._stop_on_failure:
            status = batch.status
            if any(status[row] != FINISHED for row in rows):
                self._wake()

    def broken(self) -> None:
        """Wake: nothing more will come."""
        self._wake()


class EachDone:
    """Collects the ids of the tasks that are done, and wakes whenever there are new ones."""

    __slots__ = ("_wake", "tids")

    def __init__(self, wake: Callable[[], None]) -> None:
        self.tids: deque[int] = deque()
        self._wake = wake

    def rows_done(self, batch: Batch, rows: list[int]) -> None:
        """Collect them."""
        first = batch.first
        self.tids += [first + row for row in rows]
        self._wake()

    def broken(self) -> None:
        """Wake: nothing more will come."""
        self._wake()

    def let_go(self) -> None:
        """Wake nobody any more: whoever was to be woken is no longer needed for it."""
        self._wake = _nobody


def _nobody() -> None:
    pass


class Watching:
    """Who waits for what, so that each can be told that all is over, or forgotten."""

    def __init__(self) -> None:
        self._watched: dict[Watch, list[tuple[Batch, list[int] | None]]] = {}

    def watch(self, watch: Watch, groups: Groups) -> None:
        """Tell `watch` about these rows from now on, but not about those that are done."""
        entries = self._watched.setdefault(watch, [])
        for batch, rows in groups.items():
            if not batch.open and len(rows) == len(batch) and rows == list(range(len(batch))):
                batch.watches.append(watch)
                entries.append((batch, None))
                continue
            status, row_watches = batch.status, batch.row_watches
            for row in rows:
                if status[row] == PENDING:
                    row_watches.setdefault(row, []).append(watch)
            entries.append((batch, rows))

    def unwatch(self, watch: Watch) -> None:
        """It does not wait any more."""
        for batch, rows in self._watched.pop(watch, ()):
            if rows is None:
                batch.watches.remove(watch)
                continue
            for row in rows if batch.row_watches else ():
                watches = batch.row_watches.get(row)
                if watches is not None and watch in watches:
                    watches.remove(watch)
                    if not watches:
                        del batch.row_watches[row]

    def break_all(self) -> None:
        """Nothing more will be done: wake everybody."""
        for watch in list(self._watched):
            watch.broken()


def group(tasks: Iterable[tuple[Batch, int]]) -> Groups:
    """Batches and ids, sorted by batch; rows keep their order."""
    groups: Groups = {}
    last: Batch | None = None
    rows: list[int] = []
    for batch, tid in tasks:
        if batch is not last:
            rows = groups.setdefault(batch, [])
            last = batch
        rows.append(tid - batch.first)
    return groups
