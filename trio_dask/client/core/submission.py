"""Tasks on their way out: single calls gathered, large maps cut into messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.tasks import Submit

if TYPE_CHECKING:
    from collections.abc import Iterator

TASKS_MAX: Final = 10_000
BYTES_MAX: Final = 2 << 20
#: Calls with deadlines that are so near each other may have the same one.
TOGETHER_S: Final = 0.01


@dataclass(slots=True)
class Rows:
    """Descriptions of tasks that are submitted together: pickled, in order.

    `dep_counts` is empty when no task has inputs, `keys` when the user chose none.
    `stored` are values that were put for their sake, and are nobody's once they are submitted.
    """

    args: list[bytes] = field(default_factory=list)
    dep_counts: list[int] = field(default_factory=list)
    dep_tids: list[int] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    stored: list[int] = field(default_factory=list)


class OpenSubmit:
    """The submission that following calls join, while they fit to it."""

    __slots__ = ("_fids", "_first", "_nbytes", "_options", "_rows")

    def __init__(self, first: int, options: dict[str, Any]) -> None:
        self._first = first
        self._options = options
        self._fids: list[int] = []
        self._rows = Rows()
        self._nbytes = 0

    def fits(self, first: int, options: dict[str, Any], rows: Rows) -> bool:
        """Whether tasks from id `first` with these options can follow."""
        return (
            first == self._first + len(self._fids)
            and _are_alike(options, self._options)
            and len(self._fids) + len(rows.args) <= TASKS_MAX
            and self._nbytes < BYTES_MAX
        )

    def add(self, fid: int, rows: Rows, options: dict[str, Any]) -> None:
        """Add tasks that fit."""
        if "deadline" in options:
            self._options = options  # it is the later one
        mine, begun, count = self._rows, len(self._fids), len(rows.args)
        if rows.dep_counts and not mine.dep_counts:
            mine.dep_counts = [0] * begun
        if mine.dep_counts or rows.dep_counts:
            mine.dep_counts += rows.dep_counts or [0] * count
            mine.dep_tids += rows.dep_tids
        mine.keys += rows.keys
        mine.args += rows.args
        self._fids += [fid] * count
        self._nbytes += sum(map(len, rows.args))

    def close(self) -> Iterator[Submit]:
        """What is to be sent."""
        fids = self._fids
        if fids.count(fids[0]) == len(fids):
            fids = fids[:1]
        return cut(self._first, fids, self._rows, self._options)

    @property
    def has_keys(self) -> bool:
        """Whether the user chose the keys of these tasks."""
        return bool(self._rows.keys)


def _are_alike(later: dict[str, Any], options: dict[str, Any]) -> bool:
    """Whether the options of a later call are the same; deadlines need not quite be."""
    if "deadline" not in later or "deadline" not in options:
        return later == options
    near = 0 <= later["deadline"] - options["deadline"] <= TOGETHER_S
    near = near and abs(later.get("asked", 0.0) - options.get("asked", 0.0)) <= TOGETHER_S
    return near and {**later, "deadline": 0.0, "asked": 0.0} == {
        **options, "deadline": 0.0, "asked": 0.0
    }  # fmt: skip


def cut(first: int, fids: list[int], rows: Rows, options: dict[str, Any]) -> Iterator[Submit]:
    """Messages of a convenient size for these tasks."""
    args = rows.args
    start = dep_start = 0
    while start < len(args):
        stop = _stop(args, start)
        counts = rows.dep_counts[start:stop]
        dep_stop = dep_start + sum(counts)
        yield Submit(
            first=first + start,
            fids=fids if len(fids) == 1 else fids[start:stop],
            args=args[start:stop],
            dep_counts=counts,
            dep_tids=rows.dep_tids[dep_start:dep_stop],
            keys=rows.keys[start:stop],
            orders=[],
            wanted=True,
            options=options,
        )
        start, dep_start = stop, dep_stop


def _stop(args: list[bytes], start: int) -> int:
    stop = min(start + TASKS_MAX, len(args))
    nbytes = sum(map(len, args[start:stop]))
    if nbytes <= BYTES_MAX:
        return stop
    nbytes = 0
    for row in range(start, stop):
        nbytes += len(args[row])
        if nbytes > BYTES_MAX:
            return max(row, start + 1)
    return stop
