"""Compression between hosts: when, by what, and what a peer cannot do with it."""

from __future__ import annotations

import dataclasses
import functools
import queue
import random
import threading
from contextlib import asynccontextmanager
from math import inf
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio
import trio.testing
from hypothesis import given, settings, strategies as st

from tests.comm.comm_driver import KEYS, Heard, hands, hello
from trio_dask.comm import Connection, Link, connect, connect_anyio, open_listener, own_keys, serve
from trio_dask.comm.chunks import (
    CHUNK_BYTES,
    CHUNKED_BYTES_MIN,
    LZ4,
    PLAIN,
    ZSTD,
    Chunk,
    chunk_head,
)
from trio_dask.comm.compression import Agreed, Packer, agree, installed, offered, plain, undo
from trio_dask.comm.weighing import LineRate, Offer, best_of, may_pay
from trio_dask.config import Config
from trio_dask.errors import ConfigError, RemoteProtocolError
from trio_dask.messages import Handle, encode
from trio_dask.messages.session import CLIENT, WORKER
from trio_dask.messages.values import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio_dask.comm import Keys
    from trio_dask.messages import Buffer, Payload

MIB = 1 << 20
BOTH = Agreed(("lz4", "zstd"), forced=True)

needs_both = pytest.mark.skipif(
    installed() != ("lz4", "zstd"), reason="lz4 or zstandard is not installed"
)

# ---------------------------------------------------------------- the decision


@pytest.mark.parametrize(
    ("line", "share_lz4", "share_zstd", "forced", "best"),
    [
        (inf, 0.01, 0.01, False, PLAIN),  # nothing is known of the line yet
        (10e9, 0.01, 0.01, False, PLAIN),  # quicker than what compresses
        (1.2e9, 0.3, 0.2, False, PLAIN),  # ten gigabits
        (118e6, 0.5, 0.5, False, LZ4),  # one gigabit, and the same share: the quicker one
        (118e6, 0.9, 0.3, False, ZSTD),
        (118e6, 1.01, 1.0, False, PLAIN),  # noise
        (118e6, 0.8, 0.8, False, PLAIN),  # the time would be nearly the same
        (5e6, 0.8, 0.7, False, ZSTD),  # a line so slow that a little counts
        (inf, 0.5, 0.4, True, ZSTD),  # it is wanted
        (inf, 0.95, 0.93, True, PLAIN),  # but not for nothing
    ],
)
def test_what_is_best(
    line: float, share_lz4: float, share_zstd: float, forced: bool, best: int
) -> None:
    """What is there first: the line's rate, and what each way does, decide."""
    offers = [Offer(LZ4, share_lz4, 500e6, 2e9), Offer(ZSTD, share_zstd, 250e6, 1e9)]
    assert best_of(offers, line, forced=forced) == best
    assert best_of([], line, forced=forced) == PLAIN


def test_what_is_not_worth_a_look() -> None:
    """A line that is quicker than all that compresses."""
    assert not may_pay(inf, [500e6])
    assert not may_pay(500e6, [250e6, 500e6])
    assert may_pay(118e6, [250e6, 500e6])
    assert not may_pay(1.0, [])


def through(line: LineRate, rate: float, room: float, count: int, start: float = 0.0) -> float:
    """Write so often to a line behind `room` bytes of buffers; how fast it is taken to be."""
    now, waiting, nbytes = start, 0.0, MIB
    for _ in range(count):
        over = max(0.0, waiting + nbytes - room)
        began, now = now, now + 1e-5 + over / rate
        waiting = max(0.0, waiting + nbytes - (now - began) * rate)
        line.wrote(nbytes, began, now)
    return line.value


@pytest.mark.parametrize(
    ("rate", "room", "least", "most"),
    [
        (100e6, 4e6, 95e6, 105e6),  # what the buffers take at once is no rate
        (10e6, 4e6, 9e6, 11e6),
        (118e6, 0, 110e6, 125e6),
        (8e9, 4e6, 2e9, inf),
    ],
)
def test_how_fast_a_line_is(rate: float, room: float, least: float, most: float) -> None:
    """Only what has to wait for room says it."""
    assert least <= through(LineRate(), rate, room, 40) <= most


def test_a_line_of_which_little_is_known() -> None:
    """A few writes say nothing, and what comes after a rest begins anew."""
    line = LineRate()
    assert through(line, 100e6, 4e6, 4) == inf
    line = LineRate()
    for second in range(20):
        line.wrote(MIB, float(second), second + 0.005)  # the buffers were empty each time
    assert line.value == inf


def test_a_line_that_changes() -> None:
    """It becomes slower, and faster again: both are found out."""
    line = LineRate()
    assert through(line, 10e6, 0, 20) < 12e6
    assert through(line, 200e6, 0, 300, 100.0) > 150e6
    assert through(line, 20e6, 0, 60, 200.0) < 30e6
    assert through(line, 20e9, 4e6, 30, 300.0) > 1e9
    assert through(line, 20e6, 0, 60, 0.0) < 30e6  # though the clock was set back


def test_agreements() -> None:
    """Only what both have; nothing where one does not want it."""
    assert agree("none", "lz4,zstd") is None
    assert agree("auto", "") is None
    assert agree("auto", "snappy") is None
    if installed() == ("lz4", "zstd"):
        assert agree("auto", "lz4,zstd") == Agreed(("lz4", "zstd"))
        assert agree("auto", "zstd,other") == Agreed(("zstd",))
        assert agree("lz4", "lz4,zstd") == Agreed(("lz4",), forced=True)
        assert agree("lz4", "zstd") is None


def test_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for by name it is an error that says what to do; else it does without."""
    monkeypatch.setattr("trio_dask.comm.compression.installed", tuple)
    assert offered("auto") == ""
    config = Config(comm=dataclasses.replace(Config().comm, compression="zstd"))
    with pytest.raises(ConfigError, match=r"zstd, which is not installed: pip install"):
        own_keys("0123456789abcdef" * 4, config)


def test_introductions() -> None:
    """Who unpacks nothing introduces himself as ever; what is said is covered by the proofs."""
    plain_one = hello(CLIENT)
    assert len(plain_one.to_bytes()) + 9 == len(
        dataclasses.replace(plain_one, unpacks="lz4,zstd").to_bytes()
    )
    one, other = hands(CLIENT, connecting=True), hands(WORKER, connecting=False)
    one._mine = dataclasses.replace(one._mine, unpacks="zstd")
    said, heard = one.start(), other.start()
    while one.wanted or other.wanted:
        taken, heard = heard[: one.wanted], heard[one.wanted :]
        said += one.feed(taken)
        taken, said = said[: other.wanted], said[other.wanted :]
        heard += other.feed(taken)
    assert other.peer.unpacks == "zstd"
    assert one.peer.unpacks == ""


# ---------------------------------------------------------------- chunks


def payloads() -> list[Payload]:
    """Small and large ones, some that become smaller and some that do not, in one piece or many."""
    noise = random.Random(1).randbytes(MIB + 77)
    return [
        b"", b"small" * 100, bytes(CHUNKED_BYTES_MIN), bytes(3 * MIB + 5), noise,
        [noise[:100], memoryview(bytearray(2 * MIB)), noise, b"end"], bytes(CHUNK_BYTES),
    ]  # fmt: skip


def carried(link: Link, packer: Packer | None) -> list[bytes]:
    """What a link has to write, as it is written."""
    out: list[bytes] = []
    for piece in link.take():
        if isinstance(piece, Chunk):
            parts = packer.packed(piece) if packer else plain(piece)
            out += [bytes(part) for part in parts]
            link.wrote(len(piece), sum(map(len, parts)))
        else:
            out.append(bytes(piece))
            link.wrote(len(piece))
    return out


def whole(payload: Payload) -> bytes:
    """All of it, in one piece."""
    return b"".join(payload) if isinstance(payload, list) else bytes(payload)


@needs_both
@settings(max_examples=15, deadline=None)
@given(
    names=st.sampled_from([("lz4",), ("zstd",), ("lz4", "zstd"), ()]),
    cuts=st.lists(st.integers(1, 3 * MIB), max_size=8),
    seed=st.integers(0, 1000),
)
def test_chunks_arrive(names: tuple[str, ...], cuts: list[int], seed: int) -> None:
    """Whatever way they are packed, and wherever the stream is cut."""
    one, other = Link(chunks=True), Link(undo=undo(BOTH))
    values = payloads()
    random.Random(seed).shuffle(values)
    messages = [Store(1, list(range(len(values))), values), Store(2, [], [])]
    one.queue(messages)
    packer = Packer(Agreed(names, forced=True)) if names else None
    stream = b"".join(carried(one, packer))
    assert one.queued_bytes == 0
    assert one.bytes_out == len(stream)
    heard: list[Any] = []
    at = 0
    for cut in [*cuts, len(stream)]:
        heard += other.feed(stream[at : at + cut])
        at += cut
    other.end()
    assert [each.serial for each in heard] == [1, 2]
    assert [bytes(each) for each in heard[0].payloads] == [whole(each) for each in values]
    assert not names or len(stream) < 3 * MIB


def test_small_values_are_left_alone() -> None:
    """They cost what they cost without."""
    values: list[Payload] = [b"x" * (CHUNKED_BYTES_MIN - 1), b"y"]
    one, other = Link(chunks=True), Link()
    for link in (one, other):
        link.queue([Store(1, [1, 2], values)])
    assert b"".join(one.take()) == b"".join(other.take())


class Held(Handle):
    """A value behind a descriptor."""

    def __init__(self, data: bytes) -> None:
        self.data, self.fd, self.nbytes = data, -1, len(data)

    def read(self, at: int, nbytes: int) -> bytes:
        return self.data[at : at + nbytes]


@needs_both
def test_values_in_files() -> None:
    """They are read when they are sent, a chunk at a time."""
    data = bytes(2 * MIB + 9)
    one, other = Link(chunks=True), Link(undo=undo(BOTH))
    one.queue([Store(1, [1], [Held(data)])])
    heard: Any = other.feed(b"".join(carried(one, Packer(BOTH))))[0]
    assert heard.payloads == [data]


def frame_of(size: int, *parts: bytes) -> bytes:
    """A frame with one payload that is said to have so many bytes in chunks."""
    header, _ = encode([Store(1, [1], [b""])])
    prefix = len(header).to_bytes(4, "little") + (1).to_bytes(4, "little")
    return prefix + (size | 1 << 62).to_bytes(8, "little") + header + b"".join(parts)


def compressed(name: str, data: bytes, method: int | None = None) -> bytes:
    """A chunk, packed in one way and said to be in another."""
    made = whole(Packer(Agreed((name,), forced=True)).packed(Chunk([data])))
    return made if method is None else chunk_head(method, len(made) - 4) + made[4:]


def hostile() -> list[tuple[str, bytes]]:
    """Frames that nobody sends who means well, and what is said of them."""
    size = 2 * CHUNKED_BYTES_MIN
    cases = [
        ("a chunk of", frame_of(size, chunk_head(PLAIN, size + 1))),
        ("a chunk of", frame_of(size, chunk_head(PLAIN, 1))),
        ("a chunk of", frame_of(size, chunk_head(LZ4, size))),
        ("a chunk of", frame_of(size, chunk_head(LZ4, 0))),
        ("a chunk of", frame_of(3 * MIB, chunk_head(ZSTD, MIB))),
        ("not agreed on, 3", frame_of(size, chunk_head(3, 5), b"abcde")),
        ("cannot be unpacked by lz4", frame_of(size, chunk_head(LZ4, 5), b"abcde")),
        ("cannot be unpacked by zstd", frame_of(size, chunk_head(ZSTD, 5), b"abcde")),
        ("a payload of", frame_of(1 << 61)),
        ("a payload of", frame_of(1 << 63 | 5)),
    ]
    for name in installed():
        # More, and less, than there is room for; one that says so, one that does not.
        cases += [
            ("cannot be unpacked|where", frame_of(size, compressed(name, bytes(size + 1)))),
            ("cannot be unpacked|where", frame_of(size, compressed(name, bytes(size - 1)))),
            ("cannot be unpacked|where", frame_of(size, compressed(name, bytes(MIB)))),
        ]
    return cases


@needs_both
def test_hostile_chunks() -> None:
    """They end the connection, and nothing larger than a chunk was made for them."""
    for said, data in hostile():
        with pytest.raises(RemoteProtocolError, match=said):
            Link(undo=undo(BOTH)).feed(data)
        with pytest.raises(RemoteProtocolError, match="a payload of"):
            Link().feed(data)  # to whom nobody may speak so
    with pytest.raises(RemoteProtocolError, match="not agreed on"):
        Link(undo=undo(Agreed(("lz4",)))).feed(
            frame_of(CHUNKED_BYTES_MIN, compressed("zstd", bytes(CHUNKED_BYTES_MIN)))
        )


# ---------------------------------------------------------------- connections


class SlowStream(trio.abc.Stream):
    """A line that takes so many bytes a second."""

    def __init__(self, inner: trio.abc.Stream, rate: float, clock: trio.testing.MockClock) -> None:
        self.inner, self.rate, self.clock = inner, rate, clock

    async def send_all(self, data: Buffer) -> None:
        self.clock.jump(len(data) / self.rate)
        await self.inner.send_all(bytes(data))

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return bytes(await self.inner.receive_some(max_bytes))

    async def aclose(self) -> None:
        await self.inner.aclose()


@needs_both
@pytest.mark.parametrize(("rate", "compresses"), [(20e6, True), (5e9, False)])
async def test_only_a_slow_line(
    mock_clock: trio.testing.MockClock, rate: float, compresses: bool
) -> None:
    """The first values show how slow it is; those after them are compressed, if they can be."""
    near, far = trio.testing.memory_stream_pair()
    agreed = Agreed(("lz4", "zstd"))
    one = Connection(
        SlowStream(near, rate, mock_clock), hello(WORKER), local_address="tcp://a:1",
        remote_address="tcp://b:1", agreed=agreed,
    )  # fmt: skip
    other = Connection(far, hello(CLIENT), agreed=agreed)
    noise = random.Random(1).randbytes(MIB)
    heard = Heard(24)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run, lambda _: None)
        nursery.start_soon(other.run, heard)
        for serial in range(12):
            one.send(Store(serial, [1], [bytes(MIB)]))
        await one.drained()
        before = one.statistics().bytes_out
        assert before > 2 * MIB
        for serial in range(6):
            one.send(Store(serial, [1], [bytes(MIB)]), Store(serial, [1], [noise]))
        await heard.enough.wait()
        assert (one.statistics().bytes_out - before < 6.5 * MIB) is compresses
        assert one.statistics().bytes_out == other.statistics().bytes_in
        one.close("done")
    said: list[Any] = heard.messages
    assert [each.payloads[0] in (bytes(MIB), noise) for each in said] == [True] * 24


@asynccontextmanager
async def a_worker(keys: Keys) -> AsyncIterator[tuple[str, list[Connection], Heard]]:
    """One that hears, and says the same."""
    connections: list[Connection] = []
    heard = Heard()

    async def handler(connection: Connection) -> None:
        connections.append(connection)

        def echo(messages: list[object]) -> None:
            heard(messages)  # type: ignore[arg-type]
            connection.send(*messages)  # type: ignore[arg-type]

        await connection.run(echo)  # type: ignore[arg-type]

    async with await open_listener("tcp://127.0.0.1:0") as listener, trio.open_nursery() as nursery:
        await nursery.start(
            functools.partial(serve, listener, keys=keys, role=WORKER, handler=handler)
        )
        yield listener.address, connections, heard
        nursery.cancel_scope.cancel()


SETTINGS = [
    ("lz4", "auto", True),
    ("zstd", "zstd", True),
    ("auto", "auto", False),  # it is one host
    ("lz4", "none", False),
    ("none", "lz4", False),
    ("lz4", "zstd", False),
]


@needs_both
@pytest.mark.network
@pytest.mark.parametrize("anyio_client", [False, True])
@pytest.mark.parametrize(("mine", "theirs", "compresses"), SETTINGS)
async def test_real_connections(
    mine: str, theirs: str, compresses: bool, anyio_client: bool
) -> None:
    """What both have and one wants; over one host only if it is wanted."""
    value = bytes(4 * MIB)
    async with a_worker(dataclasses.replace(KEYS, compression=theirs)) as (address, _, heard):
        dial = connect_anyio if anyio_client else connect
        connection = await dial(
            address, keys=dataclasses.replace(KEYS, compression=mine), role=CLIENT, expect=WORKER,
            near=False,
        )  # fmt: skip
        back = Heard()
        async with anyio.create_task_group() as group:
            group.start_soon(connection.run, back)
            connection.send(Store(1, [1], [value]))
            await back.enough.wait()
            there = connection.statistics().bytes_out
            here = connection.statistics().bytes_in
            connection.close("done")
        assert [each.payloads for each in (*heard.messages, *back.messages)] == [[value]] * 2  # type: ignore[attr-defined]
        assert (there < MIB) is compresses
        assert (here < MIB) is (compresses and theirs != "auto")


@needs_both
@pytest.mark.network
def test_a_client_on_asyncio() -> None:
    """Its threads compress as well."""
    keys = dataclasses.replace(KEYS, compression="zstd")
    value = bytes(4 * MIB) + b"end"
    addresses: queue.SimpleQueue[str] = queue.SimpleQueue()
    over = threading.Event()

    async def serve_one() -> None:
        async with a_worker(keys) as (address, _, heard):
            addresses.put(address)
            await heard.enough.wait()
            await trio.to_thread.run_sync(over.wait)

    async def ask() -> None:
        connection = await connect_anyio(
            addresses.get(), keys=keys, role=CLIENT, expect=WORKER, near=False
        )
        back: list[Any] = []

        def hear(messages: list[Any]) -> None:
            back.extend(messages)
            connection.close("done")

        connection.send(Store(1, [1], [value]))
        await connection.run(hear)
        assert back[0].payloads == [value]
        assert connection.statistics().bytes_in < MIB
        assert connection.statistics().bytes_out < MIB

    thread = threading.Thread(target=trio.run, args=(serve_one,))
    thread.start()
    try:
        anyio.run(ask, backend="asyncio")
    finally:
        over.set()
        thread.join(10)
