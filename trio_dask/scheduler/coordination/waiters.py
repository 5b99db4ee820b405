"""Who waits for something under a name: in the order in which they came, each for one name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_dask.scheduler.coordination.tickets import Ticket


class Waiters:
    """Tickets by what they wait for. A name is in here while somebody waits for it."""

    def __init__(self) -> None:
        self._tickets: dict[str, dict[Ticket, None]] = {}
        self._names: dict[Ticket, str] = {}

    def __len__(self) -> int:
        return len(self._tickets)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tickets)

    def __contains__(self, ticket: object) -> bool:
        return ticket in self._names

    def add(self, ticket: Ticket, name: str) -> None:
        """Somebody waits from now on."""
        self._tickets.setdefault(name, {})[ticket] = None
        self._names[ticket] = name

    def drop(self, ticket: Ticket) -> None:
        """Nobody waits with this ticket any more."""
        name = self._names.pop(ticket, None)
        if name is not None:
            del self._tickets[name][ticket]
            if not self._tickets[name]:
                del self._tickets[name]

    def release(self, name: str) -> list[Ticket]:
        """It is there: those who have waited for it, and do not any more."""
        waited = list(self._tickets.pop(name, ()))
        for ticket in waited:
            del self._names[ticket]
        return waited

    def of(self, name: str) -> list[Ticket]:
        """Who waits for it."""
        return list(self._tickets.get(name, ()))

    def waited_for(self, ticket: Ticket) -> list[str]:
        """What a ticket waits for."""
        name = self._names.get(ticket)
        return [] if name is None else [name]
