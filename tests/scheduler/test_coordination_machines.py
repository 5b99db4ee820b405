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
from trio_dask.scheduler.coordination.queues import ANSWER_BYTES_MAX, Moves

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
    """Things are put, got, taken, given back; who waits may give up, or be lost.

    What is not given yet is one line, whether somebody collects it, it is inside, or it waits for
    room: it grows at its end, and is given from its front.
    """

    tickets = Bundle("tickets")
    bounds: ClassVar = {"a": 0, "b": 1, "c": 3}

    def __init__(self) -> None:
        super().__init__()
        self.queues: Queues[Thing] = Queues()
        self.numbers = count()
        self.line: dict[str, list[Thing]] = {name: [] for name in self.bounds}
        self.bound = dict.fromkeys(self.bounds, 0)
        self.getting: dict[str, list[Ticket]] = {name: [] for name in self.bounds}
        self.putting: dict[str, list[Ticket]] = {name: [] for name in self.bounds}
        self.mine: dict[Ticket, Thing] = {}  # of those that wait to put it
        self.given: dict[Ticket, tuple[str, list[Thing]]] = {}  # "": of a queue that is closed

    def moved(self, name: str, moves: Any) -> None:
        """Somebody has put something, somebody has got something: each in his turn."""
        assert moves.name == name or not (moves.put or moves.got)
        assert moves.put == self.putting[name][: len(moves.put)]
        assert moves.entered == [self.mine.pop(ticket) for ticket in moves.put]
        del self.putting[name][: len(moves.put)]
        for ticket, things in moves.got:
            assert things == self.line[name][: len(things)]
            del self.line[name][: len(things)]
            assert self.getting[name].pop(0) == ticket
            self.given[ticket] = name, things

    def asked(self, name: str, data: st.DataObject) -> int:
        """A bound, which counts if there is none yet."""
        maxsize = data.draw(st.sampled_from([0, self.bounds[name]]))
        self.bound[name] = self.bound[name] or maxsize
        return maxsize

    @rule(target=tickets, name=NAMES, data=st.data())
    def put(self, name: str, data: st.DataObject) -> Ticket:
        """Perhaps there is room."""
        ticket, thing = Ticket(1, next(self.numbers)), Thing(next(self.numbers))
        self.mine[ticket] = thing
        self.line[name].append(thing)
        self.putting[name].append(ticket)
        self.moved(name, self.queues.put(ticket, name, thing, self.asked(name, data)))
        return ticket

    @rule(target=tickets, name=NAMES, want=st.integers(1, 3), data=st.data())
    def get(self, name: str, want: int, data: st.DataObject) -> Ticket:
        """Perhaps there is something."""
        ticket = Ticket(2, next(self.numbers))
        self.getting[name].append(ticket)
        self.moved(name, self.queues.get(ticket, name, want, self.asked(name, data)))
        assert ticket not in self.given or len(self.given[ticket][1]) == want
        return ticket

    @rule(target=tickets, name=NAMES, data=st.data())
    def get_what_is_there(self, name: str, data: st.DataObject) -> Ticket:
        """All, also what waits for room; nothing, if others come first."""
        ticket = Ticket(3, next(self.numbers))
        there = [] if self.getting[name] else list(self.line[name])
        self.getting[name].insert(0, ticket)
        self.moved(name, self.queues.get(ticket, name, 0, self.asked(name, data)))
        assert self.given[ticket][1] == there
        return ticket

    @rule(ticket=tickets)
    def took(self, ticket: Ticket) -> None:
        """What it was given is its own; only once, and only what it was given."""
        _, things = self.given.pop(ticket, ("", []))
        assert self.queues.took(ticket) == things
        assert self.queues.handed(ticket) is None
        assert self.queues.took(ticket) == []

    @rule(ticket=tickets)
    def drop(self, ticket: Ticket) -> None:
        """What it was given is the next again; what it brought is gone with it."""
        name, things = self.given.pop(ticket, ("", []))
        over: list[Thing] = []
        if name:
            self.line[name][:0] = things
        else:
            over = [self.mine.pop(ticket)] if ticket in self.mine else things
        for each in self.bounds:
            for waiting in (self.getting[each], self.putting[each]):
                if ticket in waiting:
                    waiting.remove(ticket)
                    name = each
            self.line[each] = [thing for thing in self.line[each] if thing not in over]
        moves, gone = self.queues.drop(ticket)
        assert gone == over
        if name:
            self.moved(name, moves)
        else:
            assert moves == Moves()
        assert not self.queues.waits(ticket)
        again, gone = self.queues.drop(ticket)
        assert not again.put, "it is over"
        assert not again.got
        assert not gone

    @rule(name=NAMES)
    def close(self, name: str) -> None:
        """All that was inside is gone, and nobody waits."""
        waited, gone = self.queues.close(name)
        assert waited == [*self.getting[name], *self.putting[name]]
        assert gone == self.line[name]
        for ticket in self.putting[name]:
            del self.mine[ticket]
        self.line[name], self.getting[name], self.putting[name] = [], [], []
        self.bound[name] = 0
        for ticket, (queue, things) in self.given.items():
            self.given[ticket] = "" if queue == name else queue, things

    @invariant()
    def each_thing_is_in_one_place(self) -> None:
        """In order; and nobody waits who need not."""
        for name, line in self.line.items():
            assert self.queues.bound(name) == self.bound[name]
            used = bool(line or self.getting[name] or self.bound[name])
            assert (name in self.queues.names()) == used
            if not used:
                continue
            size, _, getters, putters = self.queues.describe(name)
            assert (getters, putters) == (self.getting[name], self.putting[name])
            assert size == self.queues.size(name)
            assert not (size and getters)
            assert not putters or size >= self.bound[name] > 0
            held = [thing for each in getters for thing in self.queues.collected(name, each)]
            waits = [self.mine[ticket] for ticket in putters]
            assert [*held, *self.queues.items(name), *waits] == line
            assert all(map(self.queues.waits, (*getters, *putters)))
        for ticket, (_, things) in self.given.items():
            assert self.queues.handed(ticket) == things
        for name in self.bounds:
            lent = [thing for queue, each in self.given.values() if queue == name for thing in each]
            assert self.queues.lent(name) == lent

    def teardown(self) -> None:
        """When all are lost, what they brought or had not taken is inside, and that is all."""
        for name in self.bounds:
            for ticket in (*self.getting[name], *self.putting[name]):
                self.drop(ticket)
        for ticket in list(self.given):
            self.drop(ticket)
        for name, line in self.line.items():
            assert self.queues.close(name) == ([], line)
        assert not len(self.queues)


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


def test_what_comes_back_is_before_what_somebody_has_set_aside() -> None:
    """Who waits for several has not got any yet: he gets them in the order in which they went in."""
    queues: Queues[Thing] = Queues()
    queues.get(Ticket(1, 1), "q", 1, 0)
    for number in range(2):
        queues.put(Ticket(2, number), "q", Thing(number), 0)
    assert queues.get(Ticket(3, 1), "q", 3, 0).got == []
    moves, gone = queues.drop(Ticket(1, 1))
    assert (moves.got, gone) == ([], [])
    [(_, things)] = queues.put(Ticket(2, 2), "q", Thing(2), 0).got
    assert [thing.number for thing in things] == [0, 1, 2]


def test_all_that_is_there_is_also_what_waits_for_room() -> None:
    """Who wants it need not ask again, and who waited has put it."""
    queues: Queues[Thing] = Queues()
    for number in range(5):
        queues.put(Ticket(1, number), "q", Thing(number), 2)
    moves = queues.get(Ticket(2, 1), "q", 0, 2)
    ((_, things),) = moves.got
    assert [thing.number for thing in things] == [0, 1, 2, 3, 4]
    assert moves.put == [Ticket(1, number) for number in (2, 3, 4)]


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
