"""Which hosts have a worker process: decided from how many workers there shall be, and what ended."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Final

#: The wait before a process that has died is started again, doubled with each that is of no use.
REST_S: Final = 1.0
REST_MAX_S: Final = 30.0


class Place(enum.Enum):
    """What is on a host."""

    FREE = "nothing, and something may be"
    STARTING = "a process that is about to join"
    HERE = "a process with workers"
    LEAVING = "a process that has been told to go"
    RESTING = "nothing: what was there has died, and another one has to wait"
    LEFT = "nothing: what was there has gone by itself, and nobody has asked for another since"


@dataclass(slots=True)
class Seat:
    """A host, or one of several processes on it."""

    place: Place = Place.FREE
    until: float = 0.0
    deaths: int = 0  # in a row


_WORK: Final = {Place.STARTING, Place.HERE}


class Seats:
    """The hosts of one cluster, in the order in which they are taken.

    >>> seats = Seats(3, together=2)
    >>> seats.look(3, now=0.0), seats.look(3, now=0.0), seats.look(2, now=0.0)
    (([0, 1], []), ([], []), ([], [1]))

    Args:
        count: how many hosts there are.
        together: how many workers a process has.
    """

    def __init__(self, count: int, *, together: int = 1) -> None:
        self._seats: Final = [Seat() for _ in range(count)]
        self._together: Final = together

    def look(self, wanted: int, *, now: float) -> tuple[list[int], list[int]]:
        """Where a process is to be started, and which are to leave; that has been noted."""
        lacking = math.ceil(wanted / self._together) - sum(
            seat.place in _WORK for seat in self._seats
        )
        free = [at for at, seat in enumerate(self._seats) if self._is_free(seat, now)]
        starting = free[: max(0, lacking)]
        for at in starting:
            self._seats[at].place = Place.STARTING
        # The youngest first, and of these what has not begun before what works.
        at_work = [at for at, seat in enumerate(self._seats) if seat.place in _WORK]
        order = sorted(at_work, key=lambda at: (self._seats[at].place is Place.HERE, -at))
        leaving = order[: max(0, -lacking)]
        for at in leaving:
            self._seats[at].place = Place.LEAVING
        return starting, leaving

    @staticmethod
    def _is_free(seat: Seat, now: float) -> bool:
        return seat.place is Place.FREE or (seat.place is Place.RESTING and seat.until <= now)

    def ordered(self) -> None:
        """Somebody has said how many there shall be: who has gone by himself may be made up for."""
        for seat in self._seats:
            if seat.place is Place.LEFT:
                seat.place = Place.FREE

    def leaves(self, at: int) -> None:
        """Its workers have been let go of: the process is about to end, and not counted any more."""
        if self._seats[at].place is Place.HERE:
            self._seats[at].place = Place.LEAVING

    def joined(self, at: int) -> None:
        """The workers of a process are there."""
        seat = self._seats[at]
        seat.deaths = 0
        if seat.place is Place.STARTING:
            seat.place = Place.HERE

    def ended(self, at: int, *, now: float, died: bool) -> float:
        """A process has ended, or did not start. How long it is until another one may."""
        seat = self._seats[at]
        if seat.place is Place.LEAVING:
            seat.place = Place.FREE
            return 0.0
        if not died:
            seat.place = Place.LEFT
            return math.inf
        rest: float = min(REST_S * 2.0**seat.deaths, REST_MAX_S)
        seat.place, seat.until = Place.RESTING, now + rest
        seat.deaths = min(seat.deaths + 1, 10)
        return rest

    def next_at(self) -> float:
        """When it is to be looked again, though nothing happens."""
        resting = [seat.until for seat in self._seats if seat.place is Place.RESTING]
        return min(resting, default=math.inf)
