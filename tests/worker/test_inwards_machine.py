"""Whoever of a process wants what from others, in whatever order: how much is on its way at a time."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trio_dask.worker.core.inwards import Inwards

MOST = 10
WORKERS = ("a", "b", "c")


class InwardsMachine(RuleBasedStateMachine):
    """The books, and around them workers that ask, get, give up, and end as they like."""

    def __init__(self) -> None:
        super().__init__()
        self.inwards = Inwards(MOST)
        self.last = 0
        self.on_way: dict[tuple[str, int], int] = {}
        #: In the order in which it is their turn.
        self.line: dict[tuple[str, int], int] = {}

    def flush(self, who: str) -> None:
        """A worker does what it does whenever something happened to it, and wakes who is to be."""
        while (tid := self.inwards.next_turn(who)) is not None:
            assert next(iter(self.line)) == (who, tid), "the first in line is the first"
            self.on_way[who, tid] = self.line.pop((who, tid))
        while (other := self.inwards.next_due()) is not None:
            self.flush(other)

    @rule(who=st.sampled_from(WORKERS), nbytes=st.integers(1, 15))
    def ask(self, who: str, nbytes: int) -> None:
        """A worker wants one more value."""
        self.last += 1
        fits = not self.on_way or sum(self.on_way.values()) + nbytes <= MOST
        entered = self.inwards.enters(who, self.last, nbytes)
        assert entered == (fits and not self.line), "nobody overtakes, and nobody waits in vain"
        (self.on_way if entered else self.line)[who, self.last] = nbytes
        self.flush(who)

    @rule(data=st.data())
    def end_one(self, data: st.DataObject) -> None:
        """A value has come, or is not wanted any more, also in line."""
        everything = [*self.on_way, *self.line]
        if everything:
            who, tid = data.draw(st.sampled_from(everything))
            self.inwards.over(who, tid)
            self.on_way.pop((who, tid), None)
            self.line.pop((who, tid), None)
            self.flush(who)

    @rule(who=st.sampled_from(WORKERS))
    def leave(self, who: str) -> None:
        """A worker ends, with all it wanted; its neighbours go on."""
        self.inwards.leave(who)
        for book in (self.on_way, self.line):
            for key in [key for key in book if key[0] == who]:
                del book[key]
        while (other := self.inwards.next_due()) is not None:
            self.flush(other)

    @invariant()
    def bounded(self) -> None:
        """No more is on its way than may be, or one value; who waits has to."""
        assert self.inwards.taken == self.on_way
        assert list(self.inwards.waiting.items()) == list(self.line.items())
        assert sum(self.on_way.values()) == self.inwards.nbytes
        assert len(self.on_way) <= 1 or self.inwards.nbytes <= MOST
        if self.line:
            first = next(iter(self.line.values()))
            assert self.on_way, "nothing is on its way, and yet somebody waits"
            assert self.inwards.nbytes + first > MOST, "there is room for the first in line"

    def teardown(self) -> None:
        """Everybody gets what they want in the end."""
        while self.on_way:
            who, tid = next(iter(self.on_way))
            self.inwards.over(who, tid)
            del self.on_way[who, tid]
            self.flush(who)
        assert not self.line


TestInwards = InwardsMachine.TestCase
