"""Variables: one value under a name, for whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from trio_dask.scheduler.coordination.waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.scheduler.coordination.tickets import Ticket

I = TypeVar("I")  # noqa: E741 - an item


class Variables(Generic[I]):
    """All variables. One is known while it has a value, or somebody waits for one."""

    def __init__(self) -> None:
        self._values: dict[str, I] = {}
        self._waiters = Waiters()
        self.drop = self._waiters.drop
        self.waiting = self._waiters.of
        self.waited_for = self._waiters.waited_for
        self.waits = self._waiters.__contains__

    def __len__(self) -> int:
        return len(self._values) + len(self._waiters)

    def ask(self, ticket: Ticket, name: str) -> I | None:
        """Somebody wants the value: here it is, or he waits until there is one."""
        if name in self._values:
            return self._values[name]
        self._waiters.add(ticket, name)
        return None

    def set(self, name: str, item: I) -> tuple[I | None, list[Ticket]]:
        """It has this value: the one it had before, and who has waited for one."""
        before = self._values.get(name)
        self._values[name] = item
        return before, self._waiters.release(name)

    def delete(self, name: str) -> I | None:
        """It has no value any more: the one it had."""
        return self._values.pop(name, None)

    def get(self, name: str) -> I | None:
        """The value, if there is one."""
        return self._values.get(name)

    def names(self) -> Iterable[str]:
        """All that have a value, or are waited for."""
        return dict.fromkeys((*self._values, *self._waiters))
