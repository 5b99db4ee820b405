"""Memory for values that come from other hosts: written again when nobody reads it, and counted."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

import pytest

from trio_dask.store import Segment, map_privately
from trio_dask.worker.rooms import Rooms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Make = Callable[..., Rooms]

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memory files are Linux's")

MIB = 1 << 20


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes some, whose files are closed when the test is over."""
    made: list[Rooms] = []

    def one(*limits: int) -> Rooms:
        made.append(Rooms(*limits))
        return made[-1]

    yield one
    for each in made:
        each.close()


def come(rooms: Rooms, data: bytes) -> Segment:
    """A value that has come."""
    filling = rooms.make(len(data))
    assert filling is not None
    filling += data
    assert isinstance(filling.payload, Segment)
    return filling.payload


def file_of(segment: Segment) -> int:
    """Which file it is in."""
    return os.fstat(segment.fd).st_ino


def test_written_again_when_nobody_reads(make: Make) -> None:
    """What was read is there unchanged as long as somebody does; then its memory is used again."""
    rooms = make(8 * MIB, 10)
    first = come(rooms, b"a" * MIB)
    before = file_of(first)
    first.check()
    view = map_privately(first)
    del first
    second = come(rooms, b"b" * MIB)
    assert file_of(second) != before
    assert bytes(view) == b"a" * MIB
    del view
    gc.collect()
    assert file_of(come(rooms, b"c" * MIB)) == before
    assert second.read(0, MIB) == b"b" * MIB


def test_what_counts(make: Make) -> None:
    """What is there and what is kept, once; what comes in part, too, and what was given up is kept."""
    rooms = make(4 * MIB, 10)
    one, other = come(rooms, bytes(2 * MIB)), come(rooms, bytes(3 * MIB))
    assert rooms.nbytes == 5 * MIB
    del one
    assert rooms.nbytes == 5 * MIB
    rooms.rest()
    assert rooms.nbytes == 3 * MIB
    filling = rooms.make(2 * MIB)
    assert rooms.nbytes == 5 * MIB
    del filling, other
    assert rooms.nbytes == 3 * MIB  # two at a time would be more than is kept
    for _ in range(40):
        rooms.tick()
    assert rooms.nbytes == 0


def test_others_may_read(make: Make) -> None:
    """What is lent is not written again, nor is what somebody may read of whom nothing is heard."""
    rooms = make(8 * MIB, 10)
    segment = come(rooms, b"a" * MIB)
    loan, before = segment.loan, file_of(segment)
    assert loan is not None
    loan.lend()
    del segment
    second = come(rooms, b"b" * MIB)
    assert file_of(second) != before
    loan.back(clean=True)
    third = come(rooms, b"c" * MIB)
    assert file_of(third) == before
    third.shared = True
    del third
    assert file_of(come(rooms, b"d" * MIB)) != before


def test_no_more_files_than_there_may_be(make: Make) -> None:
    """What comes then is in memory of this process."""
    rooms = make(8 * MIB, 1)
    held = come(rooms, bytes(MIB))
    filling = rooms.make(MIB)
    assert filling is not None
    filling += b"x" * MIB
    assert isinstance(filling.payload, memoryview)
    assert bytes(filling.payload) == b"x" * MIB
    assert rooms.nbytes == held.nbytes
    assert make().make(1 << 62) is None


def test_the_end() -> None:
    """What is still read somewhere is there, and nothing else."""
    before = len(os.listdir("/proc/self/fd"))
    rooms = Rooms(8 * MIB, 10)
    held = come(rooms, b"x" * MIB)
    come(rooms, b"y" * MIB)
    rooms.close()
    assert held.read(0, MIB) == b"x" * MIB
    del held
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before
