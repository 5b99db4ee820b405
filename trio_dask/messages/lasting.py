"""A conversation that outlasts its connections.

Each side numbers what it says and keeps it until the other has said that it was heard.
When the connection breaks, both say on the next one how much they have heard, and what
the other has not is said again. So each message is heard once and in order, as if
nothing had happened, and neither core notices more than a pause.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final

from trio_dask.messages.session import Heard

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.messages.codec import Message

#: So many messages, or rows in them, are heard before the other side is told.
MESSAGES_MAX: Final = 32
ROWS_MAX: Final = 4096


class Lasting:
    """One side of such a conversation."""

    __slots__ = ("_kept", "_messages", "_rows", "heard", "said")

    def __init__(self) -> None:
        self.said = 0
        self.heard = 0
        self._kept: deque[Message] = deque()
        self._messages = 0  # heard since the other side was told
        self._rows = 0

    def says(self, messages: Iterable[Message]) -> None:
        """These are said now."""
        before = len(self._kept)
        self._kept.extend(messages)
        self.said += len(self._kept) - before

    def hears(self, message: Message) -> bool:
        """This is heard now; whether it is time to say so."""
        self.heard += 1
        if type(message) is Heard:  # or the two would never come to rest
            return False
        self._messages += 1
        self._rows += len(getattr(message, "tids", ()))
        return self._messages >= MESSAGES_MAX or self._rows >= ROWS_MAX

    @property
    def owes(self) -> bool:
        """Whether something was heard that the other side does not know to be."""
        return self._messages > 0

    def confirmation(self) -> Heard:
        """What to say about it."""
        self._messages = self._rows = 0
        return Heard(self.heard)

    def was_heard(self, count: int) -> list[Message]:
        """The other side has heard so many; what need not be kept any more is returned.

        It may be said again later that fewer were heard, as all is.

        Raises:
            ValueError: that many were not said.
        """
        if not 0 <= count <= self.said:
            msg = f"{count} messages heard, of {self.said} that were said"
            raise ValueError(msg)
        popleft = self._kept.popleft
        return [popleft() for _ in range(len(self._kept) - (self.said - count))]

    def since(self, count: int) -> list[Message] | None:
        """What was said after the first so many; None if it is not kept any more.

        Raises:
            ValueError: that many were not said.
        """
        if count > self.said:
            msg = f"{count} messages heard, of {self.said} that were said"
            raise ValueError(msg)
        start = count - (self.said - len(self._kept))
        return list(islice(self._kept, start, None)) if start >= 0 else None

    def unheard(self) -> list[Message]:
        """What has been said, and may not have been heard."""
        return list(self._kept)
