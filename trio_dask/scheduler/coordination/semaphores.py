"""Semaphores: so many have it at a time."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trio_dask.scheduler.coordination.tickets import Refusal, Ticket

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(slots=True, eq=False)
class _Semaphore:
    limit: int
    held: dict[Ticket, float] = field(default_factory=dict)  # and since when
    line: OrderedDict[Ticket, None] = field(default_factory=OrderedDict)


class Semaphores:
    """All semaphores. One is known while somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._all: dict[str, _Semaphore] = {}
        self._names: dict[Ticket, str] = {}
        self.shut = False  # nobody has a turn

    def __len__(self) -> int:
        return len(self._all)

    def ask(self, ticket: Ticket, name: str, limit: int, now: float) -> list[Ticket]:
        """Somebody wants a lease; who has a turn now: this one, or nobody.

        Raises:
            Refusal: it is in use with another limit.
        """
        found = self._all.get(name)
        if found is None:
            found = self._all[name] = _Semaphore(limit)
        elif found.limit != limit:
            msg = f"semaphore {name!r} is in use with max_leases={found.limit}, not {limit}"
            raise Refusal(msg)
        self._names[ticket] = name
        found.line[ticket] = None
        return self._turns(name, now)

    def drop(self, ticket: Ticket, now: float) -> list[Ticket]:
        """The lease is given back, or nobody waits for it; who has a turn now."""
        name = self._names.pop(ticket, None)
        if name is None:
            return []
        found = self._all[name]
        found.held.pop(ticket, None)
        found.line.pop(ticket, None)
        return self._turns(name, now)

    def close(self, name: str) -> list[Ticket]:
        """Nobody holds it any more; who has waited in vain."""
        found = self._all.pop(name, None)
        if found is None:
            return []
        for ticket in (*found.held, *found.line):
            del self._names[ticket]
        return list(found.line)

    def restore(self, ticket: Ticket, name: str, limit: int, now: float) -> bool:
        """A ticket has had a lease before, and has it still; unless there are too many."""
        found = self._all.get(name)
        if ticket in self._names or (found is not None and not self._fits(found, limit)):
            return False
        if found is None:
            found = self._all[name] = _Semaphore(limit)
        self._names[ticket] = name
        found.held[ticket] = now
        return True

    def open(self, now: float) -> list[Ticket]:
        """There are turns again; who has one."""
        self.shut = False
        return [ticket for name in list(self._all) for ticket in self._turns(name, now)]

    @staticmethod
    def _fits(found: _Semaphore, limit: int) -> bool:
        return found.limit == limit and len(found.held) < limit

    def holds(self, ticket: Ticket) -> bool:
        """Whether it has had its turn."""
        name = self._names.get(ticket)
        return name is not None and ticket in self._all[name].held

    def value(self, name: str) -> int:
        """How many leases are held."""
        found = self._all.get(name)
        return len(found.held) if found is not None else 0

    def limit(self, name: str) -> int:
        """How many may be; 0: it is not in use."""
        found = self._all.get(name)
        return found.limit if found is not None else 0

    def describe(self, name: str) -> tuple[list[tuple[Ticket, float]], list[Ticket]]:
        """Who holds it and since when, and who waits, in order."""
        found = self._all.get(name)
        return ([], []) if found is None else (list(found.held.items()), list(found.line))

    def names(self) -> Iterable[str]:
        """All that are in use."""
        return self._all.keys()

    def waited_for(self, ticket: Ticket) -> list[str]:
        """What a ticket waits for."""
        name = self._names.get(ticket)
        return [] if name is None or ticket in self._all[name].held else [name]

    def _turns(self, name: str, now: float) -> list[Ticket]:
        found, granted = self._all[name], list[Ticket]()
        while found.line and len(found.held) < found.limit and not self.shut:
            ticket, _ = found.line.popitem(last=False)
            found.held[ticket] = now
            granted.append(ticket)
        if not found.held and not found.line:
            del self._all[name]
        return granted
