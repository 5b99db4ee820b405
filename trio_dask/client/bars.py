"""A bar for each name of task, until all have ended."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, overload

from trio_dask.client.core import FINISHED
from trio_dask.client.finding import AnyFuture, futures_of
from trio_dask.client.futures import AsyncFuture, Future
from trio_dask.client.waiting import as_completed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection, Generator

    from rich.console import Console
    from rich.progress import TaskID


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
    it is to be awaited. Where the output is no terminal there are no bars; it waits all the same.

    Args:
        futures: what to wait for. An error in one of them is shown, not raised.
        console: where to show it; the standard output, if nothing is said.
    """
    found = futures_of(list(futures))
    if not found:
        return _Nothing()
    bars = _Bars(found, console)
    if isinstance(found[0], AsyncFuture):
        return bars.run_async()
    bars.run()
    return None


class _Nothing:
    """Where there is nothing to wait for nobody knows whether it is to be awaited."""

    def __await__(self) -> Generator[Any, Any, None]:
        yield from ()


class _Bars:
    """One for each name of task."""

    def __init__(self, futures: list[AnyFuture], console: Console | None) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        # One future may be there twice.
        self._futures = list({id(future): future for future in futures}.values())
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[failed]}"),
            console=console,
        )
        self._failed: Counter[str] = Counter()
        self._rows: dict[str, TaskID] = {
            name: self._progress.add_task(name, total=total, failed="")
            for name, total in Counter(map(_name, self._futures)).items()
        }

    def run(self) -> None:
        """In this thread."""
        with self._progress:
            for future in as_completed(self._futures):
                self._count(future)

    async def run_async(self) -> None:
        """On a loop."""
        with self._progress:
            async for future in as_completed(self._futures):
                self._count(future)

    def _count(self, future: AnyFuture) -> None:
        name = _name(future)
        if future._code != FINISHED:  # noqa: SLF001
            self._failed[name] += 1
        failed = f"{self._failed[name]} failed" if self._failed[name] else ""
        self._progress.update(self._rows[name], advance=1, failed=failed)


def _name(future: AnyFuture) -> str:
    """What tasks of one kind have in common in their keys."""
    key: Any = future.key
    while isinstance(key, tuple) and key:
        key = key[0]
    return str(key).rpartition("-")[0] or str(key)
