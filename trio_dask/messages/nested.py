"""Work inside work: what tasks that start tasks say, on their runner's socket and beyond.

The client of a running task has no connection of its own. What it says to the scheduler is
encoded as on any connection, and travels in `Nested`, which a worker passes on unread; the
answers come back the same way. Values go through the worker, which is asked for them.
"""

from __future__ import annotations

from dataclasses import field
from typing import ClassVar

from trio_dask.messages.codec import Message, message
from trio_dask.messages.columns import Blobs, Ints, Payloads


@message(100)
class Nested(Message):
    """What the client of a running attempt says to the scheduler, or is told by it.

    `frame` is the header of one encoded frame, which has no payloads.
    """

    attempt: int
    frame: Payloads


@message(101)
class NestedJoin(Message):
    """The first message in `Nested`: the attempt has a client, with a number from `Numbers`."""

    attempt: int
    number: int


@message(102)
class NumbersWanted(Message):
    """A runner will want so many numbers for the clients of its tasks; answered by `Numbers`."""

    count: int


@message(103)
class Numbers(Message):
    """Numbers for clients of tasks of a cluster, and the first of the ids that are each one's to give."""

    numbers: Ints
    firsts: Ints
    cluster: str = ""
    PARALLEL: ClassVar = ("numbers", "firsts")


@message(104)
class Parked(Message):
    """Running attempts that have given up their slot to wait (1), or have one again (0)."""

    attempts: Ints
    parked: Ints
    PARALLEL: ClassVar = ("attempts", "parked")


@message(105)
class NestedFetch(Message):
    """A running attempt's client wants values that are at `address`; answered by `NestedGot`.

    `large` has, for those of `tasks.LARGE_BYTES_MIN`, id and bytes in turn.
    """

    attempt: int
    serial: int
    address: str
    tids: Ints
    large: Ints = field(default_factory=list)


@message(106)
class NestedGot(Message):
    """What became of a `NestedFetch`, or of a `NestedStore`, which has no rows here.

    What is `FOUND` the runner holds by now; the next of `failures` says why a value cannot
    leave the place where it is.
    """

    attempt: int
    serial: int
    tids: Ints
    statuses: Ints
    failures: Blobs
    PARALLEL: ClassVar = ("tids", "statuses")


@message(107)
class NestedStore(Message):
    """A running attempt's client has values for the worker to keep; answered by `NestedGot`."""

    attempt: int
    serial: int
    tids: Ints
    payloads: Payloads
    PARALLEL: ClassVar = ("tids", "payloads")


@message(108)
class NestedStored(Message):
    """The worker holds these values, put there by the client of an attempt that runs on it."""

    attempt: int
    tids: Ints
    nbytes: Ints
    PARALLEL: ClassVar = ("tids", "nbytes")
