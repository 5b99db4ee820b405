"""Peers of one host that say odd things of values that go as descriptors."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from tests.fuzzing.wire import heard
from trio_dask.comm import LocalLoans
from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.sealing import FILE_BYTES_MIN, Takes
from trio_dask.messages.values import FOUND, Values
from trio_dask.store import Loan, Segment

if TYPE_CHECKING:
    from trio_dask.messages import Message


def _given(value: Segment) -> Message:
    return Values(1, [1], [FOUND], [], [value], last=True)


def hostile_neighbour(data: bytes) -> None:
    """A value that an honest peer reads is not written again, whatever another one says of it."""
    honest, hostile = LocalLoans(), LocalLoans()
    ended: list[bool] = []
    value = Segment(-1, FILE_BYTES_MIN, owned=False)
    value.loan = Loan()
    honest.heard([Takes(5)])
    honest.said(_given(value))
    value.loan.ended(ended.append, shared=False)
    room = 0
    with suppress(RemoteProtocolError):
        for message in heard(data):
            if isinstance(message, Takes):
                room = message.count
            assert message not in hostile.heard([message]) or not isinstance(message, Takes)
            said = hostile.said(_given(value))
            assert isinstance(said, Values)
            assert room > 0 or not isinstance(said.payloads[0], Segment), "more than it takes"
    hostile.end()
    assert not ended, "somebody reads it"
    honest.end()
    assert ended == [True], "nobody has said that he has done"
