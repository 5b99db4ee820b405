"""Values in memory files, between a runner and its worker. What is where, and who still reads it."""

from __future__ import annotations

from typing import ClassVar, Final

from trio_dask.messages.codec import Message, message
from trio_dask.messages.columns import Ints, Payloads

#: A smaller value has no file of its own.
FILE_BYTES_MIN: Final = 64 << 10
#: So many bytes of smaller ones are in one file.
SLAB_BYTES: Final = 8 << 20


@message(150)
class Sealed(Message):
    """Values of the runner's that outlive it: they are in memory files, whose descriptors come along.

    Each comes before the `Done` of the attempt that made it; an attempt of 0 is one whose value
    has stayed in the runner so far, and is asked for. `numbers` are the runner's, for its files,
    and below 0 for those that are on disk.
    """

    attempts: Ints
    tids: Ints
    numbers: Ints
    payloads: Payloads
    PARALLEL: ClassVar = ("attempts", "tids", "numbers", "payloads")


@message(155)
class Slab(Message):
    """Values of the runner's, each too small for a file of its own, one after the other in one file.

    They are some of those that `Unload` has asked for.
    """

    tids: Ints
    sizes: Ints
    payloads: Payloads
    PARALLEL: ClassVar = ("tids", "sizes")


@message(151)
class Unread(Message):
    """Nothing in the runner refers any more to values that it was given, or to some of its own.

    `own` says which `ids` are: with 1 numbers of its files, with 0 how manieth it was of those it
    was given, counted from 1. With 0 in `clean` a process that it has forked may still read.
    """

    ids: Ints
    own: Ints
    clean: Ints
    PARALLEL: ClassVar = ("ids", "own", "clean")


@message(152)
class Rewrite(Message):
    """Nothing refers any more to what is in these files of the runner's (worker → runner).

    With 0 in `clean` there may still be readers, so the file is not to be written again.
    """

    numbers: Ints
    clean: Ints
    PARALLEL: ClassVar = ("numbers", "clean")


@message(153)
class Unload(Message):
    """Put these values into files on disk, for want of memory (worker → runner).

    Each is answered by `Sealed` or `Slab`, and all of them by `Values` with the same serial, which says
    of the others that they stay where they are.
    """

    serial: int
    tids: Ints


@message(154)
class Pressure(Message):
    """How short memory is (worker → runner).

    0: it is not; 1: keep none for values to come; 2: and put new ones into files on disk.
    """

    level: int


# ---------------------------------------------------------------- between peers of one host


@message(156)
class Takes(Message):
    """Through this connection so many values may go as descriptors at a time, as long as they are read.

    Both sides of a local connection say it first; before that, all go as bytes.
    """

    count: int


@message(157)
class Returned(Message):
    """Values that came through this connection as descriptors are not read here any more.

    `numbers` say how manieth each was, counted from 1. With 0 in `clean` somebody may still read of
    whom nothing is known.
    """

    numbers: Ints
    clean: Ints
    PARALLEL: ClassVar = ("numbers", "clean")
