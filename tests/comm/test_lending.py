"""What goes through a local connection as descriptors: who reads what, and what is told of it."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

import pytest

from trio_dask.comm import CARRIED_MAX, LocalLoans, takes_here
from trio_dask.messages import Part, Payload
from trio_dask.messages.sealing import Returned, Takes
from trio_dask.messages.values import FOUND, Fetch, Store, Values
from trio_dask.store import Loan, Pool, Segment

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory files are Linux's")

SIZE = 1 << 20


_pools: list[Pool] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Nothing is left open for those who count what is."""
    yield
    while _pools:
        _pools.pop().close()
    gc.collect()


def pool() -> Pool:
    """The memory files of a process."""
    _pools.append(Pool(idle_bytes_max=64 * SIZE, count_max=1000))
    return _pools[-1]


def value(where: Pool, nbytes: int = SIZE) -> Segment:
    """A value whose descriptor is its own, as one that has come."""
    written = where.write([b"x" * nbytes], nbytes)
    assert written is not None
    return Segment(os.dup(written[1].fd), nbytes)


def lending(count: int) -> LocalLoans:
    """One side, of which the other takes so many."""
    loans = LocalLoans()
    assert loans.heard([Takes(count)]) == []
    return loans


def values(payloads: list[Payload], serial: int = 1) -> Values:
    """An answer with these values."""
    tids = list(range(len(payloads)))
    return Values(serial, tids, [FOUND] * len(tids), [], payloads, last=True)


class Told:
    """Notes whether a maker may write again."""

    def __init__(self, segment: Segment) -> None:
        self.shared: list[bool] = []
        loan = segment.loan = Loan()
        segment.on_gone(lambda shared: loan.ended(self.shared.append, shared=shared))


def test_until_the_other_side_says_how_many_it_takes_all_go_as_bytes() -> None:
    """It may be one that knows nothing of descriptors."""
    loans, segment = LocalLoans(), value(pool())
    said = loans.said(values([segment, b"small"]))
    assert isinstance(said, Values)
    first, second = said.payloads
    assert isinstance(first, Part)
    assert first.whole is segment
    assert (first.at, first.nbytes, second) == (0, SIZE, b"small")


@pytest.mark.parametrize(
    ("takes", "sent", "carried"), [(3, 5, 3), (5, 5, 5), (0, 2, 0), (-7, 2, 0)]
)
def test_no_more_are_under_way_than_the_other_side_takes(
    takes: int, sent: int, carried: int
) -> None:
    """What is more goes as bytes; odd numbers mean none."""
    loans, where = lending(takes), pool()
    out = [each for _ in range(sent) for each in loans.outgoing([value(where)])]
    assert [type(each) for each in out] == [Segment] * carried + [Part] * (sent - carried)


def test_what_comes_back_makes_room() -> None:
    """Numbers of nothing that was given change nothing."""
    loans, where = lending(1), pool()
    assert isinstance(loans.outgoing([value(where)])[0], Segment)
    assert isinstance(loans.outgoing([value(where)])[0], Part)
    assert loans.heard([Returned([1, 7, -1], [1, 1, 1])]) == []
    assert isinstance(loans.outgoing([value(where)])[0], Segment)


def test_a_frame_has_room_for_so_many() -> None:
    """The same value may be among them several times."""
    loans, where = lending(1024), pool()
    one = value(where)
    kinds = [type(each) for each in loans.outgoing([one] * (CARRIED_MAX + 2))]
    assert kinds == [Segment] * CARRIED_MAX + [Part] * 2


def test_small_values_go_as_bytes() -> None:
    """To map them would cost more than to copy them."""
    assert isinstance(lending(10).outgoing([value(pool(), 100)])[0], Part)


@pytest.mark.parametrize("clean", [0, 1])
def test_the_maker_is_told_when_the_last_reader_has_done(clean: int) -> None:
    """Here and elsewhere; one who may have forked spoils it for all."""
    one, other, segment = lending(10), lending(10), value(pool())
    told = Told(segment)
    one.outgoing([segment])
    one.outgoing([segment])
    other.outgoing([segment])
    del segment
    assert told.shared == []
    one.heard([Returned([1], [1]), Returned([1, 2], [1, 1])])  # one of them twice
    assert told.shared == []
    other.heard([Returned([1], [clean])])
    assert told.shared == [not clean]


def test_what_was_read_to_its_end_before_is_told_at_its_end() -> None:
    """The readers have done, and the value is still there for others."""
    loans, segment = lending(10), value(pool())
    told = Told(segment)
    loans.outgoing([segment])
    loans.heard([Returned([1], [1])])
    assert told.shared == []
    del segment
    assert told.shared == [False]


def test_nobody_knows_who_reads_when_the_connection_is_over() -> None:
    """So its memory is not written again, whatever is said late."""
    loans, segment = lending(10), value(pool())
    told = Told(segment)
    loans.outgoing([segment])
    loans.end()
    loans.heard([Returned([1], [1])])
    del segment
    assert told.shared == [True]


def test_what_has_come_counts_while_something_refers_to_it_and_is_told_of_then() -> None:
    """Whoever lets go of it, at whatever moment, wakes the one who says so."""
    woken: list[int] = []
    loans, where = LocalLoans(lambda: woken.append(1)), pool()
    message = Store(1, [1, 2, 3], [value(where), b"bytes", value(where)])
    fetch = Fetch(2, [9])
    assert loans.heard([message, fetch]) == [message, fetch]
    assert loans.alive_bytes == 2 * SIZE
    del message.payloads[2]
    assert (loans.alive_bytes, len(woken)) == (SIZE, 1)
    assert loans.news() == [Returned([2], [1])]
    assert loans.news() == []
    loans.end()
    assert [loans.is_over] == [False]
    del message
    assert (loans.is_over, loans.news()) == (True, [])


def test_who_has_passed_it_on_tells_when_they_have_done() -> None:
    """Of three, the one in the middle."""
    first, second = LocalLoans(), lending(10)
    message = values([value(pool())])
    first.heard([message])
    second.outgoing(message.payloads)
    del message
    assert (first.alive_bytes, first.news()) == (0, [])
    second.heard([Returned([1], [0])])
    assert first.news() == [Returned([1], [0])]


def test_what_a_forked_child_may_still_read_is_not_clean() -> None:
    """The parent has let go of it, and knows nothing of its child."""
    loans = LocalLoans()
    message = values([value(pool())])
    loans.heard([message])
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    del message
    assert loans.news() == [Returned([1], [0])]


def test_small_ones_that_come_by_descriptor_are_taken_as_bytes() -> None:
    """The files of small values are written in a way that knows only bytes."""
    loans = LocalLoans()
    message = values([value(pool(), 100)])
    loans.heard([message])
    assert message.payloads == [b"x" * 100]
    assert loans.news() == [Returned([1], [1])]


def test_a_loan_ends_once_whoever_comes_first() -> None:
    """The end of the value and that of its last reader come from two threads."""
    loan, told = Loan(), list[bool]()
    loan.ended(told.append, shared=False)
    loan.back(clean=True)
    gc.collect()
    assert told == [False]


def test_a_process_takes_as_many_as_it_has_descriptors_for() -> None:
    """A share of those that are free, and never very many."""
    assert 0 <= takes_here(10_000_000).count <= takes_here(16).count <= takes_here(1).count <= 1024
