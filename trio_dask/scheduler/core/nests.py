"""What a client inside a running task has beyond others: an owner, a place, ids of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Final

from trio_dask.messages.ids import CLIENT_MAX, client_of, first_id
from trio_dask.scheduler.core.misuse import Misuse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.messages.nested import Numbers
    from trio_dask.scheduler.core.state import Client, ClusterState, Worker

#: The priority that users may give, in either direction.
PRIORITY_MAX: Final = 1 << 17
#: Ranks: the priority, then how deep inside other tasks, then the order of submission.
ORDER_BITS: Final = 44
_DEPTH_BIT: Final = 34
_DEPTH_MAX: Final = (1 << (ORDER_BITS - 1 - _DEPTH_BIT)) - 1
#: A number of which so many ids are used is not used again.
_USED_UP: Final = 1 << 39
#: So many numbers a worker may have that no client of its tasks has.
NUMBERS_MAX: Final = 4096


def urgency(rank: int) -> int:
    """The priority and depth in a rank, the most urgent first; without the order of submission."""
    return rank >> _DEPTH_BIT


@dataclass(slots=True, eq=False)
class Nest:
    """The attempt that a client belongs to, and what the client has made."""

    worker: Worker
    attempt: int
    priority: int  # of the task
    depth: int  # of what it submits: inside so many tasks
    first: int  # ids below belonged to those that had the client's number before
    top: int  # the lowest id that was not used
    made: list[tuple[int, int]] = field(default_factory=list)  # tasks: first id, how many

    def use(self, first: int, count: int = 1) -> bool:
        """Note ids that the client gives; whether they are its own."""
        if first < self.first:
            return False
        self.top = max(self.top, first + count)
        return True

    def make(self, first: int, count: int = 1) -> bool:
        """Note tasks that the client makes; whether their ids are its own."""
        if not self.use(first, count):
            return False
        if self.made and sum(self.made[-1]) == first:
            begun, before = self.made[-1]
            self.made[-1] = begun, before + count
        else:
            self.made.append((first, count))
        return True

    def tids(self) -> Iterable[int]:
        """All tasks that it has made."""
        return chain.from_iterable(range(first, first + count) for first, count in self.made)

    def rank(self, rank: int) -> int:
        """The rank of what the task submits, from the one that it would have if a user did.

        The task waits for it: so it has the task's priority, and its own on top, and goes
        before all of that priority that was submitted further outside. What is deepest
        comes first: so tasks end, and few of them wait at a time.
        """
        own = -(rank >> ORDER_BITS)
        order = rank + (own << ORDER_BITS)
        both = max(-PRIORITY_MAX, min(own + self.priority, PRIORITY_MAX))
        return (-both << ORDER_BITS) + order - (self.depth << _DEPTH_BIT)


def nest_of(worker: Worker, attempt: int, rank: int, first: int) -> Nest:
    """What belongs to the client of an attempt at a task of this rank."""
    urgency = (rank + (1 << (ORDER_BITS - 1))) >> ORDER_BITS
    order = rank - (urgency << ORDER_BITS)
    depth = max(0, -(order >> _DEPTH_BIT))
    return Nest(worker, attempt, -urgency, min(depth + 1, _DEPTH_MAX), first, first)


def part_with_numbers(state: ClusterState, worker: Worker) -> None:
    """The worker is gone. If it left as it was to, the numbers that it has not used are for others.

    Else it may live, and come back: its numbers, used or not, are not for others. Nor are
    those that it had from an earlier scheduler: nobody knows which of them it has used.
    """
    if worker.draining is not None and worker.draining.over:
        foreign = state.reunion.numbers
        unused = [each for each in worker.numbers.items() if each[0] not in foreign]
        state.numbers.update(unused)
    else:
        for client in worker.nested.values():
            if client.nest is not None:
                client.nest.top = first_id(client.number) + _USED_UP
    worker.numbers.clear()


def keep_numbers(state: ClusterState, worker: Worker, message: Numbers) -> None:
    """A worker that is back has been given numbers: those that it has not used are its own.

    Others may tell of the same, if each but the last has used it.
    """
    worker.numbers.update(zip(message.numbers, message.firsts, strict=True))
    state.reunion.numbers.update(dict.fromkeys(message.numbers))
    state.clients_ever = max(state.clients_ever, *message.numbers, 0)


def check_numbers(message: Numbers) -> None:
    """Whether there can be such numbers.

    Raises:
        Misuse: there cannot.
    """
    rows = zip(message.numbers, message.firsts, strict=True)
    if len(message.numbers) > NUMBERS_MAX // 2 or not all(
        0 < number <= CLIENT_MAX and client_of(first) == number for number, first in rows
    ):
        raise Misuse("numbers for clients of tasks that cannot be")


def give_back(state: ClusterState, client: Client, nest: Nest) -> None:
    """The client is gone: another one may have its number."""
    if nest.worker.nested.get(nest.attempt) is client:
        del nest.worker.nested[nest.attempt]
    if nest.top - first_id(client.number) < _USED_UP:
        state.numbers[client.number] = nest.top
