"""The other end of the stream of events: what a reader knows of the cluster. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from trio_dask.dashboard.view import GROUP_COLUMNS, WORKER_COLUMNS, WORKER_FIXED

if TYPE_CHECKING:
    from collections.abc import Mapping

_BLOCKS_MAX: Final = 50_000


@dataclass(slots=True)
class Event:
    """One event of a stream of server-sent events."""

    kind: str
    id: str
    data: Any


class Lines:
    """Lines of a stream of server-sent events in, events out.

    >>> lines = Lines()
    >>> [lines.take(line) for line in ("id: 4", "event: delta", 'data: {"t": 1}')]
    [None, None, None]
    >>> lines.take("")
    Event(kind='delta', id='4', data={'t': 1})
    """

    def __init__(self) -> None:
        self._kind = self._id = ""
        self._data: list[str] = []

    def take(self, line: str) -> Event | None:
        """One line, without its end. An event if that was its last.

        Raises:
            ValueError: that is no event of ours.
        """
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                self._kind = value
            elif name == "id":
                self._id = value
            elif name == "data":
                self._data.append(value)
            return None
        if not self._data:
            return None
        event = Event(self._kind or "message", self._id, json.loads("\n".join(self._data)))
        self._kind, self._data = "", []
        return event


@dataclass(slots=True)
class Mirror:
    """The cluster as the stream tells it."""

    ready: bool = False
    t: float = 0.0
    identity: dict[str, Any] = field(default_factory=dict)
    totals: dict[str, Any] = field(default_factory=dict)
    #: By number, each with its columns by name.
    workers: dict[int, dict[str, Any]] = field(default_factory=dict)
    groups: dict[int, dict[str, Any]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    #: Tasks that have ended, if somebody wants them.
    blocks: list[list[Any]] = field(default_factory=list)
    history: list[list[Any]] = field(default_factory=list)

    def take(self, event: Event, *, blocks: bool = False) -> None:
        """What has been told; with `blocks` also which tasks have ended when."""
        data = event.data
        if event.kind == "snapshot":
            self._begin_anew(data)
        self.t = data.get("t", self.t)
        if event.kind == "beat":
            return
        self.totals |= data.get("totals", {})
        self.names |= _numbered(data.get("names", {}))
        self._take_workers(data.get("workers", {}))
        self._take_groups(data.get("groups", {}))
        if blocks:
            since = self._blocks_until if event.kind == "snapshot" else -1.0
            self.blocks += [row for row in data.get("blocks", []) if row[2] > since]
            del self.blocks[:-_BLOCKS_MAX]

    @property
    def _blocks_until(self) -> float:
        """The past that is known already."""
        return max((row[2] for row in self.blocks), default=-1.0)

    def _begin_anew(self, data: dict[str, Any]) -> None:
        self.ready = True
        self.identity, self.history = data.get("identity", {}), data.get("history", [])
        for table in (self.totals, self.workers, self.groups):
            table.clear()

    def _take_workers(self, part: dict[str, Any]) -> None:
        for number in part.get("gone", ()):
            self.workers.pop(int(number), None)
        for number, row in _numbered(part.get("new", {})).items():
            known = self.workers.setdefault(number, dict.fromkeys(WORKER_COLUMNS, 0))
            known |= zip(WORKER_FIXED, row, strict=False)
        for number, row in _numbered(part.get("set", {})).items():
            if number in self.workers:
                self.workers[number] |= zip(WORKER_COLUMNS, row, strict=False)

    def _take_groups(self, part: dict[str, Any]) -> None:
        for number in part.get("gone", ()):
            self.groups.pop(int(number), None)
        self.names |= _numbered(part.get("new", {}))
        for number, row in _numbered(part.get("set", {})).items():
            group = self.groups.setdefault(number, {"name": self.names.get(number, "?")})
            group |= zip(GROUP_COLUMNS, row, strict=False)

    def progress(self) -> list[Progress]:
        """Functions in the order in which they came, with what is done and what is not."""
        found = [Progress.of(group) for _, group in sorted(self.groups.items())]
        return [each for each in found if each.total]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the tasks of a function are."""

    name: str
    done: int
    failed: int
    pending: int
    runs: int
    seconds: float

    @property
    def total(self) -> int:
        """All of them."""
        return self.done + self.failed + self.pending

    @classmethod
    def of(cls, group: Mapping[str, Any]) -> Progress:
        """Of a row of the stream; what has run and been forgotten counts as done."""
        pending = sum(group.get(each, 0) for each in ("waiting", "ready", "assigned"))
        failed = sum(group.get(each, 0) for each in ("failed", "cancelled", "lost"))
        here, runs = group.get("done", 0) + failed, group.get("runs", 0)
        done = group.get("done", 0) + max(0, runs - here)
        return cls(group["name"], done, failed, pending, runs, group.get("seconds", 0.0))


def _numbered(table: Mapping[str, Any]) -> dict[int, Any]:
    return {int(number): row for number, row in table.items()}
