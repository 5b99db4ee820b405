"""The machines of coordination by themselves: whatever happens in whatever order."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from trio_dask.scheduler.coordination import (
    Flags,
    Locks,
    Queues,
    Refusal,
    Semaphores,
    Ticket,
    Variables,
)
from trio_dask.scheduler.coordination.queues import ANSWER_BYTES_MAX

NAMES = st.sampled_from("abc")


class LocksMachine(RuleBasedStateMachine):
    """Somebody asks for some of the locks, somebody gives his back or does not wait any more."""

    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.locks = Locks()
        self.numbers = count()
        self.need: dict[Ticket, int] = {}
        self.held: set[Ticket] = set()

    @rule(target=tickets, names=st.lists(NAMES, min_size=1, unique=True), data=st.data())
    def ask(self, names: list[str], data: st.DataObject) -> Ticket:
        """For any number of them."""
        ticket = Ticket(1, next(self.numbers))
        self.need[ticket] = data.draw(st.integers(1, len(names)))
        granted = self.locks.ask(ticket, names, self.need[ticket], 0.0)
        assert granted in ([], [ticket])
        self.held.update(granted)
        return ticket

    @rule(ticket=tickets)
    def drop(self, ticket: Ticket) -> None:
        """Held, waited for, or over long ago."""
        granted = self.locks.drop(ticket, 0.0)
        assert not self.held & set(granted)
        self.held.discard(ticket)
        self.need.pop(ticket, None)
        self.held.update(granted)

    @invariant()
    def each_name_has_one_holder_and_nobody_waits_for_nothing(self) -> None:
        """And in each line those who came first are first."""
        has = dict.fromkeys(self.need, 0)
        first = dict.fromkeys(self.need, 0)
        for name in self.locks.names():
            held, line = self.locks.describe(name)
            assert line == sorted(line)
            for ticket, _ in held:
                has[ticket] += 1
            if not held:
                first[line[0]] += 1
        for ticket, need in self.need.items():
            assert self.locks.holds(ticket) == (ticket in self.held)
            if ticket in self.held:
                assert has[ticket] == need
            else:
                assert first[ticket] < need, "it could have had its turn"

    def teardown(self) -> None:
        """When all give back what they have, all have had a turn, and nothing is left."""
        while self.held:
            self.drop(min(self.held))
        assert not self.need
        assert not len(self.locks)


class SemaphoresMachine(RuleBasedStateMachine):
    """Leases are asked for, given back, and lost."""

    tickets = Bundle("tickets")
    limits: ClassVar = {"a": 1, "b": 2, "c": 3}

    def __init__(self) -> None:
        super().__init__()
        self.semaphores = Semaphores()
        self.numbers = count()
        self.held: dict[str, list[Ticket]] = {name: [] for name in self.limits}
        self.line: dict[str, list[Ticket]] = {name: [] for name in self.limits}

    def turns(self, name: str, granted: list[Ticket]) -> None:
        """These have a turn: the first of the line."""
        assert granted == self.line[name][: len(granted)]
        self.held[name] += granted
        del self.line[name][: len(granted)]

    @rule(target=tickets, name=NAMES)
    def ask(self, name: str) -> Ticket:
        """For one more lease."""
        ticket = Ticket(1, next(self.numbers))
        self.line[name].append(ticket)
        self.turns(name, self.semaphores.ask(ticket, name, self.limits[name], 0.0))
        return ticket

    @rule(ticket=tickets)
    def drop(self, ticket: Ticket) -> None:
        """Held, waited for, or over long ago."""
        granted = self.semaphores.drop(ticket, 0.0)
        for name in self.limits:
            for where in (self.held[name], self.line[name]):
                if ticket in where:
                    where.remove(ticket)
                    self.turns(name, granted)

    @rule(name=NAMES)
    def close(self, name: str) -> None:
        """Nobody has anything of it then."""
        assert self.semaphores.close(name) == self.line[name]
        self.held[name], self.line[name] = [], []

    @rule(name=NAMES)
    def ask_with_another_limit(self, name: str) -> None:
        """Refused as long as it is in use."""
        if self.held[name]:
            with pytest.raises(Refusal, match="is in use with max_leases"):
                self.semaphores.ask(Ticket(2, next(self.numbers)), name, 7, 0.0)

    @invariant()
    def as_many_as_may_have_it(self) -> None:
        """Never more, and fewer only if nobody waits."""
        for name, limit in self.limits.items():
            assert self.semaphores.value(name) == len(self.held[name]) <= limit
            assert not self.line[name] or len(self.held[name]) == limit
            assert all(map(self.semaphores.holds, self.held[name]))
            assert not any(map(self.semaphores.holds, self.line[name]))
        assert len(self.semaphores) == sum(map(bool, self.held.values()))


@dataclass(frozen=True)
class Thing:
    """Something in a queue."""

    number: int
    nbytes: int = 1


class QueuesMachine(RuleBasedStateMachine):
    """Things are put, got, taken, given back; who waits may give up."""

    tickets = Bundle("tickets")
    bounds: ClassVar = {"a": 0, "b": 1, "c": 3}

    def __init__(self) -> None:
        super().__init__()
        self.queues: Queues[Thing] = Queues()
        self.numbers = count()
        self.where: dict[Thing, str] = {}  # each is in one place
        self.mine: dict[Ticket, Thing] = {}
        self.given: dict[Ticket, list[Thing]] = {}
        self.waiting: set[Ticket] = set()

    def moved(self, moves: Any) -> None:
        """Somebody has put something, somebody has got something."""
        for ticket in moves.put:
            self.waiting.discard(ticket)
            self.where[self.mine.pop(ticket)] = "inside"
        for ticket, things in moves.got:
            self.waiting.discard(ticket)
            self.given[ticket] = things
            for thing in things:
                assert self.where[thing] == "inside"
                self.where[thing] = "given"

    @rule(target=tickets, name=NAMES)
    def put(self, name: str) -> Ticket:
        """Perhaps there is room."""
        ticket, thing = Ticket(1, next(self.numbers)), Thing(next(self.numbers))
        self.where[thing], self.mine[ticket] = "outside", thing
        self.waiting.add(ticket)
        self.moved(self.queues.put(ticket, name, thing, self.bounds[name]))
        return ticket

    @rule(target=tickets, name=NAMES, want=st.integers(0, 3))
    def get(self, name: str, want: int) -> Ticket:
        """Perhaps there is something."""
        ticket = Ticket(2, next(self.numbers))
        self.waiting.add(ticket)
        self.moved(self.queues.get(ticket, name, want, self.bounds[name]))
        if not want:
            assert ticket not in self.waiting, "who wants what is there does not wait"
        elif ticket not in self.waiting:
            assert len(self.given[ticket]) == want
        return ticket

    @rule(ticket=tickets)
    def took(self, ticket: Ticket) -> None:
        """What it was given is its own."""
        things = self.given.pop(ticket, [])
        assert self.queues.took(ticket) == things
        for thing in things:
            self.where[thing] = "taken"

    @rule(ticket=tickets)
    def drop(self, ticket: Ticket) -> None:
        """What it was given is back; what it brought is gone with it."""
        for thing in self.given.pop(ticket, []):
            self.where[thing] = "inside"
        moves, gone = self.queues.drop(ticket)
        self.waiting.discard(ticket)
        for thing in gone:
            self.where[thing] = "gone"
        self.mine.pop(ticket, None)
        self.moved(moves)

    @rule(name=NAMES)
    def close(self, name: str) -> None:
        """All that was inside is gone, and nobody waits."""
        waited, gone = self.queues.close(name)
        self.waiting -= set(waited)
        for ticket in waited:
            self.mine.pop(ticket, None)
        for thing in gone:
            self.where[thing] = "gone"
        assert self.queues.size(name) == 0

    @invariant()
    def each_thing_is_in_one_place(self) -> None:
        """And nobody waits who need not."""
        inside = 0
        for name in self.queues.names():
            size, _, getters, putters = self.queues.describe(name)
            held = [thing for each in getters for thing in self.queues.collected(name, each)]
            assert not (size and getters)
            assert not putters or size >= self.bounds[name] > 0
            assert set(getters) | set(putters) <= self.waiting
            inside += size + len(held)
        assert inside == sum(place == "inside" for place in self.where.values())
        for ticket in self.waiting:
            assert self.queues.waits(ticket)
        for ticket, things in self.given.items():
            assert self.queues.handed(ticket) == things


class FlagsMachine(RuleBasedStateMachine):
    """Events are set and cleared; who waits may give up. Variables are the same, with a value."""

    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.flags = Flags()
        self.variables: Variables[str] = Variables()
        self.numbers = count()
        self.set: set[str] = set()
        self.waiting: dict[Ticket, str] = {}

    @rule(target=tickets, name=NAMES)
    def wait(self, name: str) -> Ticket:
        """At once if it is set."""
        ticket = Ticket(1, next(self.numbers))
        assert self.flags.ask(ticket, name) == ([ticket] if name in self.set else [])
        assert self.variables.ask(ticket, name) == ("value" if name in self.set else None)
        if name not in self.set:
            self.waiting[ticket] = name
        return ticket

    @rule(ticket=tickets)
    def drop(self, ticket: Ticket) -> None:
        """It waits no more."""
        self.flags.drop(ticket)
        self.variables.drop(ticket)
        self.waiting.pop(ticket, None)

    @rule(names=st.lists(NAMES, max_size=2))
    def make(self, names: list[str]) -> None:
        """All who wait for it go on, once."""
        for name in names:
            waited = [ticket for ticket, each in self.waiting.items() if each == name]
            assert self.flags.set(name, 0.0) == waited
            before, served = self.variables.set(name, "value")
            assert served == waited
            assert before == ("value" if name in self.set else None)
            self.set.add(name)
            for ticket in waited:
                del self.waiting[ticket]

    @rule(names=st.lists(NAMES, max_size=2))
    def clear(self, names: list[str]) -> None:
        """It has not happened yet."""
        for name in names:
            self.flags.clear(name)
            assert self.variables.delete(name) == ("value" if name in self.set else None)
            self.set.discard(name)

    @invariant()
    def only_what_is_set_or_waited_for_is_known(self) -> None:
        """And nobody waits for what is set."""
        known = self.set | set(self.waiting.values())
        assert set(self.flags.names()) == set(self.variables.names()) == known
        for name in "abc":
            waited = [ticket for ticket, each in self.waiting.items() if each == name]
            assert self.flags.waiting(name) == self.variables.waiting(name) == waited
            assert self.flags.is_set(name) == (name in self.set)
            assert not (waited and name in self.set)


STEPS = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLocks = LocksMachine.TestCase
TestSemaphores = SemaphoresMachine.TestCase
TestQueues = QueuesMachine.TestCase
TestFlags = FlagsMachine.TestCase
for machine in (TestLocks, TestSemaphores, TestQueues, TestFlags):
    machine.settings = STEPS


def test_things_come_out_in_the_order_in_which_they_went_in() -> None:
    """Also those that had to wait for room; and what comes back is the next one again."""
    queues: Queues[Thing] = Queues()
    for number in range(5):
        queues.put(Ticket(1, number), "q", Thing(number), 2)
    out, ticket = [], Ticket(0, 0)
    for number in range(3):
        ((ticket, [thing]),) = queues.get(Ticket(2, number), "q", 1, 0).got
        out.append(thing.number)
    assert out == [0, 1, 2]
    queues.drop(ticket)
    ((_, things),) = queues.get(Ticket(2, 9), "q", 0, 0).got
    assert [thing.number for thing in things] == [2, 3, 4]


def test_an_answer_is_bounded() -> None:
    """Who wants much gets what has room in one answer."""
    queues: Queues[Thing] = Queues()
    for number in range(4):
        queues.put(Ticket(1, number), "q", Thing(number, ANSWER_BYTES_MAX // 2), 0)
    ((_, things),) = queues.get(Ticket(2, 1), "q", 4, 0).got
    assert len(things) == 2
    assert queues.size("q") == 2


def test_what_was_given_of_a_queue_that_was_closed_does_not_come_back() -> None:
    """It is gone with it."""
    queues: Queues[Thing] = Queues()
    queues.put(Ticket(1, 1), "q", Thing(1), 0)
    queues.get(Ticket(2, 1), "q", 1, 0)
    queues.close("q")
    assert queues.drop(Ticket(2, 1))[1] == [Thing(1)]
    assert not len(queues)


def test_who_needs_some_of_several_takes_those_that_are_free() -> None:
    """And leaves the lines of the others, so that nobody waits for him there."""
    locks = Locks()
    assert locks.ask(Ticket(1, 1), ["a"], 1, 0.0)
    assert locks.ask(Ticket(2, 1), ["a", "b", "c"], 2, 1.0) == [Ticket(2, 1)]
    assert locks.holder("b") == locks.holder("c") == Ticket(2, 1)
    assert not locks.ask(Ticket(3, 1), ["a"], 1, 2.0)
    assert locks.drop(Ticket(1, 1), 3.0) == [Ticket(3, 1)]
    assert locks.describe("a") == ([(Ticket(3, 1), 3.0)], [])
