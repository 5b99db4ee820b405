"""Connections over real sockets: both IP versions, both loops, and what goes wrong there."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.comm.comm_driver import KEYS, OTHER_KEYS, TOKEN
from trio_dask.comm import (
    AnyioConnection,
    Connection,
    Hello,
    Listener,
    SocketByteStream,
    connect,
    connect_anyio,
    open_listener,
    parse_address,
    serve,
)
from trio_dask.errors import AuthenticationError, CommError, ConfigError, HandshakeRefused
from trio_dask.messages.tasks import Free
from trio_dask.messages.values import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio_dask.messages import Message

pytestmark = pytest.mark.network


async def echo(connection: Connection) -> None:
    """A server that says what it hears."""
    await connection.run(lambda messages: connection.send(*messages))


@asynccontextmanager
async def echoing(address: str = "tcp://127.0.0.1:0") -> AsyncIterator[Listener]:
    """A scheduler that echoes, for as long as the block takes."""
    async with trio.open_nursery() as nursery:
        listener = await open_listener(address)

        start = partial(serve, listener, keys=KEYS, role="scheduler", handler=echo)
        await nursery.start(start)
        yield listener
        nursery.cancel_scope.cancel()


async def talk(connection: Connection | AnyioConnection, *said: Message) -> list[Message]:
    """Send something and wait for its echo."""
    heard: list[Message] = []

    def hear(messages: list[Message]) -> None:
        heard.extend(messages)
        if len(heard) == len(said):
            connection.close("thanks")

    connection.send(*said)
    assert await connection.run(hear) == "thanks"
    return heard


def has_ipv6() -> bool:
    """Whether this machine can listen at ::1."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@pytest.mark.parametrize(
    "address",
    [
        "tcp://127.0.0.1:0",
        "tcp://localhost:0",
        pytest.param("tcp://[::1]:0", marks=needs_ipv6),
    ],
)
async def test_small_and_large(address: str) -> None:
    """Messages and large values arrive as they were sent, on either IP version."""
    value = bytes(range(256)) * 20_000
    async with echoing(address) as listener:
        connection = await connect(listener.address, keys=KEYS, role="client", expect="scheduler")
        assert connection.remote_address == listener.address
        assert connection.local_address.startswith("tcp://")
        heard = await talk(connection, Free([1]), Store(1, [2], [value]))
    assert heard[0] == Free([1])
    assert isinstance(heard[1], Store)
    assert bytes(heard[1].payloads[0]) == value  # type: ignore[arg-type]


async def test_many_messages_one_after_another() -> None:
    """Messages written at once and messages written by the writer keep their order."""
    async with echoing() as listener:
        connection = await connect(listener.address, keys=KEYS, role="client")
        heard: list[Message] = []

        def hear(messages: list[Message]) -> None:
            heard.extend(messages)
            if len(heard) == 2000:
                connection.close("thanks")

        async def say() -> None:
            for number in range(2000):
                connection.send(Free([number] * (number % 700)))
                if number % 37 == 0:
                    await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.run, hear)
            nursery.start_soon(say)
    assert heard == [Free([number] * (number % 700)) for number in range(2000)]


async def test_no_room_in_the_socket() -> None:
    """What is written at once only in part is finished by the writer."""
    near, far = socket.socketpair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    one = Connection(SocketByteStream(near), Hello("worker", "", ""))
    other = Connection(SocketByteStream(far), Hello("worker", "", ""))
    said = [Free(list(range(5000))) for _ in range(20)]
    heard: list[Message] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run, heard.extend)
        await trio.testing.wait_all_tasks_blocked()
        for each in said:
            one.send(each)
        assert one.queued_bytes > 0
        nursery.start_soon(other.run, heard.extend)
        await one.drained()
        assert one.queued_bytes == 0
        one.close("done")
    assert heard == said


async def test_both_loops() -> None:
    """A client on asyncio, in a process of its own, talks to a server on Trio."""
    code = """
import anyio, sys
from trio_dask.comm import connect_anyio, keys_from_token
from trio_dask.messages.tasks import Free
from trio_dask.messages.values import Store

async def main():
    keys = keys_from_token(sys.stdin.read())
    connection = await connect_anyio(sys.argv[1], keys=keys, role="client", expect="scheduler")
    heard = []
    def hear(messages):
        heard.extend(messages)
        if len(heard) == 2:
            connection.close("thanks")
    connection.send(Free([1]), Store(1, [2], [bytes(5_000_000)]))
    print(await connection.run(hear), len(heard[1].payloads[0]), "trio" in sys.modules)

anyio.run(main, backend="asyncio")
"""
    async with echoing() as listener:
        done = await trio.run_process(
            [sys.executable, "-W", "error", "-c", code, listener.address],
            stdin=TOKEN.encode(),
            capture_stdout=True,
        )
        assert done.stdout.decode().split() == ["thanks", "5000000", "False"]
        anyio_connection = await connect_anyio(listener.address, keys=KEYS, role="client")
        assert await talk(anyio_connection, Free([3])) == [Free([3])]


@needs_ipv6
async def test_all_interfaces() -> None:
    """Without a host, one port serves both IP versions; the contact address is a real one."""
    async with echoing("tcp://:0") as listener:
        for host in ("127.0.0.1", "[::1]"):
            connection = await connect(f"tcp://{host}:{listener.port}", keys=KEYS, role="client")
            assert await talk(connection, Free([1])) == [Free([1])]
        assert parse_address(listener.address).host not in {"", "0.0.0.0", "::"}


async def test_a_port_in_use() -> None:
    """The error names address and port."""
    async with await open_listener("tcp://127.0.0.1:0") as first:
        with pytest.raises(OSError, match=rf"port {first.port} is already in use") as caught:
            await open_listener(first.address)
    assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize(
    ("address", "kind", "says"),
    [
        ("tcp://192.0.2.1:0", OSError, r"cannot listen at tcp://192\.0\.2\.1:0: Cannot assign"),
        ("tcp://nosuch.invalid:0", CommError, "'nosuch.invalid' cannot be resolved"),
        ("tcp://a\u2024\u2024b:0", CommError, "cannot be resolved: it is no name of a host"),
        ("udp://host:0", ConfigError, "udp:// is not known"),
    ],
)
async def test_where_one_cannot_listen(address: str, kind: type[Exception], says: str) -> None:
    """The error names the address and the reason."""
    with pytest.raises(kind, match=says):
        await open_listener(address)


async def test_failing_to_connect() -> None:
    """The error names the address and the step: resolving, connecting, authenticating."""
    with pytest.raises(CommError, match=r"tcp://nosuch\.invalid:1: the host .* cannot be resolved"):
        await connect("tcp://nosuch.invalid:1", keys=KEYS, role="client")
    for dial in (connect, connect_anyio):
        with pytest.raises(CommError, match="cannot be resolved: it is no name of a host"):
            await dial("tcp://a\u2024\u2024b:1", keys=KEYS, role="client")
    with pytest.raises(CommError, match=r"tcp://127\.0\.0\.1:1: cannot connect: Connection refus"):
        await connect("tcp://127.0.0.1:1", keys=KEYS, role="client")
    async with echoing() as listener:
        with pytest.raises(AuthenticationError, match=rf"{listener.address}: .* not its cluster's"):
            await connect(listener.address, keys=OTHER_KEYS, role="client")
        with pytest.raises(HandshakeRefused, match="this is a scheduler, not a worker"):
            await connect(listener.address, keys=KEYS, role="client", expect="worker")
        with pytest.raises(AuthenticationError, match=rf"{listener.address}: .* not its cluster's"):
            await connect_anyio(listener.address, keys=OTHER_KEYS, role="client")


async def test_a_silent_server() -> None:
    """Somebody who accepts and says nothing is given up, and the message says when."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(CommError, match=r"no answer within 0\.05 s while authenticating"):
            await connect(address, keys=KEYS, role="client", timeout_s=0.05)
        with pytest.raises(CommError, match=r"no answer within 0\.05 s while authenticating"):
            await connect_anyio(address, keys=KEYS, role="client", timeout_s=0.05)


async def test_a_reset_in_the_handshake() -> None:
    """A peer that resets the connection, before or after it is accepted, disturbs nobody."""
    linger = (1).to_bytes(4, sys.byteorder) + bytes(4)
    async with echoing() as listener:
        for said in (b"", b"TRIODASK"):
            with socket.create_connection(("127.0.0.1", listener.port)) as rude:
                rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                rude.sendall(said)
        connection = await connect(listener.address, keys=KEYS, role="client")
        assert await talk(connection, Free([1])) == [Free([1])]


async def test_socket_options() -> None:
    """Small messages leave at once, and a machine that is gone is noticed."""
    async with echoing() as listener:
        connection = await connect(listener.address, keys=KEYS, role="client")
        stream = connection._stream
        assert isinstance(stream, SocketByteStream)
        options = stream.socket.getsockopt
        assert options(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert options(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert options(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
        connection.close("done")
        await connection.run(lambda _: None)


async def test_the_stream_is_a_good_one() -> None:
    """It carries much, ends, closes twice, and tells those who wait that it was closed."""

    async def make() -> tuple[SocketByteStream, SocketByteStream]:
        await trio.lowlevel.checkpoint()
        one, other = socket.socketpair()
        return SocketByteStream(one), SocketByteStream(other)

    one, other = await make()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.send_all, bytes(3_000_000))
        received = 0
        while received < 3_000_000:
            received += len(await other.receive_some())
    await one.wait_send_all_might_not_block()
    await one.send_eof()
    assert await other.receive_some() == b""
    await one.aclose()
    await one.aclose()
    with pytest.raises(trio.BrokenResourceError):
        await other.send_all(b"x")
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await third.receive_some()

        third, fourth = await make()
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        await third.aclose()
    await fourth.aclose()
    await other.aclose()


def test_what_a_runner_imports() -> None:
    """The framing costs a runner none of the loops, and no TLS."""
    code = (
        "import sys; from trio_dask.comm import FrameDecoder, Link, frame; "
        "print(*{'trio', 'anyio', 'asyncio', 'ssl', 'psutil', 'cyclopts'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == ""


def test_the_door() -> None:
    """Every name the room offers can be had there."""
    import trio_dask.comm as room

    assert sorted(room._HOMES) == sorted(room.__all__)
    for name in room.__all__:
        assert getattr(room, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        room.nothing  # noqa: B018
