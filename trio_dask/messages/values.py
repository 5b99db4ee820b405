"""Values on their way between a worker and a peer, or a worker and its runner."""

from __future__ import annotations

from typing import ClassVar, Final

from trio_dask.messages.codec import Message, message
from trio_dask.messages.columns import Blobs, Ints, Payloads, Plain

#: Statuses in `Values`.
FOUND: Final = 0  # the next of `payloads` is the packed value
ABSENT: Final = 1
UNPICKLABLE: Final = 2  # the next of `failures` is the encoded `Failure`


@message(80)
class Fetch(Message):
    """Send me these values; answered by `Values` with the same serial, in one or more parts."""

    serial: int
    tids: Ints


@message(81)
class Values(Message):
    """Values asked for. `last` marks the final part of the answer."""

    serial: int
    tids: Ints
    statuses: Ints
    failures: Blobs
    payloads: Payloads
    last: bool
    PARALLEL: ClassVar = ("tids", "statuses")


@message(82)
class Store(Message):
    """Keep these packed values; answered by `StoreDone` with the same serial."""

    serial: int
    tids: Ints
    payloads: Payloads
    PARALLEL: ClassVar = ("tids", "payloads")


@message(83)
class StoreDone(Message):
    """The values of `Store` are kept, or `error` says why not."""

    serial: int
    error: str


# ---------------------------------------------------------------- worker ↔ runner only


@message(90)
class Prepare(Message):
    """The first message to a runner: who it works for.

    Keys: name, address, scheduler_address, nthreads, inline_bytes_max, local_directory,
    sealed_bytes_min, pool_bytes_max, sealed_max, memory_limit.
    """

    settings: Plain


@message(91)
class Ready(Message):
    """The runner can take work."""

    pid: int


@message(92)
class Give(Message):
    """Packed values for the runner to hold, as inputs of tasks to come."""

    tids: Ints
    payloads: Payloads
    PARALLEL: ClassVar = ("tids", "payloads")


@message(93)
class Stop(Message):
    """End: nothing new is started; the runner exits when this is read."""

    reason: str
