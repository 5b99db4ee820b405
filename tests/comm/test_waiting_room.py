"""Strangers who are many are looked at together: what becomes of each of them, over real sockets."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from tests.comm.comm_driver import KEYS, OTHER_KEYS, Heard, read_to_end
from trio_dask.comm import Handshake, Hello, Keys, SocketByteStream, connect, open_listener, serve
from trio_dask.comm.identity import local_hello
from trio_dask.comm.refusals import HOLD_S, OFTEN
from trio_dask.comm.waiting_room import LOOK_S, Waiting, WaitingRoom
from trio_dask.errors import AuthenticationError, CommError, HandshakeRefused, PeerClosed
from trio_dask.messages.tasks import Free

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

    from trio_dask.comm import Connection

TIME_S = 10.0
pytestmark = pytest.mark.network


@dataclass
class Room:
    """A room, and what has become of who was in it."""

    admitted: list[Hello | None] = field(default_factory=list)
    refused: list[CommError] = field(default_factory=list)
    ours: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.room = WaitingRoom(
            lambda: Handshake(local_hello("scheduler"), KEYS, connecting=False),
            self._admit,
            lambda _, error: self.refused.append(error),
            TIME_S,
        )

    def _admit(self, one: Waiting, hello: Hello | None) -> None:
        self.admitted.append(hello)
        one.stream.socket.close()

    def come(self, said: bytes = b"", *, secured: bool = False, hold_s: float = HOLD_S) -> Waiting:
        """Somebody comes, and says something."""
        ours, theirs = socket.socketpair()
        self.ours.append(ours)
        ours.setblocking(False)
        ours.send(said)
        one = Waiting(self.room, SocketByteStream(theirs), "them", secured, trio.current_time())
        self.room.enter(one, hold_s)
        return one


@asynccontextmanager
async def a_room() -> AsyncIterator[Room]:
    """One that is looked at, until the block ends; then nobody is in it any more."""
    made = Room()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.room.watch)
        yield made
        nursery.cancel_scope.cancel()
    for each in made.ours:
        _read_to_end(each)
        each.close()


def _read_to_end(sock: socket.socket) -> None:
    sock.setblocking(True)
    try:
        while sock.recv(1000):
            pass
    except ConnectionResetError:  # what it has said was not all read
        pass


async def shake_hands(
    ours: socket.socket, handshake: Handshake, autojump_clock: MockClock
) -> Hello:
    """Go through a handshake at a pace that suits the room."""
    assert autojump_clock.autojump_threshold == 0
    ours.send(handshake.start())
    while wanted := handshake.wanted:
        try:
            data = ours.recv(wanted)
        except BlockingIOError:
            await trio.sleep(LOOK_S)
            continue
        answer = handshake.feed(data)
        if answer:
            ours.send(answer)
    if handshake.refusal is not None:
        raise handshake.refusal
    return handshake.peer


def a_hello(keys: Keys = KEYS, *, protocol: int = 1, role: str = "client") -> Handshake:
    """A handshake of somebody who comes."""
    mine = local_hello(role)
    return Handshake(
        Hello(mine.role, mine.python, mine.version, mine.nonce, protocol), keys, connecting=True
    )


@pytest.mark.parametrize(
    ("said", "kind", "why"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", AuthenticationError, "no trio_dask process"),
        (b"\xff" * 100_000, AuthenticationError, "no trio_dask process"),
        (a_hello(protocol=9).start(), HandshakeRefused, "protocol 9"),
        (a_hello(role="scheduler").start(), HandshakeRefused, "a scheduler cannot connect"),
        (a_hello().start()[:10] + b"\xff\xff", AuthenticationError, "a hello of 65535 bytes"),
    ],
    ids=["HTTP", "a huge frame", "another version", "another role", "a huge hello"],
)
async def test_who_does_not_belong_here(
    autojump_clock: MockClock, said: bytes, kind: type[CommError], why: str
) -> None:
    """It is sent away when its time of waiting is over, not before."""
    async with a_room() as room:
        room.come(said)
        await trio.sleep(HOLD_S - 0.01)
        assert room.refused == []
        await trio.sleep(2 * LOOK_S)
        [error] = room.refused
        assert type(error) is kind
        assert why in str(error)


async def test_one_of_us_waits_and_is_let_in(autojump_clock: MockClock) -> None:
    """With what it has said about itself, after about a second."""
    async with a_room() as room:
        began = trio.current_time()
        room.come()
        assert (await shake_hands(room.ours[0], a_hello(), autojump_clock)).role == "scheduler"
        assert [each.role for each in room.admitted if each is not None] == ["client"]
        assert HOLD_S <= trio.current_time() - began <= HOLD_S + 3 * LOOK_S


async def test_another_token(autojump_clock: MockClock) -> None:
    """It is told so, as without waiting."""
    async with a_room() as room:
        room.come()
        with pytest.raises(AuthenticationError, match="does not accept this token"):
            await shake_hands(room.ours[0], a_hello(OTHER_KEYS), autojump_clock)
        assert [str(each) for each in room.refused] == ["a client with a wrong token"]


async def test_who_says_nothing_or_too_slowly(autojump_clock: MockClock) -> None:
    """It stays for as long as everybody may take, and no longer."""
    async with a_room() as room:
        room.come()
        room.come()
        for each in a_hello().start()[:9]:
            await trio.sleep(1)
            room.ours[1].send(bytes([each]))
        assert room.refused == []
        await trio.sleep(1 + 2 * LOOK_S)
        assert [str(each) for each in room.refused] == ["it did not authenticate in time"] * 2


async def test_who_leaves(autojump_clock: MockClock) -> None:
    """At once, in the middle, and after the other side has said who it is."""
    async with a_room() as room:
        for said in (b"", a_hello().start()[:20], a_hello().start()):
            room.come(said)
            room.ours[-1].shutdown(socket.SHUT_WR)
        await trio.sleep(HOLD_S + 3 * LOOK_S)
        assert [type(each) for each in room.refused] == [PeerClosed] * 3
        assert "before it proved to hold the token" in str(room.refused[-1])


async def test_with_tls_it_is_only_seen_that_it_begins(autojump_clock: MockClock) -> None:
    """The rest is for who can speak it; anything else is sent away."""
    async with a_room() as room:
        room.come(b"\x16\x03\x01", secured=True)
        room.come(a_hello().start(), secured=True)
        room.come(b"", secured=True)
        room.ours[-1].shutdown(socket.SHUT_WR)
        await trio.sleep(HOLD_S + 2 * LOOK_S)
        assert room.admitted == [None]
        assert [type(each) for each in room.refused] == [AuthenticationError, PeerClosed]


async def test_who_is_sent_away_is_gone_at_once(autojump_clock: MockClock) -> None:
    """Its descriptor may be somebody else's a moment later, who has nothing to do with it."""
    async with a_room() as room:
        one = room.come(hold_s=0)
        fd = one.stream.socket.fileno()
        one.cancel("there are too many")
        assert [str(each) for each in room.refused] == ["there are too many"]
        others = [room.come(a_hello().start(), hold_s=0) for _ in range(2)]
        assert fd in {each.fileno() for each in room.ours[1:]} | {
            each.stream.socket.fileno() for each in others
        }
        await trio.sleep(3 * LOOK_S)
        assert len(room.refused) == 1
        assert [each.recv(8) for each in room.ours[1:]] == [b"TRIODASK"] * 2


async def test_nobody_is_left_in_there(autojump_clock: MockClock) -> None:
    """The end of a server is the end of who waits for it: `a_room` reads to the end."""
    async with a_room() as room:
        room.come()
        room.come(a_hello().start(), hold_s=0)
        await trio.sleep(LOOK_S)


async def test_after_a_flood_one_of_us_is_served() -> None:
    """Over TCP, from the same host: it waits for a second, and then it is heard."""
    async with trio.open_nursery() as nursery:
        listener = await open_listener("tcp://127.0.0.1:0")
        heard = Heard()

        async def listen(connection: Connection) -> None:
            await connection.run(heard)

        await nursery.start(partial(serve, listener, keys=KEYS, role="scheduler", handler=listen))
        for _ in range(OFTEN + 5):
            async with await trio.open_tcp_stream("127.0.0.1", listener.port) as stream:
                await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
                await read_to_end(stream)
        before = trio.current_time()
        connection = await connect(listener.address, keys=KEYS, role="client")
        assert trio.current_time() - before >= HOLD_S
        connection.send(Free([1]))
        nursery.start_soon(connection.run, lambda _: None)
        await heard.enough.wait()
        nursery.cancel_scope.cancel()
