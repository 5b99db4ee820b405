"""Links: messages to bytes and back, and what is counted on the way."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, strategies as st

from trio_dask.comm import Limits, Link
from trio_dask.errors import LocalProtocolError, RemoteProtocolError
from trio_dask.messages.session import Goodbye, Heartbeat, RegisterClient
from trio_dask.messages.tasks import Free
from trio_dask.messages.values import Store


def carry(one: Link, other: Link) -> list[object]:
    """Take everything from one link to the other."""
    out: list[object] = []
    for piece in one.take():
        one.wrote(len(piece))
        out += other.feed(piece)
    return out


def test_messages_arrive_in_order() -> None:
    """What is queued in several calls is taken together and arrives in order."""
    one, other = Link(), Link()
    said = [RegisterClient("me"), Free([1, 2]), Store(1, [7], [b"value"])]
    one.queue(said[:1])
    one.queue(said[1:])
    assert one.queued_bytes > 0
    assert carry(one, other) == said
    assert one.queued_bytes == 0
    assert one.take() == []


def test_counters() -> None:
    """Both ends count the same bytes and messages."""
    one, other = Link(), Link()
    one.queue([RegisterClient("me"), Free([1])])
    carry(one, other)
    sent, got = one.statistics(), other.statistics()
    assert (sent.messages_out, sent.bytes_out, sent.writes) == (2, got.bytes_in, 1)
    assert (got.messages_in, got.reads) == (2, 1)


def test_what_was_taken_counts_until_it_is_written() -> None:
    """A peer that does not read is charged for what hangs in the writer's hands too."""
    link = Link()
    link.queue([Free([1])])
    nbytes = link.queued_bytes
    link.take()
    assert link.queued_bytes == nbytes


def test_who_has_found_nothing_keeps_nothing_of_what_comes_later() -> None:
    """A writer waits with what it has taken last: values in there would live as long."""
    link = Link()
    nothing = link.take()
    link.queue([Free([1])])
    assert link.take()
    assert nothing == []


def test_goodbye_ends_the_conversation() -> None:
    """The reason is kept; what came before is given out, what comes after is not."""
    one, other = Link(), Link()
    one.queue([Free([1]), Goodbye("enough"), Free([2])])
    one.queue([Free([3])])
    assert carry(one, other) == [Free([1])]
    assert other.goodbye == "enough"
    assert other.feed(b"garbage that nobody looks at") == []
    other.end()


def test_the_end_within_a_frame() -> None:
    """A stream that ends in the middle of a frame says so."""
    one, other = Link(), Link()
    one.queue([RegisterClient("me")])
    (piece,) = one.take()
    other.feed(piece[:-1])
    with pytest.raises(RemoteProtocolError, match="middle of a frame"):
        other.end()


def test_what_cannot_be_encoded_is_not_queued() -> None:
    """The caller gets the error, and the stream stays whole."""
    link = Link(Limits(header_bytes_max=100))
    with pytest.raises(LocalProtocolError, match=r"Free\.tids"):
        link.queue([Free(["x"])])  # type: ignore[list-item]
    with pytest.raises(LocalProtocolError, match="header of"):
        link.queue([RegisterClient("x" * 200)])
    with pytest.raises(LocalProtocolError):
        link.queue([Heartbeat({"x": object()})])
    assert (link.queued_bytes, link.take()) == (0, [])


@given(st.binary(max_size=60))
def test_hostile_headers(header: bytes) -> None:
    """Whatever is in a frame, it is messages or a `RemoteProtocolError`."""
    link = Link()
    with contextlib.suppress(RemoteProtocolError):
        link.feed(len(header).to_bytes(4, "little") + bytes(4) + header)
