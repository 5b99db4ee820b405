"""Serving over memory streams: strangers, crowds, and a system without descriptors."""

from __future__ import annotations

import errno
import logging
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.comm.comm_driver import KEYS, OTHER_KEYS, Heard, MemoryListener, hands, read_to_end
from trio_dask.comm import Connection, Handshake, Keys, serve
from trio_dask.comm.dialing import shake_hands
from trio_dask.comm.identity import local_hello
from trio_dask.comm.serving import UNAUTHENTICATED_MAX
from trio_dask.errors import AuthenticationError, CommError, HandshakeRefused
from trio_dask.messages.tasks import Free

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

    from trio_dask.messages import Message


async def echo(connection: Connection) -> None:
    """A server that says what it hears."""
    await connection.run(lambda messages: connection.send(*messages))


@asynccontextmanager
async def serving(listener: MemoryListener) -> AsyncIterator[None]:
    """A scheduler that echoes, for as long as the block takes."""
    async with trio.open_nursery() as nursery:
        start = partial(serve, listener.listener(), keys=KEYS, role="scheduler", handler=echo)
        await nursery.start(start)
        yield
        nursery.cancel_scope.cancel()


async def join(listener: MemoryListener, *, role: str = "client", keys: Keys = KEYS) -> Connection:
    """An authenticated connection to the server."""
    stream = listener.dial()
    handshake = Handshake(local_hello(role), keys, connecting=True)
    return Connection(stream, await shake_hands(stream, handshake))


async def check_served(listener: MemoryListener) -> None:
    """A peer with the token gets its answer."""
    connection = await join(listener)
    heard: list[Message] = []

    def done(messages: list[Message]) -> None:
        heard.extend(messages)
        connection.close("thanks")

    connection.send(Free([1]))
    assert await connection.run(done) == "thanks"
    assert heard == [Free([1])]


async def test_a_peer_with_the_token_is_served(autojump_clock: MockClock) -> None:
    """It knows whom it talks to, and takes no time."""
    listener = MemoryListener()
    async with serving(listener):
        connection = await join(listener)
        assert connection.peer.role == "scheduler"
        await check_served(listener)
    assert trio.current_time() == 0


@pytest.mark.parametrize(
    ("role", "keys", "kind", "line"),
    [
        ("client", OTHER_KEYS, AuthenticationError, "a client with a wrong token"),
        ("scheduler", KEYS, HandshakeRefused, "a scheduler cannot connect to a scheduler"),
    ],
)
async def test_who_may_not_come_in(
    role: str, keys: Keys, kind: type[CommError], line: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Both sides get a clear message, the server one line, and others are served."""
    caplog.set_level(logging.INFO, "trio_dask.comm")
    listener = MemoryListener()
    async with serving(listener):
        with pytest.raises(kind):
            await join(listener, role=role, keys=keys)
        await check_served(listener)
    assert [each.getMessage() for each in caplog.records] == [f"dropped memory://: {line}"]


async def test_garbage_instead_of_a_hello(caplog: pytest.LogCaptureFixture) -> None:
    """The stranger is dropped, and told nothing but our hello."""
    listener = MemoryListener()
    async with serving(listener):
        stream = listener.dial()
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        assert (await read_to_end(stream)).startswith(b"TRIODASK")
        await check_served(listener)
    assert "no trio_dask process: it said b'GET / HTTP/1'" in caplog.text


async def test_garbage_after_the_handshake(caplog: pytest.LogCaptureFixture) -> None:
    """A peer that is one of us and breaks the rules is dropped; others are served."""
    listener = MemoryListener()
    async with serving(listener):
        stream = listener.dial()
        await shake_hands(stream, Handshake(local_hello("client"), KEYS, connecting=True))
        await stream.send_all(b"\xff\xff\xff\xff\x00\x00\x00\x00")
        await stream.receive_some()
        await stream.aclose()
        await check_served(listener)
    assert "a header of 4294967295 bytes, limit 67108864" in caplog.text


@pytest.mark.parametrize("said", [0, 12, 50], ids=["nothing", "magic", "part of a hello"])
async def test_half_open(
    said: int, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A peer that stops talking in the handshake is dropped when its time is up."""
    listener = MemoryListener()
    async with serving(listener):
        stream = listener.dial()
        await stream.send_all(hands("client", connecting=True).start()[:said])
        await read_to_end(stream)
        assert trio.current_time() == pytest.approx(10)
        await check_served(listener)
    assert [each.getMessage() for each in caplog.records] == [
        "dropped memory://: it did not authenticate in time"
    ]


async def test_slow_loris(autojump_clock: MockClock) -> None:
    """A byte now and then does not win more time."""
    listener = MemoryListener()
    async with serving(listener):
        stream = listener.dial()

        async def drip() -> None:
            for byte in hands("client", connecting=True).start():
                await stream.send_all(bytes([byte]))
                with trio.move_on_after(0.9):
                    await trio.sleep_forever()

        with pytest.raises(trio.BrokenResourceError):
            await drip()
        assert 10 <= trio.current_time() < 11


async def test_a_crowd_of_strangers(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """However many say nothing, the oldest make room, and who has the token comes in at once."""
    listener = MemoryListener()
    extra = 20
    async with serving(listener):
        crowd = [listener.dial() for _ in range(UNAUTHENTICATED_MAX + extra)]
        await trio.testing.wait_all_tasks_blocked()
        for stream in crowd[:extra]:
            await read_to_end(stream)
        await check_served(listener)
        assert trio.current_time() == 0
        assert len(caplog.records) == extra + 1
        assert "was the oldest" in caplog.text
        for stream in crowd[extra:]:
            await read_to_end(stream)
        assert trio.current_time() == pytest.approx(10)


async def test_the_number_of_strangers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when they all come in one moment."""
    monkeypatch.setattr("trio_dask.comm.serving.UNAUTHENTICATED_MAX", 3)
    listener = MemoryListener()
    async with serving(listener):
        crowd = [listener.dial() for _ in range(10)]
        await trio.testing.wait_all_tasks_blocked()
        ended = 0
        for stream in crowd:
            with trio.move_on_after(0):
                await stream.receive_some()  # its hello
            try:
                await stream.send_all(b"x")
            except trio.BrokenResourceError:
                ended += 1
        assert ended == 7


async def test_out_of_descriptors(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Accepting rests and goes on; one line when it begins, one when it is over."""
    caplog.set_level(logging.INFO, "trio_dask.comm")
    listener = MemoryListener()
    async with serving(listener):
        await check_served(listener)
        for _ in range(5):
            listener.give.send_nowait(OSError(errno.EMFILE, "Too many open files"))
        await check_served(listener)
        assert trio.current_time() == pytest.approx(0.5)
    assert [each.getMessage() for each in caplog.records] == [
        "accepts no connections for now: Too many open files",
        "accepts connections again",
    ]


async def test_a_peer_that_vanishes(caplog: pytest.LogCaptureFixture) -> None:
    """It costs one line; others are served."""
    caplog.set_level(logging.INFO, "trio_dask.comm")
    listener = MemoryListener()
    async with serving(listener):
        stream = listener.dial()
        await shake_hands(stream, Handshake(local_hello("worker"), KEYS, connecting=True))
        await stream.aclose()
        await check_served(listener)
    assert [each.levelname for each in caplog.records] == ["INFO"]
    assert "without a goodbye" in caplog.text


async def test_a_fault_of_ours_is_not_hidden() -> None:
    """A handler's own exception ends the server: it is a bug."""
    listener = MemoryListener()

    async def broken(connection: Connection) -> None:
        await trio.lowlevel.checkpoint()
        msg = "a bug"
        raise LookupError(msg)

    async def visit() -> None:
        await join(listener)

    with pytest.RaisesGroup(pytest.RaisesExc(LookupError, match="a bug"), flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(visit)
            await serve(listener.listener(), keys=KEYS, role="scheduler", handler=broken)


async def test_errors_in_a_group_are_a_peers_too() -> None:
    """A handler with a nursery of its own raises groups; a lost peer is no fault in there either."""
    listener = MemoryListener()

    async def nested(connection: Connection) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.run, Heard())
            nursery.start_soon(connection.drained)

    async with trio.open_nursery() as nursery:

        async def run() -> None:
            await serve(listener.listener(), keys=KEYS, role="scheduler", handler=nested)

        nursery.start_soon(run)
        connection = await join(listener)
        await connection._stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert (await join(listener)).peer.role == "scheduler"
        nursery.cancel_scope.cancel()
