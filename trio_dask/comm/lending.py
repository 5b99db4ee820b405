"""What goes through one local connection as descriptors: who may take how many, and who reads what.

Both ends count the values that go to the other one, and those that come, each from 1. Who has got
one says when it is not read any more; where it came from, its memory may be written again then.
"""

from __future__ import annotations

import os
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from trio_dask.comm.framing import CARRIED_MAX
from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import Part
from trio_dask.messages.sealing import FILE_BYTES_MIN, Returned, Takes
from trio_dask.messages.values import Store, Values
from trio_dask.store import Forks, Loan, Segment

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.messages import Message, Payload

#: The most values that one side takes at a time, however many descriptors it may have.
TAKES_MAX: Final = 1024


def takes_here(share: int) -> Takes:
    """How many values this process takes at a time from one peer: it has only so many descriptors.

    `share`: no more than one of so many that are free.
    """
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        used = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - only how many
    except OSError:
        used = soft
    free = soft - used if soft > 0 else share * TAKES_MAX
    return Takes(max(0, min(free // share, TAKES_MAX)))


def _nothing() -> None:
    pass


class LocalLoans:
    """The values that go through one local connection.

    Args:
        wake: called when there is `news`, by any thread and at any moment.
    """

    def __init__(self, wake: Callable[[], object] = _nothing) -> None:
        self._wake: Final = wake
        self._takes = 0  # the other side
        self._out: Final[dict[int, Loan | None]] = {}
        self._given = self._came = 0
        #: Bytes by their number of those that have come and that something here refers to.
        self._alive: Final[dict[int, int]] = {}
        self._news: Final[deque[tuple[int, int]]] = deque()
        self._over = False

    @property
    def alive_bytes(self) -> int:
        """So much has come that something here refers to: it counts as ours."""
        return sum(self._alive.copy().values())

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left of it."""
        return self._over and not self._alive

    def heard(self, messages: list[Message]) -> list[Message]:
        """What has come through the connection, without what is for us.

        Raises:
            RemoteProtocolError: a value that has come cannot be read.
        """
        left: list[Message] = []
        for message in messages:
            if isinstance(message, Takes):
                self._takes = max(0, min(message.count, TAKES_MAX))
            elif isinstance(message, Returned):
                self.returned(message)
            else:
                if isinstance(message, Values | Store):
                    self.incoming(message.payloads)
                left.append(message)
        return left

    def said(self, message: Message) -> Message:
        """The message as it is to be sent."""
        if isinstance(message, Values | Store):
            message.payloads = self.outgoing(message.payloads)
        return message

    # ------------------------------------------------------------ to the other side

    def outgoing(self, payloads: list[Payload]) -> list[Payload]:
        """The payloads of a message: those that are to go as bytes are marked as such."""
        if not any(isinstance(each, Segment) for each in payloads):
            return payloads
        out: list[Payload] = []
        carried = 0
        for each in payloads:
            if not isinstance(each, Segment):
                out.append(each)
            elif (
                each.nbytes < FILE_BYTES_MIN
                or carried >= CARRIED_MAX
                or len(self._out) >= self._takes
            ):
                out.append(Part(each, 0, each.nbytes))
            else:
                carried += 1
                self._lend(each)
                out.append(each)
        return out

    def _lend(self, segment: Segment) -> None:
        self._given += 1
        loan = self._out[self._given] = segment.loan
        if loan is not None:
            loan.lend()

    def returned(self, message: Returned) -> None:
        """The other side does not read these any more. What it says without reason changes nothing."""
        for number, clean in zip(message.numbers, message.clean, strict=True):
            loan = self._out.pop(number, None)
            if loan is not None:
                loan.back(clean=bool(clean))

    # ------------------------------------------------------------ from the other side

    def incoming(self, payloads: list[Payload]) -> None:
        """The payloads of a message that has come.

        Raises:
            RemoteProtocolError: one cannot be read.
        """
        for at, each in enumerate(payloads):
            if not isinstance(each, Segment):
                continue
            self._came += 1
            number, forks = self._came, Forks.count
            self._alive[number] = each.nbytes
            each.loan = loan = Loan()
            each.on_gone(partial(self._gone, number, loan, forks))
            if each.nbytes < FILE_BYTES_MIN:  # nobody expects those to be elsewhere
                try:
                    payloads[at] = each.read(0, each.nbytes)
                except OSError as error:
                    msg = f"a value behind a descriptor that cannot be read: {error}"
                    raise RemoteProtocolError(msg) from error

    def _gone(self, number: int, loan: Loan, forks: int, shared: bool) -> None:  # noqa: FBT001 - called by `Segment`
        self._alive.pop(number, None)
        loan.ended(partial(self._say, number), shared=shared or forks != Forks.count)

    def _say(self, number: int, shared: bool) -> None:  # noqa: FBT001 - called by `Loan`
        if not self._over:
            self._news.append((number, int(not shared)))
            self._wake()

    def news(self) -> list[Message]:
        """What is to be said to the other side."""
        count = len(self._news)
        if not count:
            return []
        rows = [self._news.popleft() for _ in range(count)]
        return [Returned(*map(list, zip(*rows, strict=True)))]

    def end(self) -> None:
        """The connection is over: nobody says any more who reads what."""
        self._over = True
        self._news.clear()
        while self._out:
            loan = self._out.popitem()[1]
            if loan is not None:
                loan.back(clean=False)
