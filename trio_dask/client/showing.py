"""Bars on a terminal or in a notebook, and a line now and then in a log file."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from rich import get_console
from rich.errors import LiveError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from trio_dask.client.notebook import bars_as_html
from trio_dask.config import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console
    from rich.progress import TaskID

    from trio_dask.client.metering import Row

#: How often bars are drawn.
DRAW_S: Final = 0.2
#: How often a line is printed where there is no terminal.
LINE_S: Final = 5.0
#: So many rows of many are named in a line.
_NAMED: Final = 8


def line(rows: list[Row]) -> str:
    """All of it in a line.

    >>> from trio_dask.client.metering import Row
    >>> line([Row("tasks", 4, 8, failed=1), Row("values", 1, 8, 2048, 8192)])
    'tasks 4/8, 1 failed; values 1/8, 2.00 KiB of 8.00 KiB'
    """
    parts = [
        ", ".join(each for each in (_count(row), _bytes(row), _failed(row)) if each) for row in rows
    ]
    more = len(parts) - _NAMED
    return "; ".join([*parts[:_NAMED], f"{more} more"] if more > 0 else parts)


def _count(row: Row) -> str:
    return f"{row.name} {row.done:,}/{row.total:,}"


def _bytes(row: Row) -> str:
    if row.nbytes is None:
        return ""
    total = f" of {format_bytes(row.nbytes_total)}" if row.nbytes_total else ""
    return format_bytes(row.nbytes) + total


def _failed(row: Row) -> str:
    return f"{row.failed:,} failed" if row.failed else ""


@contextmanager
def shown(
    rows: Callable[[], list[Row]],
    console: Console | None = None,
    *,
    label: str = "",
    every_s: float | None = None,
) -> Iterator[None]:
    """While it lasts, what `rows` gives is shown, from a thread; at its end for the last time.

    Args:
        rows: called in that thread, each time something is drawn or written.
        console: where to show it; the standard output, if nothing is said.
        label: what a line begins with.
        every_s: how often, in seconds, instead of what is usual.
    """
    out = get_console() if console is None else console
    display, usual_s = _display(out, label)
    thread = _Thread(rows, display, usual_s if every_s is None else every_s)
    thread.start()
    try:
        yield
    finally:
        thread.stop()


def _display(console: Console, label: str) -> tuple[_Bars | _Cell | _Lines, float]:
    if console.is_jupyter and _in_ipython():
        return _Cell(), DRAW_S
    if console.is_terminal:
        with suppress(LiveError):  # rich before 14.1, and something else draws there
            return _Bars(console), DRAW_S
    return _Lines(console, label), LINE_S


def _in_ipython() -> bool:
    """Whether there is somebody to show it: a console may be told that it is in a notebook."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return False
    shell: Any = get_ipython
    return shell() is not None


class _Thread(threading.Thread):
    """Has a display show what there is, now and then, and at the end."""

    def __init__(
        self, rows: Callable[[], list[Row]], display: _Bars | _Cell | _Lines, every_s: float
    ) -> None:
        super().__init__(name="trio-dask-progress", daemon=True)
        self._rows = rows
        self._display = display
        self._every_s = every_s
        self._over = threading.Event()

    def run(self) -> None:
        """Until it is over, or nobody can see it any more: that is no reason for what it is about."""
        over = False
        with suppress(OSError, ValueError):
            while not over:
                over = self._over.wait(self._every_s)
                self._display.show(self._rows(), last=over)

    def stop(self) -> None:
        """Show the end of it."""
        self._over.set()
        self.join()
        with suppress(OSError, ValueError):
            self._display.close()


class _Bars:
    """A bar for each row."""

    def __init__(self, console: Console) -> None:
        self._named: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[failed]}"),
            console=console,
            auto_refresh=False,
        )
        self._progress.start()

    def show(self, rows: list[Row], *, last: bool) -> None:
        """Draw them."""
        progress = self._progress
        for row in rows:
            now: dict[str, Any] = {"amount": _bytes(row), "failed": _failed(row)}
            at = self._named.get(row.name)
            if at is None:
                at = progress.add_task(row.name, completed=row.done, total=row.total, **now)
                self._named[row.name] = at
            progress.update(at, completed=row.done, total=row.total, **now)
        progress.refresh()

    def close(self) -> None:
        """They stay as they are."""
        self._progress.stop()


class _Cell:
    """Bars below the cell of a notebook: rich's own would take widgets, which may not be there."""

    def __init__(self) -> None:
        import IPython.display

        display: Any = IPython.display.display  # not all versions of it have types
        self._before: dict[str, str] = {"text/plain": ""}
        # From the thread of the cell, so that it is below this one.
        self._handle = display(self._before, raw=True, display_id=True)

    def show(self, rows: list[Row], *, last: bool) -> None:
        """Draw them in the place of what is there."""
        del last
        table = [(row.name, row.done, row.total, _bytes(row), _failed(row)) for row in rows]
        now = {"text/plain": line(rows), "text/html": bars_as_html(table)}
        if now != self._before:
            self._handle.update(now, raw=True)
        self._before = now

    def close(self) -> None:
        """They stay as they are."""


class _Lines:
    """A line now and then, if there is something new; one at the end in any case."""

    def __init__(self, console: Console, label: str) -> None:
        self._console = console
        self._label = f"{label}: " if label else ""
        self._before = ""

    def show(self, rows: list[Row], *, last: bool) -> None:
        """Write them."""
        text = self._label + line(rows)
        if last or text != self._before:
            self._console.print(text, soft_wrap=True, markup=False, highlight=False)
        self._before = text

    def close(self) -> None:
        """There is nothing to be cleaned up."""
