"""How far a gather or a scatter is: counted only where somebody wants to see it.

What is written here by who waits is read by who draws, in another thread, at any time: numbers
may be a moment old, and never need a lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from trio_dask.client.core import FINISHED
from trio_dask.errors import SchedulerUnreachable
from trio_dask.messages import payload_bytes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from rich.console import Console

    from trio_dask.client.core import AllDone, Batch, Request
    from trio_dask.messages import Payload
    from trio_dask.messages.ids import TaskId

#: The sizes of more values than this are not asked for beforehand.
_SIZED_MAX: Final = 20_000


@dataclass(frozen=True, slots=True)
class Row:
    """One line of what is shown: so many of so many, and how many bytes these are."""

    name: str
    done: int
    total: int
    nbytes: int | None = None  # None: it is not about bytes
    nbytes_total: int = 0  # 0: unknown
    failed: int = 0


class Gathering:
    """One `gather`: tasks that are waited for, then values that are on their way.

    Args:
        tasks: how many there are.
        ask: asks the scheduler.
    """

    def __init__(self, tasks: int, ask: Callable[[str, dict[str, Any]], Awaitable[Any]]) -> None:
        self._tasks = tasks
        self._ask = ask
        # One assignment changes what belongs together.
        self._waiting: tuple[int, AllDone | None] = tasks, None
        self._fetching: tuple[int, int, Request | None] = 0, 0, None  # what came before it
        self._expected = 0, 0

    def waits(self, left: int, watch: AllDone | None = None) -> None:
        """So many tasks are not done, which is known until this `watch` knows better."""
        self._waiting = left, watch

    async def expect(self, keys: list[str]) -> None:
        """The values of these will be fetched: how large are they?"""
        came, came_bytes = self._here()
        self._expected = came + len(keys), 0
        if len(keys) > _SIZED_MAX:
            return
        try:
            answer = await self._ask("nbytes", {"keys": keys, "summary": False})
        except (SchedulerUnreachable, ValueError):
            return  # the gather itself will say so
        self._expected = came + len(keys), came_bytes + sum(answer["nbytes"].values())

    def fetches(self, request: Request | None) -> None:
        """They are on their way; None: they are there."""
        self._fetching = *self._here(), request

    def _here(self) -> tuple[int, int]:
        came, came_bytes, request = self._fetching
        payloads = [] if request is None else list(request.payloads.values())
        return came + len(payloads), came_bytes + sum(map(payload_bytes, payloads))

    def rows(self) -> list[Row]:
        """What is to be seen now."""
        left, watch = self._waiting
        left = left if watch is None else max(0, watch.left)
        rows = [Row("tasks", self._tasks - left, self._tasks)]
        total, bytes_total = self._expected
        if total:
            done, nbytes = self._here()
            rows.append(Row("values", done, total, nbytes, bytes_total))
        return rows


class Scattering:
    """One `scatter`: values that are pickled, then stored, then copied where that is wanted."""

    def __init__(self, *, broadcast: bool) -> None:
        self._values = 0
        self._sizes: list[int] = []
        self._placed: Sequence[tuple[Batch, TaskId]] = ()
        self._copies = [0] if broadcast else []

    def packed(self, payloads: Iterable[Payload], count: int) -> Iterator[Payload]:
        """So many are pickled, one after the other."""
        self._values = count
        for payload in payloads:
            self._sizes.append(payload_bytes(payload))
            yield payload

    def stores(self, placed: Sequence[tuple[Batch, TaskId]]) -> None:
        """They are on their way."""
        self._placed = placed

    def copied(self) -> None:
        """They are everywhere."""
        self._copies = [1]

    def rows(self) -> list[Row]:
        """What is to be seen now."""
        sizes = tuple(self._sizes)
        rows = [Row("pickled", len(sizes), self._values, sum(sizes))]
        if self._placed:
            there = [
                size
                for (batch, tid), size in zip(self._placed, sizes, strict=True)
                if batch.status[tid - batch.first] == FINISHED
            ]
            rows.append(Row("stored", len(there), self._values, sum(there), sum(sizes)))
            rows += [Row("on all workers", each, 1) for each in self._copies]
        return rows


def shown(
    meter: Gathering | Scattering, label: str, *, where: bool | Console
) -> AbstractContextManager[None]:
    """While it lasts, what a meter says can be seen: on the standard output, or this console."""
    from trio_dask.client.showing import shown  # rich takes a while to load

    return shown(meter.rows, None if isinstance(where, bool) else where, label=label)
