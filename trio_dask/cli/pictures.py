"""A cluster as text: what `top` and `progress` show, on a terminal and elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from trio_dask.dashboard import Mirror, Progress

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_BAR: Final = 24
_NARROW: Final = 70
#: Lines beside the tables.
_AROUND: Final = 7


def size(count: float) -> str:
    """A number of bytes.

    >>> size(0), size(1536), size(250 << 20)
    ('0 B', '1.5 KiB', '250 MiB')
    """
    at = 0
    while count >= 1000 and at < len(_UNITS) - 1:
        count /= 1024
        at += 1
    return f"{count:.1f} {_UNITS[at]}" if 0 < count < 10 and at else f"{count:.0f} {_UNITS[at]}"


def time_of(seconds: float) -> str:
    """A length of time.

    >>> time_of(0.0042), time_of(12.5), time_of(3700)
    ('4.2 ms', '12 s', '1 h 1 min')
    """
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{int(seconds)} s"
    for large, small, names in ((60, 1, "min s"), (3600, 60, "h min"), (86400, 3600, "d h")):
        if seconds < large * (60 if large < 3600 else 24) or large == 86400:
            first, second = names.split()
            rest = int(seconds % large // small)
            return f"{int(seconds // large)} {first}" + (f" {rest} {second}" if rest else "")
    return ""


def bar(parts: Iterable[tuple[float, str]], whole: float, width: int, *, ascii_only: bool) -> Text:
    """A bar of coloured parts."""
    text, used = Text(), 0
    so_far = 0.0
    for value, style in parts:
        so_far += value
        until = min(width, round(width * so_far / whole)) if whole > 0 else 0
        text.append(("#" if ascii_only else "█") * (until - used), style)
        used = max(used, until)
    text.append(("." if ascii_only else "░") * (width - used), "dim")
    return text


def head(mirror: Mirror, *, connected: bool) -> Text:
    """The cluster in a few lines."""
    totals = mirror.totals
    text = Text()
    text.append(str(mirror.identity.get("address", "")), "bold")
    text.append(f"  up {time_of(mirror.t)}")
    if not connected:
        text.append("  connection lost, trying again", "bold red")
    text.append(
        f"\n{_number(totals, 'workers')} worker{'s' * (totals.get('workers', 0) != 1)}  "
        f"{_number(totals, 'busy')} of {_number(totals, 'slots')} slots busy  "
        f"{totals.get('rate', 0):,.0f} tasks/s  {_number(totals, 'finished')} have run"
    )
    text.append(
        f"\n{_number(totals, 'processing')} given out  {_number(totals, 'queued')} queued  "
        f"{_number(totals, 'held')} values held  "
        f"{size(totals.get('memory', 0))} of {size(totals.get('memory_limit', 0))}"
    )
    failures = totals.get("failures", 0)
    text.append(f"  {failures:,} failed", "bold red" if failures else "")
    return text


def _number(totals: dict[str, Any], name: str) -> str:
    return f"{totals.get(name, 0):,}"


def progress_table(rows: list[Progress], width: int, *, ascii_only: bool, most: int) -> Table:
    """A line for each function, those at work first if there are too many."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=width >= _NARROW)
    table.add_column("function", overflow="ellipsis", no_wrap=True, ratio=1)
    table.add_column("", no_wrap=True)
    table.add_column("done", justify="right", no_wrap=True)
    table.add_column("failed", justify="right", no_wrap=True)
    if width >= _NARROW:
        table.add_column("each", justify="right", no_wrap=True)
    left_out = len(rows) - most
    if left_out > 0:
        keep = sorted(range(len(rows)), key=lambda at: (not rows[at].pending, -at))[:most]
        rows = [rows[at] for at in sorted(keep)]
    room = _BAR if width >= _NARROW else max(6, width // 5)
    for row in rows:
        parts = [(row.done, "cyan"), (row.failed, "red")]
        cells: list[RenderableType] = [
            row.name,
            bar(parts, row.total, room, ascii_only=ascii_only),
            f"{row.done + row.failed:,}/{row.total:,}",
            Text(f"{row.failed:,}" if row.failed else "", "red"),
        ]
        if width >= _NARROW:
            cells.append(time_of(row.seconds / row.runs) if row.runs else "")
        table.add_row(*cells)
    if left_out > 0:
        table.add_row(Text(f"and {left_out} more", "dim"))
    return table


def worker_table(mirror: Mirror, width: int, *, ascii_only: bool, most: int) -> Table:
    """A line for each worker, those with most to do first if there are too many."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("worker", overflow="ellipsis", no_wrap=True, ratio=1)
    table.add_column("tasks", justify="right", no_wrap=True)
    table.add_column("cpu", justify="right", no_wrap=True)
    table.add_column("memory", justify="right", no_wrap=True)
    if width >= _NARROW:
        table.add_column("", no_wrap=True)
        table.add_column("values", justify="right", no_wrap=True)
        table.add_column("status", no_wrap=True)
    workers = sorted(mirror.workers.values(), key=lambda each: _natural(str(each["name"])))
    left_out = len(workers) - most
    if left_out > 0:
        workers.sort(key=lambda each: (-each["processing"], -each["memory"]))
        workers = workers[:most]
    for each in workers:
        used, limit = each["memory"], each["memory_limit"]
        level = used / limit if limit else 0.0
        style = "cyan" if level < 0.6 else "yellow" if level < 0.8 else "red"
        silent = f"silent {time_of(each['silent_s'])}" if each["silent_s"] else str(each["status"])
        cells: list[RenderableType] = [
            str(each["name"]),
            f"{each['processing']:,}/{each['slots']}",
            f"{each['cpu']} %",
            size(used << 20),
        ]
        if width >= _NARROW:
            cells += [
                bar([(used, style)], limit, 12, ascii_only=ascii_only),
                f"{each['held']:,}",
                Text(silent, "" if silent == "running" else "red"),
            ]
        table.add_row(*cells)
    if left_out > 0:
        table.add_row(Text(f"and {left_out:,} more", "dim"))
    return table


def _natural(name: str) -> tuple[Any, ...]:
    """So that w-10 comes after w-9."""
    digits = name.rstrip("0123456789")
    number = name[len(digits) :]
    return digits, int(number) if number and len(number) < 18 else -1, name


def picture(
    mirror: Mirror, width: int, height: int | None, *, connected: bool, ascii_only: bool
) -> Group:
    """All of it; without a height as many lines as there are."""
    rows = mirror.progress()
    room = 10_000 if height is None else max(2, height - _AROUND)
    functions = min(len(rows), max(room // 2, room - len(mirror.workers) - 1))
    functions_most = max(1, functions if functions == len(rows) else functions - 1)
    workers = max(1, room - min(len(rows), functions_most) - (functions < len(rows)) - 1)
    parts: list[RenderableType] = [head(mirror, connected=connected)]
    if rows:
        table = progress_table(rows, width, ascii_only=ascii_only, most=functions_most)
        parts += [Text(""), table]
    if mirror.workers:
        parts += [Text(""), worker_table(mirror, width, ascii_only=ascii_only, most=workers)]
    return Group(*parts)
