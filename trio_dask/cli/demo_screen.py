"""How the demo shows itself: bars on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import trio
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from trio_dask.cli.failures import NobodyReads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: How often what is shown is brought up to date.
REFRESH_S: Final = 0.1
_BAR_MAX: Final = 30
#: What stands beside a bar of the table.
_BESIDE_BAR: Final = 24
_PLAIN_LINES: Final = 4


@dataclass(slots=True, eq=False)
class Stage:
    """Tasks of one kind: how many there are, and how many of them are done."""

    name: str
    total: int
    done: int = 0


class Showing(Protocol):
    """Something that shows how far the stages are."""

    def update(self, elapsed_s: float) -> None:
        """Show them as they are now."""


class Screen(Console):
    """Standard output, whatever that is."""

    def __init__(self) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # not every terminal knows every character
        super().__init__(highlight=False, markup=False, emoji=False)
        #: Whether lines can be written over.
        self.alive: Final = self.is_terminal and not self.is_dumb_terminal

    def on_broken_pipe(self) -> None:
        """Whoever reads our output has enough of it: end, and say no more."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise NobodyReads

    def code(self, text: str) -> None:
        """What is to be copied: no line is broken but by the terminal itself."""
        self.print(text, soft_wrap=True)

    def bars(self, title: str, rows: Sequence[tuple[str, int]]) -> None:
        """A table of numbers, with a bar for each as far as there is room."""
        table = Table(title=title, title_justify="left", title_style="bold", box=None)
        table.add_column("module", no_wrap=True)
        table.add_column("files", justify="right", no_wrap=True)
        room = min(_BAR_MAX, self.width - _BESIDE_BAR)
        block = "#" if self.options.ascii_only else "█"
        if room > 0:
            table.add_column("", no_wrap=True, style="cyan")
        for name, number in rows:
            bar = (block * round(room * number / rows[0][1]),) if room > 0 else ()
            table.add_row(name, f"{number:,}", *bar)
        self.print(table)

    @contextmanager
    def showing(self, stages: Sequence[Stage]) -> Iterator[Showing]:
        """Show how far the stages are while the block lasts."""
        if not self.alive:
            yield Lines(self, stages)
            return
        bars = Bars(self, stages)
        with bars.progress:
            # A hidden one would stay so if the process had to leave at once.
            self.show_cursor(True)
            yield bars


class Bars:
    """A bar for each stage, on a terminal."""

    def __init__(self, screen: Screen, stages: Sequence[Stage]) -> None:
        self._stages: Final = stages
        self.progress: Final = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None, complete_style="cyan", finished_style="green"),
            TextColumn("{task.fields[count]}", justify="right"),
            TextColumn("{task.fields[rate]}", justify="right"),
            TextColumn("{task.fields[elapsed]}", justify="right"),
            console=screen,
            auto_refresh=False,  # that would be a thread
            redirect_stdout=False,
            redirect_stderr=False,
            expand=screen.width <= 80,
        )
        self._tasks: Final = [
            self.progress.add_task(each.name, total=each.total, count="", rate="", elapsed="")
            for each in stages
        ]
        self._finished_s: Final[dict[str, float]] = {}

    def update(self, elapsed_s: float) -> None:
        """Bring all bars up to date."""
        for task, stage in zip(self._tasks, self._stages, strict=True):
            took_s = self._finished_s.get(stage.name, elapsed_s)
            if stage.done == stage.total:
                self._finished_s.setdefault(stage.name, elapsed_s)
            under_way = stage.done and took_s
            self.progress.update(
                task,
                completed=stage.done,
                count=f"{stage.done:,}/{stage.total:,}",
                rate=f"{stage.done / took_s:,.0f}/s" if under_way else "",
                elapsed=f"{took_s:.1f} s" if under_way else "",
            )
        self.progress.refresh()


class Lines:
    """A line now and then, for files and pipes and terminals that can do no more."""

    def __init__(self, screen: Screen, stages: Sequence[Stage]) -> None:
        self._screen: Final = screen
        self._stages: Final = stages
        self._total: Final = sum(each.total for each in stages)
        self._said = 0

    def update(self, elapsed_s: float) -> None:
        """Say how far they are, if that is another quarter than last time."""
        done = sum(each.done for each in self._stages)
        quarters = _PLAIN_LINES * done // self._total
        if quarters > self._said:
            self._said = quarters
            rate = f", {done / elapsed_s:,.0f} a second" if elapsed_s else ""
            self._screen.print(f"{done:,} of {self._total:,} tasks, {elapsed_s:.1f} s{rate}")


async def keep_showing(showing: Showing, began: float) -> None:
    """Until cancelled."""
    while True:
        showing.update(trio.current_time() - began)
        await trio.sleep(REFRESH_S)
