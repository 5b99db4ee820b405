"""A bar for each name of task, until all have ended."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, overload

from trio_dask.client.core import FINISHED
from trio_dask.client.finding import AnyFuture, futures_meant
from trio_dask.client.futures import AsyncFuture, Future
from trio_dask.client.metering import Row
from trio_dask.client.showing import shown
from trio_dask.client.waiting import as_completed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection, Generator

    from rich.console import Console


@overload
def progress(
    *futures: Future[Any] | Collection[Future[Any]], console: Console | None = None
) -> None: ...


@overload
def progress(
    *futures: AsyncFuture[Any] | Collection[AsyncFuture[Any]], console: Console | None = None
) -> Awaitable[None]: ...


def progress(*futures: Any, console: Console | None = None) -> Awaitable[None] | None:
    """Show how far futures are, in bars on the terminal or in the notebook, until all have ended.

    Futures may be in containers and in persisted collections. With futures of an `AsyncClient`
    it is to be awaited. Where the output is no terminal there is a line every five seconds instead,
    if there is something new, and one at the end.

    Args:
        futures: what to wait for. An error in one of them is shown, not raised.
        console: where to show it; the standard output, if nothing is said.
    """
    found = futures_meant(list(futures))
    if not found:
        return _Nothing()
    bars = _Bars(found)
    if isinstance(found[0], AsyncFuture):
        return bars.run_async(console)
    bars.run(console)
    return None


class _Nothing:
    """Where there is nothing to wait for nobody knows whether it is to be awaited."""

    def __await__(self) -> Generator[Any, Any, None]:
        yield from ()


class _Bars:
    """One for each name of task."""

    def __init__(self, futures: list[AnyFuture]) -> None:
        # One future may be there twice.
        self._futures = list({id(future): future for future in futures}.values())
        self._totals = Counter(map(_name, self._futures))
        self._done: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    def run(self, console: Console | None) -> None:
        """In this thread."""
        with shown(self._rows, console):
            for future in as_completed(self._futures):
                self._count(future)

    async def run_async(self, console: Console | None) -> None:
        """On a loop."""
        with shown(self._rows, console):
            async for future in as_completed(self._futures):
                self._count(future)

    def _count(self, future: AnyFuture) -> None:
        name = _name(future)
        if future._code != FINISHED:  # noqa: SLF001
            self._failed[name] += 1
        self._done[name] += 1

    def _rows(self) -> list[Row]:
        return [
            Row(name, self._done[name], total, failed=self._failed[name])
            for name, total in self._totals.items()
        ]


def _name(future: AnyFuture) -> str:
    """What tasks of one kind have in common in their keys."""
    key: Any = future.key
    while isinstance(key, tuple) and key:
        key = key[0]
    return str(key).rpartition("-")[0] or str(key)
