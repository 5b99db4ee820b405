"""Whatever connections break, each message is heard once and in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from trio_dask.messages.lasting import MESSAGES_MAX, ROWS_MAX, Lasting
from trio_dask.messages.session import Heard
from trio_dask.messages.tasks import Free, Slots

if TYPE_CHECKING:
    from trio_dask.messages import Message


class _Side:
    """One who says numbers."""

    def __init__(self) -> None:
        self.lasting = Lasting()
        self.way: list[Message] = []  # to the other side, over the present connection
        self.next = 0
        self.numbers: list[int] = []  # heard

    def say(self, messages: list[Message]) -> None:
        self.lasting.says(messages)
        self.way += messages

    def hear(self, message: Message) -> None:
        due = self.lasting.hears(message)
        if isinstance(message, Heard):
            self.lasting.was_heard(message.count)
        else:
            assert isinstance(message, Slots)
            self.numbers.append(message.nthreads)
        if due:
            self.say([self.lasting.confirmation()])


@given(st.lists(st.tuples(st.sampled_from(["say", "hear", "break", "confirm"]), st.booleans())))
def test_once_and_in_order(events: list[tuple[str, bool]]) -> None:
    """Two sides say numbers, over connections that break at any time."""
    sides = (_Side(), _Side())
    for event, which in [*events, ("break", False)]:
        one, other = sides[which], sides[not which]
        match event:
            case "say":
                one.say([Slots(one.next)])
                one.next += 1
            case "hear" if other.way:
                one.hear(other.way.pop(0))
            case "confirm" if one.lasting.owes:
                one.say([one.lasting.confirmation()])
            case "break":
                for side, peer in ((one, other), (other, one)):
                    side.lasting.was_heard(peer.lasting.heard)
                    side.way = side.lasting.unheard()
            case _:
                pass
    for one, other in (sides, sides[::-1]):
        while other.way:
            one.hear(other.way.pop(0))
        assert one.numbers == list(range(other.next))


def test_it_is_confirmed_now_and_then() -> None:
    """After so many messages or rows; confirmations are not confirmed, so all comes to rest."""
    lasting = Lasting()
    assert not any(lasting.hears(Slots(1)) for _ in range(MESSAGES_MAX - 1))
    assert lasting.hears(Slots(1))
    assert lasting.confirmation() == Heard(MESSAGES_MAX)
    assert not lasting.hears(Heard(3))
    assert not lasting.owes
    assert lasting.hears(Free([1] * ROWS_MAX))


def test_what_was_heard_is_not_kept() -> None:
    """It is returned; older news say nothing; what was not said was not heard."""
    lasting = Lasting()
    said = [Slots(number) for number in range(5)]
    lasting.says(said)
    assert lasting.was_heard(3) == said[:3]
    assert lasting.was_heard(1) == []
    assert lasting.unheard() == said[3:]
    for count in (6, -1):
        with pytest.raises(ValueError, match="of 5 that were said"):
            lasting.was_heard(count)
