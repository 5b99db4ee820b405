"""The dashboard's hand: a client in the scheduler's own process, for what viewers ask and order.

What it says goes to the core as everybody's words do, so a log of events has it, and what may be
asked is what clients may ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import trio

from trio_dask.messages.session import Answer, Ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.messages import Message

#: What it is called among the clients.
NAME: Final = "dashboard"


class Hand:
    """Questions that are under way.

    Args:
        say: tells the core what it says.
    """

    def __init__(self, say: Callable[[Message], None]) -> None:
        self._say: Final = say
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

    def hear(self, messages: list[Message]) -> None:
        """What the core says to it: of all that only answers mean something."""
        for message in messages:
            waiting = self._waiting.get(message.serial) if isinstance(message, Answer) else None
            if waiting is not None:
                assert isinstance(message, Answer)
                self._answers[message.serial] = message
                waiting.set()
