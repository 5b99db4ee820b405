"""Events: something has happened, or has not yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.scheduler.coordination.tickets import Ticket


class Flags:
    """All events. One is known while it is set, or somebody waits for it."""

    def __init__(self) -> None:
        self._set: dict[str, float] = {}  # and since when
        self._waiting: dict[str, dict[Ticket, None]] = {}
        self._names: dict[Ticket, str] = {}

    def __len__(self) -> int:
        return len(self._set) + len(self._waiting)

    def ask(self, ticket: Ticket, name: str) -> list[Ticket]:
        """Somebody waits until it is set; those who need not any more: this one, or nobody."""
        if name in self._set:
            return [ticket]
        self._waiting.setdefault(name, {})[ticket] = None
        self._names[ticket] = name
        return []

    def drop(self, ticket: Ticket) -> None:
        """Nobody waits with this ticket any more."""
        name = self._names.pop(ticket, None)
        if name is not None:
            del self._waiting[name][ticket]
            if not self._waiting[name]:
                del self._waiting[name]

    def set(self, name: str, now: float) -> list[Ticket]:
        """It has happened; those who have waited for it."""
        self._set.setdefault(name, now)
        waited = list(self._waiting.pop(name, ()))
        for ticket in waited:
            del self._names[ticket]
        return waited

    def clear(self, name: str) -> None:
        """It has not happened yet."""
        self._set.pop(name, None)

    def is_set(self, name: str) -> bool:
        """Whether it has happened."""
        return name in self._set

    def since(self, name: str) -> float | None:
        """When it was set; None: it is not."""
        return self._set.get(name)

    def waiting(self, name: str) -> list[Ticket]:
        """Who waits for it."""
        return list(self._waiting.get(name, ()))

    def names(self) -> Iterable[str]:
        """All that are set or waited for."""
        return dict.fromkeys((*self._set, *self._waiting))

    def waited_for(self, ticket: Ticket) -> list[str]:
        """What a ticket waits for."""
        name = self._names.get(ticket)
        return [] if name is None else [name]
