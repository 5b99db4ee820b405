"""Which hosts have a worker process."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, strategies as st

from trio_dask.deploy.seats import REST_MAX_S, REST_S, Place, Seats


def at_work(seats: Seats, count: int) -> None:
    """So many have begun, and joined."""
    starting, leaving = seats.look(count, now=0.0)
    assert leaving == []
    for at in starting:
        seats.joined(at)


def test_up_and_down() -> None:
    """The first hosts first; who came last goes first, and before him who has not come yet."""
    seats = Seats(4)
    at_work(seats, 2)
    assert seats.look(3, now=0.0) == ([2], [])
    assert seats.look(2, now=0.0) == ([], [2])
    assert seats.ended(2, now=1.0, died=False) == 0.0
    assert seats.look(1, now=1.0) == ([], [1])
    assert seats.look(3, now=1.0) == ([2, 3], [])  # 1 is still going
    seats.ended(1, now=2.0, died=True)  # in whatever way
    assert seats.look(4, now=2.0) == ([1], [])
    assert seats.look(9, now=2.0) == ([], [])


def test_several_on_each() -> None:
    """Whole processes."""
    seats = Seats(3, together=2)
    at_work(seats, 6)
    assert seats.look(5, now=0.0) == ([], [])
    assert seats.look(4, now=0.0) == ([], [2])
    assert seats.look(0, now=0.0) == ([], [1, 0])


def test_who_dies_comes_back_after_a_while() -> None:
    """Later and later, unless it was of use; another host that is free is taken at once."""
    seats = Seats(2)
    at_work(seats, 1)
    assert seats.ended(0, now=10.0, died=True) == REST_S
    assert seats.look(2, now=10.0) == ([1], [])
    assert seats.next_at() == 10.0 + REST_S
    assert seats.look(2, now=10.0 + REST_S) == ([0], [])
    assert seats.ended(0, now=20.0, died=True) == 2 * REST_S
    seats.look(2, now=99.0)
    seats.joined(0)
    assert seats.ended(0, now=100.0, died=True) == REST_S
    for _ in range(20):
        seats.look(2, now=1000.0)
        seats.ended(0, now=200.0, died=True)
    seats.look(2, now=1000.0)
    assert seats.ended(0, now=200.0, died=True) == REST_MAX_S


def test_who_leaves_in_good_order_is_not_called_back() -> None:
    """Somebody has retired it, or its time was up; until a number is given anew."""
    seats = Seats(2)
    at_work(seats, 2)
    seats.ended(0, now=1.0, died=False)
    assert seats.look(2, now=100.0) == ([], [])
    seats.ordered()
    assert seats.look(2, now=100.0) == ([0], [])


def test_who_has_been_let_go_of_is_not_counted_though_it_has_not_ended() -> None:
    """One process ends before the others: nobody else has to leave for those."""
    seats = Seats(4)
    at_work(seats, 4)
    for at in (0, 1, 2):
        seats.leaves(at)
    seats.ended(0, now=1.0, died=False)
    assert seats.look(1, now=1.0) == ([], [])
    assert seats.look(2, now=1.0) == ([0], [])
    seats.ended(1, now=2.0, died=False)
    assert seats.look(3, now=2.0) == ([1], [])
    seats.leaves(1)  # it has not come yet
    assert seats.look(3, now=2.0) == ([], [])


@given(
    together=st.integers(1, 3),
    steps=st.lists(
        st.tuples(st.integers(0, 12), st.sampled_from("jedg"), st.integers(0, 3), st.booleans())
    ),
)
def test_never_more_than_there_shall_be(
    together: int, steps: list[tuple[int, str, int, bool]]
) -> None:
    """Nor fewer, as long as a host is free; and nobody is told twice."""
    seats, now = Seats(4, together=together), 0.0
    for wanted, what, at, died in steps:
        now += 0.4
        place = seats._seats[at].place
        if what == "j" and place in {Place.STARTING, Place.LEAVING}:
            seats.joined(at)
        elif what == "e" and place in {Place.STARTING, Place.HERE, Place.LEAVING}:
            seats.ended(at, now=now, died=died)
        elif what == "d":
            seats.ordered()
        elif what == "g":
            seats.leaves(at)
        before = Counter(seat.place for seat in seats._seats)
        starting, leaving = seats.look(wanted, now=now)
        places = [seat.place for seat in seats._seats]
        assert all(places[at] is Place.STARTING for at in starting)
        assert all(places[at] is Place.LEAVING for at in leaving)
        assert not (starting and leaving)
        working = sum(place in {Place.STARTING, Place.HERE} for place in places)
        lacking = -(-wanted // together) - working
        assert lacking >= 0
        if lacking:
            assert Place.FREE not in places
            assert seats.next_at() > now
        assert before[Place.LEFT] == places.count(Place.LEFT)
        assert seats.look(wanted, now=now) == ([], [])
