"""What is never made again is described while it is under way, and not for the sake of later ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import given, strategies as st

from tests.client.test_remembering import open_core
from trio_dask.client.core.batch import SHARED_ROWS
from trio_dask.client.core.submission import Rows
from trio_dask.messages import tasks as words

if TYPE_CHECKING:
    from trio_dask.client.core import ClientCore

#: What may happen next: so many calls are made and sent together, or the oldest is over and its
#: value is let go of or not.
STEPS = st.lists(
    st.one_of(st.integers(1, 30), st.sampled_from(["over", "over and let go of"])), max_size=80
)


@dataclass
class Calls:
    """A client that calls an actor: of each call it holds what opens it."""

    core: ClientCore = field(default_factory=open_core)
    actor: int = 0
    before: int | None = None
    under_way: list[tuple[int, int]] = field(default_factory=list)  # a call, and what opens it
    held: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        _, self.actor = self.core.submit(self.core.function("A", b"A"), Rows([b"a"]), {})
        self.core.flush(0.0)
        self.core.handle([words.Finished([self.actor], [1], [b""], [0], ["w"])])

    def task(self, *deps: int) -> int:
        """One more."""
        rows = Rows([b"x"], [len(deps)], list(deps))
        return self.core.submit(self.core.function("f", b"f"), rows, {"once": True})[1]

    def call(self) -> None:
        """One call, after the one before it, whose future nobody holds any more."""
        before = [] if self.before is None else [self.before]
        call = self.task(self.actor, *before)
        if before:
            self.core.release(before)
        self.before = call
        self.under_way.append((call, self.task(call)))

    def over(self, *, let_go: bool) -> None:
        """The oldest is over."""
        _, opener = self.under_way.pop(0)
        self.core.handle([words.Finished([opener], [1], [b"v"], [], [])])
        if let_go:
            self.core.release([opener])
        else:
            self.held.append(opener)

    def check(self) -> None:
        """All that is under way could be described again, with the names of all of its inputs."""
        described, inputs = set[int](), set[int]()
        for message in self.core.descriptions.said_again():
            described |= set(range(message.first, message.first + len(message.args)))
            inputs |= set(message.dep_tids)
        assert {tid for pair in self.under_way for tid in pair} <= described
        assert {self.actor, *self.held} <= described
        assert inputs <= described | set(self.core.descriptions.outside)


@given(STEPS)
def test_calls_that_are_over_are_not_described_for_the_next(steps: list[int | str]) -> None:
    """However many are sent together, and however many are always under way."""
    calls = Calls()
    for step in steps:
        if isinstance(step, int):
            for _ in range(step):
                calls.call()
            calls.core.flush(0.0)
        elif calls.under_way:
            calls.over(let_go=step != "over")
        calls.check()


def test_a_long_row_of_calls() -> None:
    """One is always under way, and what is kept does not grow."""
    calls = Calls()
    calls.call()
    calls.core.flush(0.0)
    for _ in range(1000):
        calls.call()
        calls.core.flush(0.0)
        calls.over(let_go=True)
    calls.check()
    assert len(calls.core.descriptions) < 30
    assert len(calls.core.descriptions.outside) < 30


def test_nothing_is_left() -> None:
    """When all is over and let go of."""
    calls = Calls()
    for _ in range(100):
        calls.call()
    calls.core.flush(0.0)
    while calls.under_way:
        calls.over(let_go=True)
    assert calls.before is not None
    calls.core.release([calls.before, calls.actor])
    for count in (SHARED_ROWS, *[1] * 20):  # what is shared, and the last few, is kept a while
        _, first = calls.core.submit(calls.core.function("f", b"f"), Rows([b"x"] * count), {})
        calls.core.release(list(range(first, first + count)))
        calls.core.flush(0.0)
    assert len(calls.core.descriptions) < 20
    assert not calls.core.descriptions.outside
