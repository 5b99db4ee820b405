"""The dashboard's hand: a client in the scheduler's own process, for what viewers ask and order.

What it says goes to the core as everybody's words do, so a log of events has it, and what may be
asked is what clients may ask. What the process has logged, which the core does not know, it tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import trio

from trio_dask.eventlog import newest
from trio_dask.messages.inquiring import TOLD_HERE, packed
from trio_dask.messages.session import Answer, Ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio_dask.eventlog import LogLines
    from trio_dask.messages import Message

#: What it is called among the clients.
NAME: Final = "dashboard"
#: What is around the lines of a log.
_FRAME_BYTES: Final = 32


class Hand:
    """Questions that are under way.

    Args:
        say: tells the core what it says.
        log: what the process has logged.
    """

    def __init__(self, say: Callable[[Message], None], log: LogLines) -> None:
        self._say: Final = say
        self._log: Final = log
        self._serials = 0
        self._waiting: dict[int, trio.Event] = {}
        self._answers: dict[int, Answer] = {}

    async def ask(self, topic: str, params: dict[str, Any]) -> dict[str, Any]:
        """What the scheduler answers.

        Raises:
            ValueError: it says that the question makes no sense.
        """
        self._serials += 1
        serial = self._serials
        self._waiting[serial] = answered = trio.Event()
        try:
            self._say(Ask(serial, topic, params))
            await answered.wait()
            answer = self._answers[serial]
        finally:
            self._waiting.pop(serial, None)
            self._answers.pop(serial, None)
        if not answer.ok:
            raise ValueError(str(answer.data.get("error", "it cannot be done")))
        return answer.data

    def tell(self, asked: Iterable[tuple[int, dict[str, Any]]]) -> None:
        """Answer those who have asked what this process has logged."""
        lines = self._log.lines(trio.current_time())
        for serial, params in asked:
            said = {"lines": newest(lines, params["n"], params["bytes_max"] - _FRAME_BYTES)}
            self._serials += 1
            self._say(Ask(self._serials, TOLD_HERE, {"serial": serial, "said": packed(said)}))

    def hear(self, messages: list[Message]) -> None:
        """What the core says to it: of all that only answers mean something."""
        for message in messages:
            waiting = self._waiting.get(message.serial) if isinstance(message, Answer) else None
            if waiting is not None:
                assert isinstance(message, Answer)
                self._answers[message.serial] = message
                waiting.set()
