"""Queues: what is put comes out once, in order.

What somebody gets is his when he says that he has it (`took`). If he ends before, or does not want
it any more, it goes back to the front: a message that nobody has read is not lost with its reader.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio_dask.scheduler.coordination.tickets import Ticket


class Sized(Protocol):
    """Something to be put into a queue."""

    @property
    def nbytes(self) -> int:
        """How large it is."""


I = TypeVar("I", bound=Sized)  # noqa: E741 - an item

#: One answer has no more than so many bytes; who wants several items then gets fewer.
ANSWER_BYTES_MAX: Final = 16 << 20


@dataclass(slots=True, eq=False)
class _Getter(Generic[I]):
    want: int
    got: list[I] = field(default_factory=list)
    nbytes: int = 0

    @property
    def full(self) -> bool:
        return len(self.got) >= self.want or self.nbytes >= ANSWER_BYTES_MAX


@dataclass(slots=True, eq=False)
class _Queue(Generic[I]):
    maxsize: int = 0
    items: deque[I] = field(default_factory=deque)
    getters: OrderedDict[Ticket, _Getter[I]] = field(default_factory=OrderedDict)
    putters: OrderedDict[Ticket, I] = field(default_factory=OrderedDict)

    @property
    def idle(self) -> bool:
        """Whether it is the same as none."""
        return not (self.maxsize or self.items or self.getters or self.putters)


@dataclass(slots=True)
class Moves(Generic[I]):
    """What has happened: whose items are in, and who gets which."""

    name: str = ""
    put: list[Ticket] = field(default_factory=list)
    entered: list[I] = field(default_factory=list)  # the items of these
    got: list[tuple[Ticket, list[I]]] = field(default_factory=list)


class Queues(Generic[I]):
    """All queues. One is known while it has a bound, or something is in it or waits for it."""

    def __init__(self) -> None:
        self._all: dict[str, _Queue[I]] = {}
        self._names: dict[Ticket, str] = {}
        self._handed: dict[Ticket, tuple[str, list[I]]] = {}  # "": of a queue that is gone

    def __len__(self) -> int:
        return len(self._all)

    def put(self, ticket: Ticket, name: str, item: I, maxsize: int) -> Moves[I]:
        """Somebody brings an item, which may have to wait for room."""
        found = self._queue(name, maxsize)
        found.putters[ticket] = item
        self._names[ticket] = name
        return self._move(name)

    def get(self, ticket: Ticket, name: str, want: int, maxsize: int) -> Moves[I]:
        """Somebody wants so many items; 0: what is there, at once."""
        found = self._queue(name, maxsize)
        getter = _Getter[I](want or max(1, len(found.items) + len(found.putters)))
        found.getters[ticket] = getter
        self._names[ticket] = name
        moves = self._move(name)
        if not want and ticket in self._names:  # others come first, or it has room to fill
            moves.got.append((ticket, self._hand(name, ticket)))
            self._forget_if_idle(name)
        return moves

    def took(self, ticket: Ticket) -> list[I]:
        """Somebody has what he was given: it is not ours any more."""
        return self._handed.pop(ticket, ("", []))[1]

    def drop(self, ticket: Ticket) -> tuple[Moves[I], list[I]]:
        """The ticket has ended: what has happened, and what is nobody's now.

        What it was given and has not taken goes back to the front; what it waits to put is gone.
        """
        back: list[I] = []
        gone: list[I] = []
        handed = self._handed.pop(ticket, None)
        if handed is not None:
            name, back = handed
            if not name:
                return Moves(), back
        else:
            name = self._names.pop(ticket, "")
            found = self._all.get(name)
            if found is None:
                return Moves(), []
            getter = found.getters.pop(ticket, None)
            if getter is not None:
                back = getter.got
            else:
                gone.append(found.putters.pop(ticket))
        if back:
            found = self._all.setdefault(name, _Queue())
            for getter in islice(found.getters.values(), 1):  # what it has set aside came later
                found.items.extendleft(reversed(getter.got))
                getter.got, getter.nbytes = [], 0
            found.items.extendleft(reversed(back))
        return self._move(name), gone

    def close(self, name: str) -> tuple[list[Ticket], list[I]]:
        """The queue is gone: who has waited in vain, and what was in it."""
        for ticket, (queue, handed) in self._handed.items():
            if queue == name:
                self._handed[ticket] = "", handed
        found = self._all.pop(name, None)
        if found is None:
            return [], []
        waiting = [*found.getters, *found.putters]
        for ticket in waiting:
            del self._names[ticket]
        items = [item for getter in found.getters.values() for item in getter.got]
        return waiting, [*items, *found.items, *found.putters.values()]

    def handed(self, ticket: Ticket) -> list[I] | None:
        """What a ticket was given and has not taken; None: nothing was given to it."""
        found = self._handed.get(ticket)
        return None if found is None else found[1]

    def collected(self, name: str, ticket: Ticket) -> list[I]:
        """What is set aside for one who waits for more."""
        return self._all[name].getters[ticket].got

    def waits(self, ticket: Ticket) -> bool:
        """Whether a ticket waits."""
        return ticket in self._names

    def size(self, name: str) -> int:
        """How many items are in it."""
        found = self._all.get(name)
        return len(found.items) if found is not None else 0

    def describe(self, name: str) -> tuple[int, int, list[Ticket], list[Ticket]]:
        """How many items are in it and how many may be; who waits for some, and who for room."""
        found = self._all[name]
        return len(found.items), found.maxsize, list(found.getters), list(found.putters)

    def bound(self, name: str) -> int:
        """How many items may be in it; 0: it has no bound."""
        found = self._all.get(name)
        return found.maxsize if found is not None else 0

    def items(self, name: str) -> list[I]:
        """What is in it."""
        return list(self._all[name].items)

    def lent(self, name: str) -> list[I]:
        """What was given out of it and is not taken."""
        return [item for queue, items in self._handed.values() if queue == name for item in items]

    # ------------------------------------------------------------ made anew

    def restore(self, name: str, items: Iterable[I], maxsize: int) -> None:
        """These are in it, after all that are."""
        self._queue(name, maxsize).items.extend(items)
        self._forget_if_idle(name)

    def hand_again(self, ticket: Ticket, name: str, wanted: Callable[[I], bool]) -> list[I]:
        """A ticket was given some of what is in it, and has not taken it."""
        found = self._all.get(name)
        items = [item for item in found.items if wanted(item)] if found is not None else []
        if found is not None and items:
            found.items = deque(item for item in found.items if not wanted(item))
            self._handed[ticket] = name, items
            self._forget_if_idle(name)
        return items

    def names(self) -> Iterable[str]:
        """All that there are."""
        return self._all.keys()

    def waited_for(self, ticket: Ticket) -> list[str]:
        """What a ticket waits for."""
        name = self._names.get(ticket)
        return [] if name is None else [name]

    def _queue(self, name: str, maxsize: int) -> _Queue[I]:
        found = self._all.get(name)
        if found is None:
            found = self._all[name] = _Queue()
        if maxsize and not found.maxsize:
            found.maxsize = maxsize
        return found

    def _move(self, name: str) -> Moves[I]:
        """Let in what has room, and hand out what is wanted, until nothing moves."""
        moves, found = Moves[I](name), self._all.get(name)
        while found is not None:
            if found.putters and (not found.maxsize or len(found.items) < found.maxsize):
                ticket, item = found.putters.popitem(last=False)
                del self._names[ticket]
                found.items.append(item)
                moves.put.append(ticket)
                moves.entered.append(item)
            elif found.getters and found.items:
                ticket, getter = next(iter(found.getters.items()))
                item = found.items.popleft()
                getter.got.append(item)
                getter.nbytes += item.nbytes
                if getter.full:
                    moves.got.append((ticket, self._hand(name, ticket)))
            else:
                break
        self._forget_if_idle(name)
        return moves

    def _hand(self, name: str, ticket: Ticket) -> list[I]:
        getter = self._all[name].getters.pop(ticket)
        del self._names[ticket]
        self._handed[ticket] = name, getter.got
        return getter.got

    def _forget_if_idle(self, name: str) -> None:
        found = self._all.get(name)
        if found is not None and found.idle:
            del self._all[name]
