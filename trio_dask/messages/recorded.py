"""What event logs are made of. These are never said to anybody: see `trio_dask.eventlog`."""

from __future__ import annotations

from typing import Final

from trio_dask.messages.codec import Message, message
from trio_dask.messages.columns import Ints, Plain

#: Of what is recorded; another one is not read.
FORMAT: Final = 2


@message(110)
class Recording(Message):
    """The beginning of an event log: whose it is, and what its core was made with."""

    format: int
    version: str
    role: str
    cluster: str
    epoch: int
    settings: Plain


@message(111)
class Event(Message):
    """Something a core was told, or asked for; the message that came with it follows in the frame.

    `what` is the name of the core's method. `who` is the peer, of a worker process the
    worker's index; `number` is the method's number, if it has one: slices, a session, or
    the digest of what the core said. `sizes` are the lengths of the message's byte strings,
    which are themselves left out.
    """

    what: str
    who: int
    number: int
    now: float
    sizes: Ints
