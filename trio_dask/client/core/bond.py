"""A client's conversation with the scheduler, which outlasts its connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import Lasting, Memory
from trio_dask.messages.reunion import Members
from trio_dask.messages.session import Heard, Resume, Resumed, Welcome

if TYPE_CHECKING:
    from trio_dask.messages import Message


class Bond:
    """What was said and heard, and whether anything can be said at present."""

    def __init__(self, secret: str) -> None:
        self.secret: Final = secret
        self.away = False
        self._lasting = Lasting()
        self._due = False  # to confirm what was heard
        self._again: list[Message] = []
        self.anew = False  # it is to be told all
        self.memory: Final = Memory()

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to be said that nobody has asked for."""
        return not (self._due or self._again)

    def lost(self) -> None:
        """The connection broke."""
        self.away, self._again = True, []

    def resume(self) -> Resume:
        """What is said first on the next one."""
        return Resume(self.secret, self._lasting.heard)

    def hears(self, message: Message) -> bool:
        """The scheduler says this; whether it was about the conversation itself.

        Raises:
            RemoteProtocolError: it cannot be so.
        """
        if type(message) is Resumed:
            if message.heard < 0:  # it does not know us: this will be another conversation
                self.anew, self._lasting = True, Lasting()
            elif not self.anew:  # else its welcome comes again
                self._was_heard(message.heard)
                self.away, self._again = False, self._lasting.unheard()
            return True
        if type(message) is Members:
            self._due = self._lasting.hears(message) or self._due
            self.memory.told(message)
            return True
        self._due = self._lasting.hears(message) or self._due
        if type(message) is Heard:
            self._was_heard(message.count)
            return True
        return False

    def _was_heard(self, count: int) -> None:
        try:
            self._lasting.was_heard(count)
        except ValueError as error:
            raise RemoteProtocolError(str(error)) from None

    def welcomed(self, message: Welcome) -> bool:
        """A scheduler takes us in; whether it is to be told all that is wanted.

        Raises:
            RemoteProtocolError: it is not ours, or not any more.
        """
        self.memory.welcomed(message)
        anew, self.anew, self.away = self.anew, False, False
        if anew:  # what was said in the meantime is part of all
            self._lasting = Lasting()
            self._lasting.hears(message)
        return anew

    def says(self, said: list[Message]) -> list[Message]:
        """What is to be sent now, where all this is to be said."""
        if self._due and not self.away:
            self._due = False
            said.append(self._lasting.confirmation())
        self._lasting.says(said)
        if self.away:
            return []
        again, self._again = self._again, []
        return again + said if again else said
