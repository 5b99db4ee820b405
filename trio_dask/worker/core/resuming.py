"""The conversation with the scheduler, which outlasts its connections."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import Lasting, Memory, reunion, session as hello, tasks as words

if TYPE_CHECKING:
    from trio_dask.messages import Message
    from trio_dask.worker.core.state import WorkerState


#: So many rows of results are remembered after the scheduler has heard them, or the last message.
HEARD_ROWS_MAX: Final = 1000


@dataclass(slots=True, eq=False)
class Bond:
    """How it stands with the scheduler. Until it knows us all that is said waits."""

    secret: str
    lasting: Lasting = field(default_factory=Lasting)
    away: bool = True
    due: bool = False  # to confirm what was heard
    again: list[Message] = field(default_factory=list)
    anew: bool = False  # it is to be told all
    before: list[Message] = field(default_factory=list)  # what the last one may not have heard
    memory: Memory = field(default_factory=Memory)
    #: What has ended, by its first attempt, with the tasks of all: until that is heard.
    ended: dict[int, tuple[words.Done, list[int]]] = field(default_factory=dict)
    #: The last of it that was heard: the scheduler may die before it has told the clients.
    heard: deque[tuple[words.Done, list[int]]] = field(default_factory=deque)
    heard_rows: int = 0


def hears(state: WorkerState, message: Message) -> bool:
    """The scheduler says this; whether it was about the conversation itself.

    Raises:
        RemoteProtocolError: it cannot be so.
    """
    bond = state.bond
    if bond is None:
        return False
    if type(message) is hello.Resumed:
        if message.heard < 0:  # it does not know us: this will be another conversation
            if bond.memory.cluster:  # else nobody has taken us in yet: there is nothing to tell
                bond.anew = True
                bond.before += bond.lasting.unheard()
                bond.lasting = Lasting()
        elif not bond.anew:  # else its welcome comes again
            back(bond, message.heard)
        return True
    bond.due = bond.lasting.hears(message) or bond.due
    if type(message) is hello.Heard:
        _was_heard(bond, message.count)
        return True
    if type(message) is reunion.Members:
        bond.memory.told(message)
        return True
    return False


def back(bond: Bond, heard: int) -> None:
    """The scheduler is there again, and has heard so many."""
    _was_heard(bond, heard)
    bond.away, bond.again = False, bond.lasting.unheard()


def _was_heard(bond: Bond, count: int) -> None:
    try:
        heard = bond.lasting.was_heard(count)
    except ValueError as error:
        raise RemoteProtocolError(str(error)) from None
    for message in heard:
        if type(message) is words.Done and message.attempts:
            _remember(bond, bond.ended.pop(message.attempts[0], None))


def _remember(bond: Bond, ended: tuple[words.Done, list[int]] | None) -> None:
    if ended is None or words.OK_INLINE not in ended[0].statuses:
        return
    bond.heard.append(ended)
    bond.heard_rows += len(ended[1])
    while bond.heard_rows > HEARD_ROWS_MAX and len(bond.heard) > 1:
        bond.heard_rows -= len(bond.heard.popleft()[1])


def lost(state: WorkerState) -> None:
    """The connection broke."""
    if state.bond is not None:
        state.bond.away, state.bond.again = True, []


def to_say(state: WorkerState) -> list[Message]:
    """What is to be sent to the scheduler now."""
    said, state.out.scheduler = state.out.scheduler, []
    bond = state.bond
    if bond is None:
        return said
    if bond.due and not bond.away:
        bond.due = False
        said.append(bond.lasting.confirmation())
    bond.lasting.says(said)
    if bond.away:
        return []
    again, bond.again = bond.again, []
    return again + said if again else said
