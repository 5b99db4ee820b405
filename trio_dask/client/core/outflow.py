"""Messages to the scheduler, at a pace it can follow.

Users queue without bound, connections do not. So what has been sent and is not
known to have arrived is limited: markers in the stream, questions that the
scheduler answers in order, say how far it is.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from trio_dask.messages.session import Ask
from trio_dask.messages.tasks import Functions, Submit

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.messages import Message

WINDOW_BYTES: Final = 32 << 20
MARK_BYTES: Final = 2 << 20


class Outflow:
    """What is to be sent, and what is under way."""

    def __init__(self, serial: Callable[[], int]) -> None:
        self._serial = serial
        self._waiting: deque[Message] = deque()
        self._since_mark = 0
        self._marks: dict[int, int] = {}  # serial of a marker → bytes it stands for
        self._under_way = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def append(self, message: Message) -> None:
        """To be sent after all others."""
        self._waiting.append(message)

    def take(self, now: float | None = None) -> list[Message]:
        """What may be sent now. Of deadlines it says how much is left."""
        out: list[Message] = []
        waiting = self._waiting
        while waiting and self._under_way < WINDOW_BYTES:
            message = waiting.popleft()
            if type(message) is Submit and "deadline" in message.options:
                assert now is not None, "where something has a deadline, the time is known"
                left = max(0.0, message.options["deadline"] - now)
                message.options = {**message.options, "deadline": left}
            out.append(message)
            nbytes = _size(message)
            self._under_way += nbytes
            self._since_mark += nbytes
            if self._since_mark >= MARK_BYTES:
                serial = self._serial()
                self._marks[serial] = self._since_mark
                self._since_mark = 0
                out.append(Ask(serial, "flush", {}))
        return out

    def begin_again(self) -> None:
        """Another scheduler listens: nothing is under way to it, and all is said anew."""
        self._waiting.clear()
        self._marks.clear()
        self._since_mark = self._under_way = 0

    def arrived(self, serial: int) -> bool:
        """Whether this answer is to a marker; then there may be more to `take`."""
        nbytes = self._marks.pop(serial, None)
        if nbytes is None:
            return False
        self._under_way -= nbytes
        return True


def _size(message: Message) -> int:
    """About how long it is; messages that are always short count nothing."""
    if type(message) is Submit:
        args = message.args
        return (
            sum(map(len, args))
            + 8 * (len(args) + len(message.dep_tids))
            + sum(map(len, message.keys))
        )
    if type(message) is Functions:
        return sum(map(len, message.blobs))
    return 0
