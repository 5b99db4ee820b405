"""What those who come back tell a scheduler that does not know them.

A worker tells what it holds and runs; a client tells again what it wants, with all that
describes it, and what it knows of how that ended. `Announced` is the last of it.
"""

from __future__ import annotations

from typing import ClassVar, Final

from trio_dask.messages.codec import Message, message
from trio_dask.messages.columns import Blobs, Ints, Plain, Strs


@message(13)
class Members(Message):
    """Who is in the cluster: all (`whole`), or who has come and gone since.

    From a scheduler it is news, from who comes back it is what it remembers. Workers are
    named by address, clients by number; `version` counts the changes so far.
    """

    cluster: str
    epoch: int
    version: int
    whole: bool
    workers: Strs
    clients: Ints
    gone_workers: Strs
    gone_clients: Ints
    provisional: bool = False  # see `Welcome`


@message(14)
class Holdings(Message):
    """The worker holds these values."""

    tids: Ints
    nbytes: Ints
    PARALLEL: ClassVar = ("tids", "nbytes")


@message(15)
class Attempts(Message):
    """The worker has been given these attempts; those with `begun` have all their inputs."""

    attempts: Ints
    tids: Ints
    begun: Ints
    PARALLEL: ClassVar = ("attempts", "tids", "begun")


@message(16)
class Announced(Message):
    """That is all; a worker has so many slots at present, and knows these functions."""

    slots: int
    fids: Ints


#: Statuses in `Known`: a small value, which is in `values`; one that workers hold; a failure,
#: which is in `values`; cancelled or lost, for the reason in `values`.
INLINE: Final = 0
HELD: Final = 1
FAILED: Final = 2
CANCELLED: Final = 3
LOST: Final = 4
SOUGHT: Final = 5  # held, but the client did not find it there: it is to be told where it is


@message(17)
class Known(Message):
    """The client has been told of these ends of its tasks.

    `sources` has for each row the id by which workers know the value.
    """

    tids: Ints
    statuses: Ints
    values: Blobs
    sources: Ints
    PARALLEL: ClassVar = ("tids", "statuses", "values", "sources")


@message(18)
class Disown(Message):
    """Nobody counts on these attempts any more: stop them, and say nothing about them."""

    attempts: Ints


#: What the cluster keeps for clients is kept by workers, too, as far as it has no more bytes.
MIRRORED_BYTES_MAX: Final = 64 << 20


@message(19)
class Mirror(Message):
    """Records that the worker keeps for a scheduler to come, and those that are `gone`.

    The scheduler tells them, and a worker that comes back to another says them again, as it
    has them. It does not look into them: a record never changes, each has an id of its own.
    With `anew` it keeps no others; with a `version` it has all there are up to that one.
    """

    version: int
    anew: bool
    ids: Ints
    heads: Plain
    blobs: Blobs
    gone: Ints
    PARALLEL: ClassVar = ("ids", "blobs")


@message(181)
class Mirrored(Message):
    """The worker has the records of this version; 0: those that it was told, but not all."""

    version: int


@message(182)
class Tickets(Message):
    """What the client holds: locks, semaphores, and what it was given and has not taken.

    `held` has a list for each of these, ``locks``, ``semaphores``, ``items`` and ``reading``,
    and in it one for each ticket, that begins with its token.
    """

    held: Plain


@message(183)
class Lingering(Message):
    """These attempts had clients, which are lost with their scheduler: they are stopped, and not over.

    The worker says so when it comes back, and again when some have ended, the last time with none.
    """

    attempts: Ints
