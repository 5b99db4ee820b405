"""Locks: a name that one has at a time; and some of several names at once.

A request stands in the line of each of its names from the start. It has its turn when it is the
first in as many of them as it needs; then it leaves the other lines. So all lines have the order
in which requests came, nobody is overtaken in any of them, and requests cannot wait for each other
in a circle.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.scheduler.coordination.tickets import Ticket


@dataclass(slots=True, eq=False)
class _Request:
    names: tuple[str, ...]
    need: int
    since: float
    held: bool = False
    partly: bool = False  # it was about more names than it has got


class Locks:
    """All locks. A name is known while somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._requests: dict[Ticket, _Request] = {}
        self._lines: dict[str, OrderedDict[Ticket, None]] = {}
        self.shut = False  # nobody has a turn

    def __len__(self) -> int:
        return len(self._lines)

    def ask(self, ticket: Ticket, names: Iterable[str], need: int, now: float) -> list[Ticket]:
        """Somebody wants `need` of these names; who has a turn now: this one, or nobody."""
        request = _Request(tuple(dict.fromkeys(names)), need, now)
        self._requests[ticket] = request
        for name in request.names:
            self._lines.setdefault(name, OrderedDict())[ticket] = None
        return self._turns(request.names, now)

    def drop(self, ticket: Ticket, now: float) -> list[Ticket]:
        """The ticket is given back, or nobody waits with it; who has a turn now."""
        request = self._requests.pop(ticket, None)
        if request is None:
            return []
        for name in request.names:
            self._leave(name, ticket)
        return self._turns(request.names, now)

    def restore(self, ticket: Ticket, names: Iterable[str], now: float) -> bool:
        """A ticket has had these names before, and has them still; unless others have some."""
        names = tuple(dict.fromkeys(names))
        if ticket in self._requests or any(self.holder(name) is not None for name in names):
            return False
        self._requests[ticket] = _Request(names, len(names), now, held=True)
        for name in names:
            line = self._lines.setdefault(name, OrderedDict())
            line[ticket] = None
            line.move_to_end(ticket, last=False)
        return True

    def open(self, now: float) -> list[Ticket]:
        """There are turns again; who has one."""
        self.shut = False
        return self._turns(list(self._lines), now)

    def part(self, ticket: Ticket) -> list[str]:
        """The names that a ticket has, if it has asked for more."""
        request = self._requests.get(ticket)
        return list(request.names) if request is not None and request.partly else []

    def holds(self, ticket: Ticket) -> bool:
        """Whether it has had its turn."""
        request = self._requests.get(ticket)
        return request is not None and request.held

    def holder(self, name: str) -> Ticket | None:
        """Who has the name."""
        line = self._lines.get(name)
        first = next(iter(line)) if line else None
        return first if first is not None and self._requests[first].held else None

    def describe(self, name: str) -> tuple[list[tuple[Ticket, float]], list[Ticket]]:
        """Who has the name and since when, and who waits for it, in order."""
        line = list(self._lines.get(name, ()))
        holder = self.holder(name)
        if holder is None:
            return [], line
        return [(holder, self._requests[holder].since)], line[1:]

    def names(self) -> Iterable[str]:
        """All names that are held or waited for."""
        return self._lines.keys()

    def waited_for(self, ticket: Ticket) -> list[str]:
        """The names that a ticket waits for."""
        request = self._requests.get(ticket)
        return [] if request is None or request.held else list(request.names)

    def _leave(self, name: str, ticket: Ticket) -> None:
        line = self._lines[name]
        del line[ticket]
        if not line:
            del self._lines[name]

    def _turns(self, names: Iterable[str], now: float) -> list[Ticket]:
        """Who has a turn after the lines of these names have changed."""
        granted: list[Ticket] = []
        changed = [] if self.shut else list(names)
        while changed:
            line = self._lines.get(changed.pop())
            if not line:
                continue
            ticket = next(iter(line))
            request = self._requests[ticket]
            if request.held:
                continue
            first_in = [name for name in request.names if next(iter(self._lines[name])) == ticket]
            if len(first_in) < request.need:
                continue
            kept = tuple(first_in[: request.need])
            others = [name for name in request.names if name not in kept]
            for name in others:
                self._leave(name, ticket)
            request.names, request.held, request.since = kept, True, now
            request.partly = bool(others)
            granted.append(ticket)
            changed += others
        return granted
