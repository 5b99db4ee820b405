"""A cluster as text: what `top` and `progress` show, on a terminal and elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rich.cells import cell_len
from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType

    from trio_dask.dashboard import Mirror, Progress

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_BAR: Final = 24
_NARROW: Final = 70
_BAR_MIN: Final = 6
#: Between two columns.
_GAP: Final = 2
#: So much of a name is to be seen before other columns are.
_NAME_MIN: Final = 12
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
    left_out = len(rows) - most
    if left_out > 0:
        keep = sorted(range(len(rows)), key=lambda at: (not rows[at].pending, -at))[:most]
        rows = [rows[at] for at in sorted(keep)]
    names = _Column("function", [row.name for row in rows])
    done = [f"{row.done + row.failed:,}/{row.total:,}" for row in rows]
    failed = [Text(f"{row.failed:,}" if row.failed else "", "red") for row in rows]
    columns = [_Column("done", done, right=True, kept=3)]
    if width >= _NARROW or any(row.failed for row in rows):
        columns.append(_Column("failed", failed, right=True, kept=2))
    if width >= _NARROW:
        each = [time_of(row.seconds / row.runs) if row.runs else "" for row in rows]
        columns.append(_Column("each", each, right=True, kept=1))
    header = width >= _NARROW
    left = width - sum(each.width(header=header) + _GAP for each in columns)
    room = min(_BAR, left - _GAP - min(names.width(header=header), left // 2))
    if room >= _BAR_MIN:
        bars = [
            bar([(e.done, "cyan"), (e.failed, "red")], e.total, room, ascii_only=ascii_only)
            for e in rows
        ]
        columns.insert(0, _Column("", bars))
    return _table([names, *columns], width, header=header, left_out=left_out)


def worker_table(mirror: Mirror, width: int, *, ascii_only: bool, most: int) -> Table:
    """A line for each worker, those with most to do first if there are too many."""
    workers = sorted(mirror.workers.values(), key=lambda each: _natural(str(each["name"])))
    left_out = len(workers) - most
    if left_out > 0:
        workers.sort(key=lambda each: (-each["processing"], -each["memory"]))
        workers = workers[:most]
    tasks = [f"{each['processing']:,}/{each['slots']}" for each in workers]
    columns = [
        _Column("worker", [str(each["name"]) for each in workers]),
        _Column("tasks", tasks, right=True, kept=6),
        _Column("cpu", [f"{each['cpu']} %" for each in workers], right=True, kept=4),
        _Column("memory", [size(each["memory"] << 20) for each in workers], right=True, kept=5),
    ]
    if width >= _NARROW:
        columns += [
            _Column("", [_memory(each, ascii_only=ascii_only) for each in workers], kept=1),
            _Column("values", [f"{each['held']:,}" for each in workers], right=True, kept=2),
            _Column("status", [_status(each) for each in workers], kept=3),
        ]
    return _table(columns, width, header=True, left_out=left_out)


def _memory(worker: dict[str, Any], *, ascii_only: bool) -> Text:
    used, limit = worker["memory"], worker["memory_limit"]
    level = used / limit if limit else 0.0
    style = "cyan" if level < 0.6 else "yellow" if level < 0.8 else "red"
    return bar([(used, style)], limit, 12, ascii_only=ascii_only)


def _status(worker: dict[str, Any]) -> Text:
    silent_s = worker["silent_s"]
    status = f"silent {time_of(silent_s)}" if silent_s else str(worker["status"])
    return Text(status, "" if status == "running" else "red")


@dataclass(frozen=True, slots=True)
class _Column:
    """What is below each other; that with the least `kept` goes where there is no room for all."""

    title: str
    cells: Sequence[str | Text]
    right: bool = False
    kept: int = 0

    def width(self, *, header: bool) -> int:
        """What it takes to show all of it."""
        widths = (
            each.cell_len if isinstance(each, Text) else cell_len(each) for each in self.cells
        )
        return max(widths, default=0) if not header else max(len(self.title), *widths, 0)


def _table(columns: list[_Column], width: int, *, header: bool, left_out: int) -> Table:
    """Names are shortened where they are too long, and nothing else is."""
    names, *others = columns
    taken = {each.title: each.width(header=header) for each in others}
    more = f"and {left_out:,} more" if left_out > 0 else ""
    longest = max(names.width(header=header), len(more))
    least = min(longest, max(_NAME_MIN, len(more)))
    while len(others) > 1 and sum(_GAP + taken[e.title] for e in others) + least > width:
        others.remove(min(others, key=lambda each: each.kept))
    left = max(1, width - sum(_GAP + taken[each.title] for each in others))
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=header)
    table.add_column(names.title, overflow="ellipsis", no_wrap=True, width=min(left, longest))
    for each in others:
        justify: Any = "right" if each.right else "left"
        table.add_column(each.title, justify=justify, no_wrap=True, width=taken[each.title])
    for cells in zip(names.cells, *(each.cells for each in others), strict=True):
        table.add_row(*cells)
    if more:
        table.add_row(Text(more, "dim"))
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
