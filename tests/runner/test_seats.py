"""Who gets a slot: threads that sleep, work, wait, and go on."""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING

import pytest

from trio_dask.errors import TaskError
from trio_dask.runner.seats import PARKED_MAX, Seat, Seats

if TYPE_CHECKING:
    from collections.abc import Callable


class Room:
    """Slots, and threads whose calls to them are made by the test."""

    def __init__(self, count: int) -> None:
        self.work = False
        self.started: list[Seat] = []
        self.seats: Seats[str] = Seats(count, lambda: self.work, self.started.append)

    def calls(self, call: Callable[[], object]) -> tuple[Thread, list[object]]:
        """What may wait, in a thread; its answer will be in the list."""
        answer: list[object] = []
        thread = Thread(target=lambda: answer.append(call()), daemon=True)
        thread.start()
        return thread, answer


def never() -> bool:
    """Nobody was cancelled."""
    return False


def test_a_free_slot_is_taken_at_once() -> None:
    """Who goes on needs no other thread for it."""
    room = Room(1)
    seat = Seat(0, 0)
    room.seats.leave(seat)
    assert (seat.slot, room.seats.free) == (-1, [0])
    assert room.seats.come(seat, never, at_once=never)
    assert (seat.slot, room.seats.free) == (0, [])


def test_a_new_thread_takes_the_slot_where_there_is_work() -> None:
    """If none sleeps; else the one with the lowest row."""
    room = Room(1)
    room.work = True
    room.seats.leave(Seat(0, 0))
    assert [(seat.row, seat.slot) for seat in room.started] == [(1, 0)]
    room.work = False
    thread, answer = room.calls(lambda: room.seats.rest(room.started[0]))
    while not room.seats.free:
        pass
    room.seats.wake(3)
    thread.join()
    assert answer == [True]
    assert room.started[0].slot == 0
    assert len(room.started) == 1


def test_who_goes_on_comes_before_new_tasks() -> None:
    """A thread that would take the next one gives its slot away, and rests."""
    room = Room(1)
    waiting, other = Seat(0), Seat(1, 0)
    thread, answer = room.calls(lambda: room.seats.come(waiting, never, at_once=never))
    while not room.seats.going:
        pass
    room.work = True
    assert room.seats.give_way(other) is None
    thread.join()
    assert answer == [True]
    assert (waiting.slot, other.slot) == (0, -1)


def test_who_waits_gives_its_slot_to_who_goes_on() -> None:
    """At once."""
    room = Room(1)
    first, second = Seat(0), Seat(1, 0)
    thread, answer = room.calls(lambda: room.seats.come(first, never, at_once=never))
    while not room.seats.going:
        pass
    room.seats.leave(second)
    thread.join()
    assert answer == [True]
    assert (first.slot, second.slot, room.seats.free) == (0, -1, [])


def test_a_coroutine_goes_on_with_whatever_thread() -> None:
    """One that has a slot, or one that is woken for it."""
    room = Room(1)
    seat = Seat(0, 0)
    room.seats.come_without_thread("task")
    assert room.seats.give_way(seat) == "task"
    assert seat.slot == 0
    assert room.seats.give_way(seat) is None
    room.seats.leave(seat)
    room.seats.come_without_thread("another")
    assert [each.slot for each in room.started] == [0]
    room.seats.forget("another")
    assert not room.seats.going


def test_who_is_cancelled_does_not_wait_for_a_slot() -> None:
    """Neither before it has begun to, nor after."""
    room = Room(1)
    seat = Seat(0)
    assert not room.seats.come(seat, lambda: True, at_once=never)
    thread, answer = room.calls(lambda: room.seats.come(seat, never, at_once=never))
    while not room.seats.going:
        pass
    room.seats.forget(seat)
    thread.join()
    assert answer == [False]
    assert seat.slot == -1
    room.seats.forget(seat)


def test_who_goes_on_at_once_has_no_slot() -> None:
    """Those who have the slots may take long; nor has who is let go."""
    room = Room(1)
    seat, other = Seat(0), Seat(1)
    assert room.seats.come(seat, never, at_once=lambda: True)
    thread, answer = room.calls(lambda: room.seats.come(other, never, at_once=never))
    while not room.seats.going:
        pass
    room.seats.come_without_thread("another")
    room.seats.let_go()
    thread.join()
    assert answer == [True]
    assert (seat.slot, other.slot, list(room.seats.going)) == (-1, -1, ["another"])


def test_too_many_wait() -> None:
    """That is an error, and no deadlock."""
    room = Room(1)
    room.seats.count_parked(PARKED_MAX)
    with pytest.raises(TaskError, match="512 tasks of this process wait"):
        room.seats.count_parked(1)
    room.seats.count_parked(-1)
    room.seats.count_parked(1)


def test_the_end() -> None:
    """Those who sleep are to end; nobody begins."""
    room = Room(2)
    resting, waiting = Seat(0, 0), Seat(1)
    one, first = room.calls(lambda: room.seats.rest(resting))
    two, second = room.calls(lambda: room.seats.come(waiting, never, at_once=never))
    while not room.seats.free and waiting.slot < 0:
        pass
    two.join()
    room.seats.stop()
    one.join()
    assert (first, second) == ([False], [True])
    assert not room.seats.rest(Seat(3, 1))


def test_threads_that_are_not_needed_end() -> None:
    """Some are kept for the next time."""
    room = Room(1)
    kept = [room.calls(lambda row=row: room.seats.rest(Seat(row)))[1] for row in range(1, 30)]  # type: ignore[misc]
    while kept.count([False]) < 29 - 5:
        pass
    room.seats.stop()
