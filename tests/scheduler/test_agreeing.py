"""Heartbeats show whether a worker has what it was given; a difference is found and made good."""

from __future__ import annotations

import pytest

from tests.scheduler.test_sessions import A, C, Town
from trio_dask.messages import session, tasks as words
from trio_dask.messages.agreeing import Counted, Recount, digest
from trio_dask.messages.reunion import Disown
from trio_dask.scheduler.core import Misuse
from trio_dask.scheduler.core.agreeing import ASKED_MAX


class Pair(Town):
    """A scheduler, and a worker that may have lost its way."""

    def __init__(self, *args: bytes) -> None:
        super().__init__()
        self.first = self.client(C)
        self.lasting_worker()
        self.submit(self.first, list(args))

    @property
    def window(self) -> dict[int, int]:
        """Attempts it was given, and their tasks."""
        return {
            attempt: task.tid
            for attempt, task in self.core.state.workers["tcp://host:1"].window.items()
        }

    @property
    def heard_so_far(self) -> int:
        """How much has been said to it."""
        lasting = self.core.state.workers["tcp://host:1"].out.lasting
        assert lasting is not None
        return lasting.said

    def beat(self, there: dict[int, int], heard: int | None = None) -> None:
        """It says how it is."""
        heard = self.heard_so_far if heard is None else heard
        self.tell(A, session.Heartbeat({}, heard, len(there), digest(there)))

    def count(self, there: dict[int, int]) -> None:
        """It says what it has."""
        self.tell(A, Counted(self.heard_so_far, list(there), list(there.values())))


def test_both_agree() -> None:
    """Nothing is said, however often."""
    pair = Pair(b"1", b"2")
    pair.heard(A)
    for _ in range(5):
        pair.beat(pair.window)
    assert pair.heard(A) == []
    assert not pair.core.state.reunion.doubts


def test_what_is_under_way_is_no_difference() -> None:
    """The worker had not heard of it when it said what it has."""
    pair = Pair(b"1")
    before, heard = pair.window, pair.heard_so_far
    pair.submit(pair.first + 1, [b"2"])
    assert len(pair.window) == 2
    pair.heard(A)
    pair.beat(before, heard)
    assert pair.heard(A) == []
    pair.beat(pair.window)
    assert pair.heard(A) == []


def test_what_is_missing_is_given_again() -> None:
    """One question, one answer, and the next heartbeat is as it should be."""
    pair = Pair(b"1", b"2")
    kept, lost = pair.window
    there = {kept: pair.window[kept]}
    pair.heard(A)
    pair.beat(there)
    assert [type(each) for each in pair.heard(A)] == [Recount]
    pair.count(there)
    [run] = pair.heard(A)
    assert isinstance(run, words.Run)
    assert run.attempts == [lost + 1]
    assert pair.window.keys() == {kept, lost + 1}
    pair.beat(pair.window)
    assert not pair.core.state.reunion.doubts
    assert "1 tasks that were given to it were not there" in pair.core.state.happened[-1].text


def test_what_is_there_in_vain_is_stopped() -> None:
    """Its value, should there be one by then, is not kept."""
    pair = Pair(b"1")
    vain = max(pair.window) + 100
    there = pair.window | {vain: 12345}
    pair.heard(A)
    pair.beat(there)
    pair.count(there)
    assert pair.heard(A) == [Recount(1), Disown([vain])]
    pair.beat(there, pair.heard_so_far - 1)  # it has not heard that yet
    pair.tell(A, words.Done([vain], [words.OK_HELD], [0.1], [8], [b""]))
    assert pair.heard(A) == [words.Free([12345])]
    pair.beat(pair.window)
    assert not pair.core.state.reunion.doubts


def test_answers_to_a_question_that_it_has_not_heard_count_for_nothing() -> None:
    """Several heartbeats may be under way."""
    pair = Pair(b"1", b"2")
    heard = pair.heard_so_far
    pair.heard(A)
    for _ in range(2 * ASKED_MAX):
        pair.beat({}, heard)
    assert pair.heard(A) == [Recount(2)]
    pair.count(pair.window)  # it was a mistake of the one who counted
    pair.beat(pair.window)
    assert not pair.core.state.reunion.doubts


def test_who_does_not_come_round_is_let_go() -> None:
    """Within two questions."""
    pair = Pair(b"1", b"2")
    for _ in range(ASKED_MAX):
        pair.beat({})
        pair.count(pair.window)
    with pytest.raises(Misuse, match="has 0 tasks, was given 2, and asking did not help"):
        pair.beat({})


def test_nonsense() -> None:
    """More was heard than was said; an answer without a question."""
    pair = Pair(b"1")
    beat = session.Heartbeat({}, pair.heard_so_far + 1, 1, 1)
    with pytest.raises(Misuse, match="messages heard, of"):
        pair.tell(A, beat)
    with pytest.raises(Misuse, match="was not asked"):
        pair.tell(A, Counted(0, [], []))


def test_what_is_said_again_after_a_break_may_be_old() -> None:
    """More is known to have been heard by then: nothing follows from it."""
    pair = Pair(b"1", b"2")
    old = pair.heard_so_far - 1
    pair.tell(A, session.Heard(pair.heard_so_far))
    pair.heard(A)
    pair.beat({}, old)
    assert pair.heard(A) == []
    assert not pair.core.state.reunion.doubts
