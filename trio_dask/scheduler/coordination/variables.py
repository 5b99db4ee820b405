"""Variables: one value under a name, for whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.scheduler.coordination.tickets import Ticket

I = TypeVar("I")  # noqa: E741 - an item


class Variables(Generic[I]):
    """All variables. One is known while it has a value, or somebody waits for one."""

    def __init__(self) -> None:
        self._values: dict[str, I] = {}
        self._waiting: dict[str, dict[Ticket, None]] = {}
        self._names: dict[Ticket, str] = {}

    def __len__(self) -> int:
        return len(self._values) + len(self._waiting)

    def ask(self, ticket: Ticket, name: str) -> I | None:
        """Somebody wants the value: here it is, or he waits until there is one."""
        if name in self._values:
            return self._values[name]
        self._waiting.setdefault(name, {})[ticket] = None
        self._names[ticket] = name
        return None

    def drop(self, ticket: Ticket) -> None:
        """Nobody waits with this ticket any more."""
        name = self._names.pop(ticket, None)
        if name is not None:
            del self._waiting[name][ticket]
            if not self._waiting[name]:
                del self._waiting[name]

    def set(self, name: str, item: I) -> tuple[I | None, list[Ticket]]:
        """It has this value: the one it had before, and who has waited for one."""
        before = self._values.get(name)
        self._values[name] = item
        waited = list(self._waiting.pop(name, ()))
        for ticket in waited:
            del self._names[ticket]
        return before, waited

    def delete(self, name: str) -> I | None:
        """It has no value any more: the one it had."""
        return self._values.pop(name, None)

    def get(self, name: str) -> I | None:
        """The value, if there is one."""
        return self._values.get(name)

    def waits(self, ticket: Ticket) -> bool:
        """Whether a ticket waits."""
        return ticket in self._names

    def waiting(self, name: str) -> list[Ticket]:
        """Who waits for a value."""
        return list(self._waiting.get(name, ()))

    def names(self) -> Iterable[str]:
        """All that have a value, or are waited for."""
        return dict.fromkeys((*self._values, *self._waiting))

    def waited_for(self, ticket: Ticket) -> list[str]:
        """What a ticket waits for."""
        name = self._names.get(ticket)
        return [] if name is None else [name]
