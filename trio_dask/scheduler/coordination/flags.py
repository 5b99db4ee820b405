"""Events: something has happened, or has not yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.scheduler.coordination.waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.scheduler.coordination.tickets import Ticket


class Flags:
    """All events. One is known while it is set, or somebody waits for it."""

    def __init__(self) -> None:
        self._set: dict[str, float] = {}  # and since when
        self._waiters = Waiters()
        self.drop = self._waiters.drop
        self.waiting = self._waiters.of
        self.waited_for = self._waiters.waited_for

    def __len__(self) -> int:
        return len(self._set) + len(self._waiters)

    def ask(self, ticket: Ticket, name: str) -> list[Ticket]:
        """Somebody waits until it is set; those who need not any more: this one, or nobody."""
        if name in self._set:
            return [ticket]
        self._waiters.add(ticket, name)
        return []

    def set(self, name: str, now: float) -> list[Ticket]:
        """It has happened; those who have waited for it."""
        self._set.setdefault(name, now)
        return self._waiters.release(name)

    def clear(self, name: str) -> None:
        """It has not happened yet."""
        self._set.pop(name, None)

    def is_set(self, name: str) -> bool:
        """Whether it has happened."""
        return name in self._set

    def since(self, name: str) -> float | None:
        """When it was set; None: it is not."""
        return self._set.get(name)

    def names(self) -> Iterable[str]:
        """All that are set or waited for."""
        return dict.fromkeys((*self._set, *self._waiters))
