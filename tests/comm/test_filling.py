"""Large payloads are read to where they belong, and none of their bytes is copied after that."""

from __future__ import annotations

import dataclasses
import random
import resource
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
from hypothesis import given, settings, strategies as st

from tests.comm.comm_driver import KEYS
from trio_dask.comm import (
    Connection,
    Filling,
    FrameDecoder,
    Keys,
    connect,
    connect_anyio,
    frame,
    open_listener,
    private_room,
    serve,
)
from trio_dask.comm.chunks import Chunk
from trio_dask.comm.compression import Agreed, Packer, installed, undo
from trio_dask.comm.filling import ROOM_BYTES_MIN
from trio_dask.messages.session import CLIENT, WORKER
from trio_dask.messages.values import Store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_dask.messages import Buffer, Message, Payload

MIB = 1 << 20
NOISE = random.Random(2).randbytes(2 * MIB + 5)
PAYLOADS: list[Payload] = [
    b"", NOISE, b"x" * 100, bytes(ROOM_BYTES_MIN), bytes(ROOM_BYTES_MIN - 1), NOISE[:MIB], b"",
]  # fmt: skip


class Rooms:
    """Makes room, and notes for how much."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def make(self, nbytes: int) -> Filling | None:
        """Room for so many bytes."""
        self.made.append(nbytes)
        return private_room(nbytes)


def stream_of(*, chunked: str | None) -> bytes:
    """A frame with all the payloads; maybe in chunks, and then maybe compressed."""
    out = b""
    packer = Packer(Agreed((chunked,), forced=True)) if chunked else None
    for piece in frame(b"header", list(PAYLOADS), chunks=chunked is not None):
        if isinstance(piece, Chunk):
            assert packer is not None
            out += b"".join(map(bytes, packer.packed(piece)))
        else:
            out += bytes(piece)
    return out


def taken(stream: bytes, decoder: FrameDecoder, cuts: list[int]) -> tuple[list[Any], int]:
    """The frames, read like a connection does: how many bytes went straight to their place, too."""
    frames: list[Any] = []
    at = straight = 0
    while at < len(stream):
        part = stream[at : at + (cuts.pop(0) if cuts else 64 << 10)]
        vacancy = decoder.vacancy
        if vacancy is None:
            frames += decoder.feed(part)
        else:
            part = part[: len(vacancy)]
            vacancy[: len(part)] = part
            straight += len(part)
            decoder.filled(len(part))
            frames += decoder.feed(b"")
        at += len(part)
    return frames, straight


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(1, MIB), max_size=12),
    chunked=st.sampled_from([None, *installed()]),
)
def test_any_split(cuts: list[int], chunked: str | None) -> None:
    """However it comes, all of it is right; what is large, and not compressed, went straight there."""
    decoder = FrameDecoder(undo=undo(Agreed(installed())))
    rooms = Rooms()
    decoder.make_room = rooms.make
    stream = stream_of(chunked=chunked)
    [(header, payloads)], straight = taken(stream, decoder, [*cuts])
    assert bytes(header) == b"header"
    assert [bytes(each) for each in payloads] == PAYLOADS
    assert decoder.between_frames
    assert decoder.vacancy is None
    assert set(rooms.made) <= {len(NOISE), ROOM_BYTES_MIN, MIB}
    assert not rooms.made or straight or cuts or chunked


def test_where_there_is_no_room() -> None:
    """It is put together as it comes."""
    decoder = FrameDecoder()
    decoder.make_room = lambda _: None
    [(_, payloads)], straight = taken(stream_of(chunked=None), decoder, [])
    assert [bytes(each) for each in payloads] == PAYLOADS
    assert not straight


def test_nothing_costs_memory_before_it_has_come() -> None:
    """Though somebody says that it will be very much, and though there cannot be so much."""
    decoder = FrameDecoder()
    decoder.make_room = private_room
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lead = bytes(frame(b"header", [bytes(2 * MIB)])[0])
    size = 60 << 30
    decoder.feed(lead[:8] + size.to_bytes(8, "little") + lead[16:] + bytes(100_000))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000
    assert private_room(1 << 62) is None


class Served:
    """A worker that sends back what it hears, and keeps it."""

    def __init__(self) -> None:
        self.rooms = Rooms()
        self.heard: list[Message] = []

    async def serve(
        self, address: str, keys: Keys, asking: Callable[[str], Awaitable[None]]
    ) -> None:
        """As long as somebody asks."""
        async with await open_listener(address) as listener, trio.open_nursery() as nursery:
            await nursery.start(
                partial(serve, listener, keys=keys, role=WORKER, handler=self._handle)
            )
            await asking(listener.address)
            nursery.cancel_scope.cancel()

    async def _handle(self, connection: Connection) -> None:
        connection.make_room_by(self.rooms.make)

        def echo(messages: list[Message]) -> None:
            self.heard += messages
            connection.send(*messages)

        await connection.run(echo)


async def gone_and_back(address: str, keys: Keys, dial: Any) -> None:
    """Values get through a connection and come back, into memory that they can be changed in."""
    served, rooms = Served(), Rooms()
    back: list[Any] = []

    async def ask(at: str) -> None:
        connection = await dial(at, keys=keys, role=CLIENT, expect=WORKER, near=False)
        connection.make_room_by(rooms.make)

        def hear(messages: list[Message]) -> None:
            back.extend(messages)
            connection.close("done")

        connection.send(Store(1, list(range(len(PAYLOADS))), list(PAYLOADS)))
        with trio.fail_after(30):
            await connection.run(hear)

    await served.serve(address, keys, ask)
    large = [len(each) for each in PAYLOADS if len(each) >= ROOM_BYTES_MIN]
    sides: list[tuple[list[Any], Rooms]] = [(served.heard, served.rooms), (back, rooms)]
    for heard, made in sides:
        payloads: list[Buffer] = heard[0].payloads
        assert [bytes(each) for each in payloads] == PAYLOADS
        assert sorted(made.made) == sorted(large)
        for each in payloads:
            assert len(each) < ROOM_BYTES_MIN or not memoryview(each).readonly


@pytest.mark.network
@pytest.mark.parametrize("dial", [connect, connect_anyio])
async def test_through_a_socket(dial: Any) -> None:
    """On Trio by reading there; on anyio it is copied there once."""
    await gone_and_back("tcp://127.0.0.1:0", KEYS, dial)


@pytest.mark.network
@pytest.mark.skipif(not installed(), reason="needs a package that compresses")
@pytest.mark.parametrize("method", installed())
async def test_compressed(method: str) -> None:
    """It is unpacked there."""
    keys = dataclasses.replace(KEYS, compression=method)
    await gone_and_back("tcp://127.0.0.1:0", keys, connect)


@pytest.mark.network
@pytest.mark.skipif(not installed(), reason="needs a package that compresses")
@pytest.mark.parametrize("setting", ["auto", *installed()])
async def test_encrypted_between_two_addresses(setting: str) -> None:
    """With TLS both agree on compression in the same way; `auto` does as it likes, and all is right."""
    pytest.importorskip("cryptography", reason="certificates are made with it")
    from tests.comm.test_tls import OURS

    keys = dataclasses.replace(OURS, compression=setting)
    sent: list[int] = []

    async def dial(at: str, **options: Any) -> Connection:
        assert at.startswith("tls://127.0.0.2:")
        connection = await connect(at, **options)
        assert connection.peer.unpacks == (",".join(installed()) if setting == "auto" else setting)
        assert "://127.0.0.1:" in connection.local_address
        run = connection.run

        async def counted(on_messages: Callable[[list[Message]], None]) -> str:
            try:
                return await run(on_messages)
            finally:
                sent.append(connection.statistics().bytes_out)

        connection.run = counted  # type: ignore[method-assign]
        return connection

    await gone_and_back("tls://127.0.0.2:0", keys, dial)
    whole = sum(map(len, PAYLOADS))
    assert setting == "auto" or sent[0] < whole - MIB
