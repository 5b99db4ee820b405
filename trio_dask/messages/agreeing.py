"""Whether scheduler and worker agree on what the worker is to run: see `Heartbeat`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from trio_dask.messages.codec import Message, message
from trio_dask.messages.columns import Ints

if TYPE_CHECKING:
    from collections.abc import Iterable

_MASK: Final = (1 << 62) - 1


def digest(attempts: Iterable[int]) -> int:
    """A number by which two sets of attempts are told apart, but for rare accidents.

    >>> digest([3, 5]) == digest([5, 3]), digest([3, 5]) == digest([3])
    (True, False)
    """
    return sum(attempts) & _MASK


@message(190)
class Recount(Message):
    """From the scheduler: the worker should have so many attempts, and others. It is to say all."""

    given: int


@message(191)
class Counted(Message):
    """The answer: these attempts there were when so many messages had been heard."""

    heard: int
    attempts: Ints
    tids: Ints
    PARALLEL: ClassVar = ("attempts", "tids")
