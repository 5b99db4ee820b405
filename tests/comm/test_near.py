"""Peers on one host find each other's local sockets; all others, and who is in doubt, take the wire."""

from __future__ import annotations

import contextlib
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.comm.comm_driver import KEYS, OTHER_KEYS
from trio_dask.comm import (
    AnyioConnection,
    Connection,
    Keys,
    connect,
    connect_anyio,
    listen_near,
    near,
    open_listener,
    parse_address,
    serve,
    stream,
)
from trio_dask.errors import AuthenticationError, CommError
from trio_dask.messages.session import CLIENT, WORKER
from trio_dask.messages.values import FOUND, Fetch, Values
from trio_dask.store import Pool, Segment, map_privately

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(sys.platform != "linux", reason="local sockets without files are Linux's"),
]

SIZE = 1 << 20


async def _answer(connection: Connection) -> None:
    """Answers each question with a large value."""
    pool = Pool(idle_bytes_max=0, count_max=10)

    def on_messages(messages: list[Any]) -> None:
        for message in messages:
            written = pool.write([b"v" * SIZE], SIZE)
            assert written is not None
            connection.send(Values(message.serial, [1], [FOUND], [], [written[1]], last=True))

    try:
        await connection.run(on_messages)
    finally:
        pool.close()


@asynccontextmanager
async def worker(*, keys: Keys = KEYS, local: Keys | None = KEYS) -> AsyncIterator[str]:
    """The address of something that listens as a worker does."""
    listener = await open_listener("tcp://127.0.0.1:0")
    if local is not None:
        sock = listen_near(local, listener.address)
        assert sock is not None
        listener = listener.with_local(sock)
    async with trio.open_nursery() as nursery:

        async def served(*, task_status: trio.TaskStatus[Any]) -> None:
            await serve(listener, keys=keys, role=WORKER, handler=_answer, task_status=task_status)

        await nursery.start(served)
        yield listener.address
        nursery.cancel_scope.cancel()


async def asked(connection: Connection | AnyioConnection) -> Any:
    """The value that comes as an answer: a descriptor, or bytes."""
    answers: list[Any] = []

    def on_messages(messages: list[Any]) -> None:
        answers.extend(messages)
        connection.close("thanks")

    connection.send(Fetch(1, [1]))
    await connection.run(on_messages)
    return answers[0].payloads[0]


DIALS = [connect, connect_anyio]


@pytest.mark.parametrize("dial", DIALS)
@pytest.mark.parametrize("role", [CLIENT, WORKER])
async def test_who_is_on_the_host_gets_a_descriptor(dial: Callable[..., Any], role: str) -> None:
    """Nothing is copied: the memory is the one that the worker wrote."""
    async with worker() as address:
        connection = await dial(address, keys=KEYS, role=role, expect=WORKER)
        assert connection.near
        value = await asked(connection)
        assert isinstance(value, Segment)
        assert bytes(map_privately(value)) == b"v" * SIZE


@pytest.mark.parametrize("dial", DIALS)
@pytest.mark.parametrize("why", ["asked not to", "another system", "another user", "nobody there"])
async def test_everybody_else_gets_bytes(
    dial: Callable[..., Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a container or another host does is what happens where nobody is there."""
    local: Keys | None = KEYS
    if why == "another system":
        monkeypatch.setattr(near, "_POSSIBLE", False)
        local = None
    elif why == "another user":
        monkeypatch.setattr(near, "is_ours", lambda _: False)
    elif why == "nobody there":
        local = None
    options = {"near": False} if why == "asked not to" else {}
    async with worker(local=local) as address:
        connection = await dial(address, keys=KEYS, role=CLIENT, expect=WORKER, **options)
        assert not connection.near
        assert await asked(connection) == b"v" * SIZE


@pytest.mark.parametrize("dial", DIALS)
async def test_who_listens_there_without_the_token_is_not_believed(
    dial: Callable[..., Any],
) -> None:
    """Somebody has taken the name; the worker itself is reached by its address."""
    listener = await open_listener("tcp://127.0.0.1:0")
    taken = listen_near(KEYS, listener.address)
    assert taken is not None
    impostor = (await open_listener("tcp://127.0.0.1:0")).with_local(taken)
    async with trio.open_nursery() as nursery:
        for each, keys in ((listener, KEYS), (impostor, OTHER_KEYS)):

            async def served(
                each: Any = each, keys: Keys = keys, *, task_status: trio.TaskStatus[Any]
            ) -> None:
                await serve(each, keys=keys, role=WORKER, handler=_answer, task_status=task_status)

            await nursery.start(served)
        connection = await dial(listener.address, keys=KEYS, role=CLIENT, expect=WORKER)
        assert not connection.near
        assert await asked(connection) == b"v" * SIZE
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("dial", DIALS)
async def test_a_wrong_token_gets_in_by_neither_way(dial: Callable[..., Any]) -> None:
    """The local socket is no back door."""
    async with worker() as address:
        with pytest.raises(AuthenticationError):
            await dial(address, keys=OTHER_KEYS, role=CLIENT, expect=WORKER)


async def test_another_user_who_knocks_is_not_talked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection ends before a word; the other way the token decides."""
    monkeypatch.setattr(stream, "is_ours", lambda _: False)
    async with worker() as address:
        sock = near.reach_near(KEYS, parse_address(address))
        assert sock is not None
        with trio.socket.from_stdlib_socket(sock) as knocking:
            with contextlib.suppress(ConnectionError):
                assert await knocking.recv(1) == b""
        connection = await connect(address, keys=KEYS, role=CLIENT, expect=WORKER)
        assert not connection.near
        connection.cut("enough")
        with pytest.raises(CommError):
            await connection.run(lambda _: None)


def test_there_is_no_local_socket_where_certificates_are_asked_for() -> None:
    """Who encrypts wants to see them."""
    assert listen_near(KEYS, "tls://127.0.0.1:1") is None
    assert near.reach_near(KEYS, parse_address("tls://127.0.0.1:1")) is None


def test_one_address_has_one_local_socket() -> None:
    """And that is each cluster's own."""
    first = listen_near(KEYS, "tcp://127.0.0.1:1")
    assert first is not None
    with first:
        assert listen_near(KEYS, "tcp://127.0.0.1:1") is None
        other = listen_near(OTHER_KEYS, "tcp://127.0.0.1:1")
        assert other is not None
        other.close()
