"""Which values in memory files a runner may be reading, and which of its own may be written again.

To lend is to hold a reference: when the last one to a segment is gone, here and in the store,
nobody reads it any more, and the runner it came from is told.
"""

from __future__ import annotations

import math
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from trio_dask.comm import CARRIED_MAX
from trio_dask.messages import Part
from trio_dask.messages.sealing import Pressure, Rewrite, Sealed, Unread
from trio_dask.messages.values import Give
from trio_dask.store import Loan, Segment

if TYPE_CHECKING:
    from trio_dask.messages import Message


class Lending:
    """What is lent to one runner process, and what has come from it."""

    def __init__(self, pool_bytes_max: int = 0, given_max: float = math.inf) -> None:
        """`pool_bytes_max`: so much the runner keeps of its memory files to write them again.

        `given_max`: so many values it may be reading as descriptors; others go to it as bytes.
        """
        self._given_max: Final = given_max
        self._pool_bytes_max: Final = pool_bytes_max
        self._keeps = True
        #: Bytes by the runner's number of what it has made in memory and somebody has, and of
        #: what it keeps.
        self._alive: Final[dict[int, int]] = {}
        self._idle: Final[dict[int, int]] = {}
        #: By how manieth it was that the runner was given; a task's value may come again.
        self._given: Final[dict[int, Segment]] = {}
        self._count = 0
        self._own: Final[dict[int, Segment]] = {}  # by the runner's number
        self._unread: Final[deque[tuple[int, int]]] = deque()
        self._over = False

    def __len__(self) -> int:
        return len(self._own) + len(self._given)

    def sealed(self, message: Sealed) -> None:
        """It has values of its own, and reads those that are results."""
        rows = zip(message.attempts, message.numbers, message.payloads, strict=True)
        for attempt, number, segment in rows:
            if isinstance(segment, Segment):
                segment.loan = loan = Loan()
                segment.on_gone(partial(self._gone, number, loan))
                if number > 0:
                    self._alive[number] = segment.nbytes
                    self._idle.pop(number, None)
                if attempt:
                    self._own[number] = segment

    def given(self, messages: list[Message]) -> list[Message]:
        """It is to be told this: the same, in messages that their descriptors have room in."""
        out: list[Message] = []
        for message in messages:
            if type(message) is Give:
                out += self._lend(message)
            else:
                out.append(message)
            if type(message) is Pressure:
                self._keeps = not message.level
                self._idle.clear()
        return out

    def _lend(self, message: Give) -> list[Message]:
        many = 0
        for at, payload in enumerate(message.payloads):
            if isinstance(payload, Segment) and len(self._given) >= self._given_max:
                message.payloads[at] = Part(payload, 0, payload.nbytes)
            elif isinstance(payload, Segment):
                self._count += 1
                self._given[self._count] = payload
                many += 1
        if many <= CARRIED_MAX:
            return [message]
        starts = range(0, len(message.tids), CARRIED_MAX)
        parts = [slice(at, at + CARRIED_MAX) for at in starts]
        return [Give(message.tids[part], message.payloads[part]) for part in parts]

    def unread(self, message: Unread) -> None:
        """It does not read these any more. What it says without reason changes nothing."""
        for which, own, clean in zip(message.ids, message.own, message.clean, strict=True):
            segment = (self._own if own else self._given).pop(which, None)
            if segment is not None and not clean:
                segment.shared = True

    @property
    def alive_bytes(self) -> int:
        """Of the memory that the runner has made, so much is read, or may be."""
        return sum(self._alive.values())

    @property
    def idle_bytes(self) -> int:
        """So much it keeps for values to come."""
        return sum(self._idle.values())

    def _gone(self, number: int, loan: Loan, shared: bool) -> None:  # noqa: FBT001 - called by `Segment`
        nbytes = self._alive.pop(number, 0)
        loan.ended(partial(self._is_unread, number, nbytes), shared=shared)

    def _is_unread(self, number: int, nbytes: int, shared: bool) -> None:  # noqa: FBT001 - called by `Loan`
        if not self._over:
            if self._keeps and nbytes <= self._pool_bytes_max and nbytes and not shared:
                self._idle[number] = nbytes
                while self.idle_bytes > self._pool_bytes_max:
                    del self._idle[next(iter(self._idle))]
            self._unread.append((number, int(not shared)))

    def news(self) -> list[Message]:
        """What is to be said to the runner."""
        count = len(self._unread)
        if not count:
            return []
        rows = [self._unread.popleft() for _ in range(count)]
        return [Rewrite(*map(list, zip(*rows, strict=True)))]

    def end(self) -> None:
        """The process has ended: it reads nothing, and what it made is nobody's to write."""
        self._over = True
        self._given.clear()
        self._own.clear()
        self._unread.clear()
        self._idle.clear()
