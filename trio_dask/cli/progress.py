"""``trio-dask progress``."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.live import Live
from rich.text import Text

from trio_dask.cli.demo_screen import Screen
from trio_dask.cli.failures import NobodyReads
from trio_dask.cli.following import find_source
from trio_dask.cli.pictures import progress_table
from trio_dask.cli.top import keys, wait_ready
from trio_dask.dashboard import Follower, Mirror

if TYPE_CHECKING:
    from trio_dask.dashboard import Progress

_LOOK_S: Final = 0.2
#: How often a line is printed where there is no terminal.
_LINE_S: Final = 5.0


def progress(address: str, /, *, follow: bool = False) -> None:
    """See how far the tasks of each function are, until nothing is left to do.

    `q` or Ctrl-C ends it before. Where the output is no terminal it is a line every five
    seconds.

    Args:
        address: Where the scheduler is, as `tcp://192.0.2.10:8786`, or its dashboard, as
            `http://192.0.2.10:8787`.
        follow: Go on when nothing is left to do.
    """
    screen, mirror = Screen(), Mirror()
    with suppress(KeyboardInterrupt, NobodyReads), Follower(find_source(address)) as follower:
        wait_ready(follower, mirror, 0.0)
        if screen.alive:
            _bars(screen, mirror, follower, follow=follow)
        else:
            _lines(screen, mirror, follower, follow=follow)


def _bars(screen: Screen, mirror: Mirror, follower: Follower, *, follow: bool) -> None:
    connected = True
    with keys() as pressed, Live(console=screen, auto_refresh=False) as live:
        while pressed() not in {"q", "Q", "\x03", "\x1b"}:
            width, height = screen.size
            table = progress_table(
                mirror.progress(), width, ascii_only=screen.options.ascii_only,
                most=max(1, height - 4),
            )  # fmt: skip
            live.update(Group(table, _summary(mirror, connected=connected)), refresh=True)
            if is_over(mirror) and not follow:
                return
            heard = follower.hear(mirror.take, _LOOK_S)
            connected = connected if heard is None else heard


def _lines(screen: Screen, mirror: Mirror, follower: Follower, *, follow: bool) -> None:
    due = 0.0
    while True:
        over = is_over(mirror) and not follow
        if over or time.monotonic() >= due:
            due = time.monotonic() + _LINE_S
            screen.print(line(mirror.progress(), mirror.totals), soft_wrap=True)
        if over:
            return
        follower.hear(mirror.take, _LOOK_S)


def is_over(mirror: Mirror) -> bool:
    """Whether nothing is left to do."""
    totals = mirror.totals
    busy = totals.get("processing", 0) or totals.get("queued", 0)
    return not busy and not any(each.pending for each in mirror.progress())


def line(rows: list[Progress], totals: dict[str, int]) -> str:
    """All of it in a line.

    >>> from trio_dask.dashboard import Progress
    >>> line([Progress("clean", 3, 1, 4, 4, 1.0)], {"rate": 7})
    '4 of 8 tasks (50 %), 7 tasks/s, 1 failed; clean 4/8'
    """
    done, failed = sum(each.done for each in rows), sum(each.failed for each in rows)
    total = done + failed + sum(each.pending for each in rows)
    share = f" ({100 * (done + failed) // total} %)" if total else ""
    at_work = [f"{e.name} {e.done + e.failed:,}/{e.total:,}" for e in rows if e.pending]
    text = f"{done + failed:,} of {total:,} tasks{share}, {totals.get('rate', 0):,.0f} tasks/s"
    text += f", {failed:,} failed" if failed else ""
    return "; ".join([text, ", ".join(at_work[:8])]) if at_work else text


def _summary(mirror: Mirror, *, connected: bool) -> Text:
    text = Text(line(mirror.progress(), mirror.totals).partition(";")[0])
    if not connected:
        text.append("  connection lost, trying again", "bold red")
    return text
