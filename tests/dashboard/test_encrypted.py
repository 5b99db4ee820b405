"""What viewers by https are told: written at once like to the others, and whole when it was too much."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import trio

from tests.dashboard.test_serving import EVENTS, encrypted, open_https
from trio_dask.comm import Security, Tls
from trio_dask.dashboard.encrypted import EncryptedStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.network


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[EncryptedStream, trio.SSLStream[trio.SocketStream]]]:
    """Our end, and that of a viewer, after the handshake; little fits between them."""
    pytest.importorskip("cryptography", reason="certificates are made with it")
    tls = Tls(Security.temporary())
    ours, theirs = trio.socket.socketpair()
    for each in (ours, theirs):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    here = EncryptedStream(trio.SocketStream(ours), tls.showing())
    there = trio.SSLStream(trio.SocketStream(theirs), tls.connecting("").context)
    async with here, trio.open_nursery() as nursery:
        nursery.start_soon(here.do_handshake)
        await there.do_handshake()
        yield here, there
        nursery.cancel_scope.cancel()
    await trio.aclose_forcefully(there)


async def test_what_does_not_go_at_once_comes_later_and_is_whole() -> None:
    """Also when nothing more goes for a while, and while the other side says something."""
    said = b"".join(b"%d," % number for number in range(100_000))
    async with pair() as (here, there), trio.open_nursery() as nursery:
        taken = 0
        while part := here.write(said[taken:]):
            taken += part
        assert taken < len(said) / 2
        assert here.write(said[taken:]) == 0
        await there.send_all(b"are you there?")
        assert await here.receive_some() == b"are you there?"
        nursery.start_soon(here.send_all, said[taken:])
        heard = b""
        while len(heard) < len(said):
            heard += await there.receive_some()
        assert heard == said
        await here.send_all(b"")


async def test_closing_it_tells_whoever_waits() -> None:
    """Who writes to one that does not read, and who waits for what it says."""
    told: list[str] = []
    async with pair() as (here, _), trio.open_nursery() as nursery:

        async def write() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await here.send_all(bytes(1 << 20))
            told.append("writer")

        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await here.receive_some()
            told.append("reader")

        nursery.start_soon(write)
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        here.close()
        here.close()
    assert sorted(told) == ["reader", "writer"]
    with pytest.raises(OSError, match="Bad file descriptor"):
        here.write(b"x")


async def test_who_is_gone_is_an_error_of_the_connection() -> None:
    """Said or not: nothing comes, and what is written is lost."""
    async with pair() as (here, there):
        await trio.aclose_forcefully(there)
        # What we have said after the handshake it may not have read: then that is an error here.
        with suppress(trio.BrokenResourceError):
            assert await here.receive_some() == b""
        with pytest.raises(OSError, match=r"EOF|Broken pipe|reset by peer"):
            here.write(b"x")
        with pytest.raises(trio.BrokenResourceError):
            await here.send_all(b"x")


async def test_what_is_no_handshake_ends_it() -> None:
    """From who speaks something else, and who has gone."""
    pytest.importorskip("cryptography", reason="certificates are made with it")
    for said in (b"GET / HTTP/1.1\r\n\r\n", b""):
        ours, theirs = trio.socket.socketpair()
        with theirs:
            await theirs.send(said)
            theirs.shutdown(socket.SHUT_WR)
            async with EncryptedStream(
                trio.SocketStream(ours), Tls(Security.temporary()).showing()
            ) as here:
                with pytest.raises(trio.BrokenResourceError):
                    await here.do_handshake()


async def test_viewers_are_told_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past all that speaks HTTP, as those without encryption are."""
    written: list[EncryptedStream] = []
    write = EncryptedStream.write

    def counted(stream: EncryptedStream, data: bytes) -> int:
        written.append(stream)
        return write(stream, data)

    monkeypatch.setattr(EncryptedStream, "write", counted)
    async with encrypted() as (dashboard, source):
        streams = [await open_https(dashboard, source) for _ in range(3)]
        for stream in streams:
            await stream.send_all(EVENTS)
        for stream in streams:
            heard = b""
            while heard.count(b"event: ") < 2:
                heard += await stream.receive_some()
            assert b"event: snapshot" in heard
            await trio.aclose_forcefully(stream)
    assert len(set(written)) == 3
