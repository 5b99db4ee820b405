"""Connections on Trio, over memory: what arrives, how they end, who is cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.comm.comm_driver import Heard, read_to_end
from trio_dask.comm import Connection, FrameDecoder, Hello, Limits, connection_pair
from trio_dask.errors import CommError, LocalProtocolError, PeerClosed, RemoteProtocolError
from trio_dask.messages.session import Goodbye, RegisterClient
from trio_dask.messages.tasks import Free
from trio_dask.messages.values import Store

if TYPE_CHECKING:
    from trio.testing import MockClock

    from trio_dask.messages import Message

PEER = Hello("client", "", "")


def ignore(messages: list[Message]) -> None:
    """What a test does with messages it does not care about."""


async def test_messages_go_both_ways() -> None:
    """Everything sent arrives, in order, and a goodbye is the end of both sides."""
    one, other = connection_pair()
    heard, echoed = Heard(), Heard(3)

    def echo(messages: list[Message]) -> None:
        heard(messages)
        other.send(*messages)

    said = [RegisterClient("me"), Free([1]), Store(1, [5], [b"value"])]
    async with trio.open_nursery() as nursery:
        ends: list[str] = []

        async def run_other() -> None:
            ends.append(await other.run(echo))

        async def run_one() -> None:
            ends.append(await one.run(echoed))

        nursery.start_soon(run_other)
        nursery.start_soon(run_one)
        one.send(said[0])
        one.send(*said[1:])
        await echoed.enough.wait()
        one.close("that was all")
    assert heard.messages == echoed.messages == said
    assert ends == ["that was all"] * 2
    assert one.statistics().queued_bytes == 0


async def test_what_was_sent_before_run_is_not_lost() -> None:
    """A connection may be filled, and even closed, before it runs."""
    one, other = connection_pair()
    one.send(Free([1]))
    one.close("at once")
    heard = Heard()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(other.run, heard)
        assert await one.run(ignore) == "at once"
    assert heard.messages == [Free([1])]


async def test_messages_of_one_read_come_in_one_call() -> None:
    """What has gathered is handed over together: one call, however many messages."""
    one, other = connection_pair()
    for number in range(100):
        one.send(Free([number]))
    one.close("done")
    heard = Heard()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(other.run, heard)
        nursery.start_soon(one.run, ignore)
    assert (len(heard.messages), heard.reads) == (100, 1)
    assert one.statistics().writes == 1


async def test_a_peer_that_just_closes() -> None:
    """The end of the stream without a goodbye is an error that names the peer."""
    near, far = trio.testing.memory_stream_pair()
    connection = Connection(near, PEER, remote_address="tcp://far:1")
    await far.aclose()
    with pytest.raises(PeerClosed, match=r"client at tcp://far:1 closed .* without a goodbye"):
        await connection.run(ignore)


async def test_a_torn_frame() -> None:
    """The end of the stream within a frame is said to be just that."""
    near, far = trio.testing.memory_stream_pair()
    await far.send_all(b"\x05\x00\x00")
    await far.send_eof()
    with pytest.raises(PeerClosed, match="in the middle of a frame"):
        await Connection(near, PEER).run(ignore)


@pytest.mark.parametrize(
    "garbage", [b"\xff" * 8, b"\x01\x00\x00\x00\x00\x00\x00\x00\xc1", bytes(8)]
)
async def test_garbage(garbage: bytes) -> None:
    """A peer that breaks the rules is told so and let go; what it says next is not looked at."""
    near, far = trio.testing.memory_stream_pair()
    connection, peer = Connection(near, PEER), Connection(far, PEER)
    ends: list[str] = []

    async def be_told() -> None:
        await far.send_all(garbage)
        ends.append(await peer.run(ignore))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(be_told)
        with pytest.raises(RemoteProtocolError):
            await connection.run(ignore)
    assert ends[0].startswith("protocol error: ")


async def test_garbage_from_one_who_does_not_listen(autojump_clock: MockClock) -> None:
    """Telling a peer that it broke the rules takes two seconds at most."""
    near, far = trio.testing.memory_stream_pair()
    await far.send_all(b"\xff" * 8)
    with pytest.raises(RemoteProtocolError):
        await Connection(near, PEER).run(ignore)
    assert trio.current_time() == pytest.approx(2.0)


async def test_close_is_bounded(autojump_clock: MockClock) -> None:
    """Saying goodbye to a peer that does not read ends after two seconds."""
    near, _far = trio.testing.lockstep_stream_pair()
    connection = Connection(near, PEER)
    connection.send(Free([1]))
    connection.close("enough")
    assert await connection.run(ignore) == "enough"
    assert trio.current_time() == pytest.approx(2.0)


async def test_goodbyes_that_cross() -> None:
    """When both sides leave at the same time, both leave in peace."""
    one, other = connection_pair()
    one.close("mine")
    other.close("yours")
    ends: dict[str, str] = {}

    async def run(name: str, connection: Connection) -> None:
        ends[name] = await connection.run(ignore)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, "one", one)
        nursery.start_soon(run, "other", other)
    assert ends == {"one": "mine", "other": "yours"}


async def test_closing_from_within() -> None:
    """`close` may be called while messages are handled; later messages are dropped."""
    one, other = connection_pair()
    heard = Heard()

    def leave(messages: list[Message]) -> None:
        heard(messages)
        one.close("heard enough")
        one.send(Free([99]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other.run, heard)
        other.send(Free([1]))
        assert await one.run(leave) == "heard enough"
    other.send(Free([2]))
    assert heard.messages == [Free([1])]


async def test_cut() -> None:
    """A cut connection ends at once, without a goodbye."""
    one, other = connection_pair()

    def cut(messages: list[Message]) -> None:
        one.cut("it misbehaves")

    ends: list[BaseException] = []

    async def run_other() -> None:
        try:
            await other.run(ignore)
        except PeerClosed as error:
            ends.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_other)
        other.send(Free([1]))
        with pytest.raises(CommError, match="it misbehaves"):
            await one.run(cut)
    assert len(ends) == 1


async def test_errors_of_the_callback() -> None:
    """They come out as they are, when everything is closed."""
    near, far = trio.testing.memory_stream_pair()
    other = Connection(far, PEER)
    other.send(Free([1]))

    def fail(messages: list[Message]) -> None:
        msg = "a bug"
        raise LookupError(msg)

    async def run_other() -> None:
        with pytest.raises(PeerClosed):
            await other.run(ignore)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_other)
        with pytest.raises(LookupError, match="a bug"):
            await Connection(near, PEER).run(fail)
    with pytest.raises(trio.ClosedResourceError):
        await near.send_all(b"x")


async def test_a_peer_that_stops_reading_is_cut(autojump_clock: MockClock) -> None:
    """Beyond the limit its connection ends, and nobody else's does."""
    near, far = trio.testing.lockstep_stream_pair()
    slow = Connection(near, PEER, remote_address="slow", limits=Limits(outbox_bytes_max=1000))
    one, other = connection_pair()
    heard = Heard(100)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run, ignore)
        nursery.start_soon(other.run, heard)

        async def run_slow() -> None:
            with pytest.raises(CommError, match=r"client at slow does not read: 10.. bytes wait"):
                await slow.run(ignore)

        nursery.start_soon(run_slow)
        for number in range(100):
            slow.send(Free([number]))
            one.send(Free([number]))
            await trio.testing.wait_all_tasks_blocked()
        await heard.enough.wait()
        one.close("done")
    assert slow.queued_bytes < 1100
    assert trio.current_time() == 0
    with pytest.raises(trio.BrokenResourceError):
        await far.send_all(b"x")


async def test_one_message_may_be_larger_than_the_outbox() -> None:
    """The limit is about what piles up: a single large value always goes through."""
    one, other = connection_pair(limits=Limits(outbox_bytes_max=1000))
    heard = Heard()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run, ignore)
        nursery.start_soon(other.run, heard)
        one.send(Store(1, [1], [bytes(1_000_000)]))
        await heard.enough.wait()
        one.close("done")


async def test_drained() -> None:
    """Whoever sends much can wait for room; the end of the connection ends the wait."""
    near, far = trio.testing.lockstep_stream_pair()
    connection = Connection(near, PEER)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run, ignore)
        connection.send(Store(1, [1], [bytes(200_000)]))
        received = 0
        async with trio.open_nursery() as reading:

            async def read() -> None:
                nonlocal received
                while True:
                    received += len(await far.receive_some(10_000))

            reading.start_soon(read)
            await connection.drained()
            reading.cancel_scope.cancel()
        assert received > 200_000
        connection.send(Free([1]))
        nursery.start_soon(connection.drained)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    await connection.drained()


async def test_a_cancelled_connection_is_never_used_again() -> None:
    """A cancelled write leaves a torn frame: the stream is closed, and `run` refuses to go on."""
    near, far = trio.testing.lockstep_stream_pair()
    connection = Connection(near, PEER)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run, ignore)
        connection.send(Store(1, [1], [bytes(100_000)]))
        torn = await far.receive_some(10)
        nursery.cancel_scope.cancel()
    connection.send(Free([1]))
    connection.close("too late")
    left = torn + await read_to_end(far)
    assert 0 < len(left) < 100_000
    assert FrameDecoder().feed(left) == []
    with pytest.raises(RuntimeError, match="has run already"):
        await connection.run(ignore)


async def test_a_broken_write_leaves_the_last_words_to_be_read() -> None:
    """A peer that says goodbye and closes is heard, though writing to it fails first."""
    from_peer = trio.testing.MemoryReceiveStream()

    async def broken() -> None:
        await trio.lowlevel.checkpoint()
        msg = "reset"
        raise trio.BrokenResourceError(msg)

    gone = trio.testing.MemorySendStream(send_all_hook=broken)
    connection = Connection(trio.StapledStream(gone, from_peer), PEER)
    said = Connection(trio.testing.memory_stream_pair()[0], PEER)
    said._link.queue([Goodbye("going home")])
    ends: list[str] = []

    async def run() -> None:
        ends.append(await connection.run(ignore))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        connection.send(Free([1]))
        await trio.testing.wait_all_tasks_blocked()
        from_peer.put_data(bytes(said._link.take()[0]))
    assert ends == ["going home"]


async def test_a_broken_write_is_the_end(autojump_clock: MockClock) -> None:
    """A stream that cannot be written to and says nothing more is given up after two seconds."""

    async def broken() -> None:
        await trio.lowlevel.checkpoint()
        msg = "reset by somebody"
        raise trio.BrokenResourceError(msg)

    gone = trio.testing.MemorySendStream(send_all_hook=broken)
    connection = Connection(trio.StapledStream(gone, trio.testing.MemoryReceiveStream()), PEER)
    connection.send(Free([1]))
    with pytest.raises(PeerClosed, match="is lost: reset by somebody"):
        await connection.run(ignore)
    assert trio.current_time() == pytest.approx(2.0)


async def test_a_message_that_cannot_be_sent() -> None:
    """The sender gets the error; the connection goes on."""
    one, other = connection_pair()
    heard = Heard()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run, ignore)
        nursery.start_soon(other.run, heard)
        with pytest.raises(LocalProtocolError):
            one.send(Free(["x"]))  # type: ignore[list-item]
        one.send(Free([1]))
        await heard.enough.wait()
        one.close("done")
    assert heard.messages == [Free([1])]
