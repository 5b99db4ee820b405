"""Frames: any split, every limit, no byte copied twice."""

from __future__ import annotations

import itertools
import struct
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from trio_dask.comm import FrameDecoder, Limits, frame
from trio_dask.comm.chunks import Chunk
from trio_dask.comm.framing import JOIN_BYTES_MAX, MIB, Stretch, join
from trio_dask.errors import LocalProtocolError, RemoteProtocolError
from trio_dask.messages import Handle

if TYPE_CHECKING:
    from trio_dask.messages import Buffer, Payload

SMALL = Limits(header_bytes_max=100, payloads_max=3, payload_bytes_max=1000)


def wire(frames: list[tuple[bytes, list[Payload]]]) -> bytes:
    """The frames as one stream."""
    return b"".join(bytes(piece) for each in frames for piece in frame(*each))


def flat(payload: Payload) -> bytes:
    """A payload in one piece."""
    return b"".join(payload) if isinstance(payload, list) else bytes(payload)


def plain(frames: list[tuple[Buffer, list[Buffer]]]) -> list[tuple[bytes, list[bytes]]]:
    """The frames as values that can be compared."""
    return [(bytes(header), [bytes(each) for each in payloads]) for header, payloads in frames]


payload_strategy: st.SearchStrategy[Payload] = st.one_of(
    st.binary(max_size=40), st.lists(st.binary(max_size=20), max_size=3)
)
frame_strategy = st.tuples(st.binary(max_size=40), st.lists(payload_strategy, max_size=4))


@given(st.lists(frame_strategy, max_size=6), st.data())
def test_any_split_gives_the_same_frames(
    frames: list[tuple[bytes, list[Payload]]], data: st.DataObject
) -> None:
    """However the stream is cut, the same frames come out, and nothing is left over."""
    stream = wire(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    decoder = FrameDecoder()
    out = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        out += plain(decoder.feed(stream[start:end]))
    assert out == [(header, [flat(each) for each in payloads]) for header, payloads in frames]
    assert decoder.between_frames


@given(st.lists(frame_strategy, min_size=1, max_size=3))
def test_byte_by_byte(frames: list[tuple[bytes, list[Payload]]]) -> None:
    """One byte at a time is only slower."""
    decoder = FrameDecoder()
    stream = wire(frames)
    out = [each for byte in stream for each in plain(decoder.feed(bytes([byte])))]
    assert out == plain(FrameDecoder().feed(stream))


@given(st.binary(max_size=200), st.integers(1, 200))
def test_garbage_is_refused_or_waited_for(garbage: bytes, cut: int) -> None:
    """Arbitrary bytes raise one kind of error, or are the beginning of something."""
    decoder = FrameDecoder(SMALL)
    try:
        decoder.feed(garbage[:cut])
        decoder.feed(garbage[cut:])
    except RemoteProtocolError:
        pass


@pytest.mark.parametrize(
    ("prefix", "says"),
    [
        (struct.pack("<II", 0xFFFFFFFF, 0), "header of 4294967295 bytes"),
        (struct.pack("<II", 101, 0), "header of 101 bytes, limit 100"),
        (struct.pack("<II", 1, 4), "4 payloads"),
        (struct.pack("<IIQ", 1, 1, 2**63), "payload of 9223372036854775808 bytes"),
        (struct.pack("<IIQQ", 1, 2, 1, 1001), "payload of 1001 bytes, limit 1000"),
    ],
)
def test_limits_of_the_receiver(prefix: bytes, says: str) -> None:
    """A length above its limit is refused as soon as it is read."""
    with pytest.raises(RemoteProtocolError, match=says):
        FrameDecoder(SMALL).feed(prefix)


@pytest.mark.parametrize(
    "prefix",
    [struct.pack("<II", 64 << 20, 0), struct.pack("<IIQ", 1, 1, 64 << 30) + b"h"],
    ids=["header", "payload"],
)
def test_a_claim_costs_no_memory(prefix: bytes) -> None:
    """Memory is used for what arrives, not for what a length field promises."""
    decoder = FrameDecoder()
    tracemalloc.start()
    try:
        assert decoder.feed(prefix) == []
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()
    assert not decoder.between_frames


def test_limits_of_the_sender() -> None:
    """What the peer would refuse is not even queued."""
    with pytest.raises(LocalProtocolError, match="header of 101 bytes"):
        frame(bytes(101), [], SMALL)
    with pytest.raises(LocalProtocolError, match="4 payloads"):
        frame(b"", [b""] * 4, SMALL)
    with pytest.raises(LocalProtocolError, match="payload of 1001 bytes"):
        frame(b"", [[bytes(1000), b"x"]], SMALL)


def test_large_payloads_are_not_copied_by_the_sender() -> None:
    """The pieces to write hold the caller's own buffers; small ones are joined."""
    large = bytes(JOIN_BYTES_MAX)
    pieces = frame(b"header", [b"a", large, [b"b", b"c"], b""])
    assert len(pieces) == 3
    assert pieces[1] is large
    assert bytes(pieces[2]) == b"bc"


def test_views_of_any_shape() -> None:
    """A payload of words travels as its bytes; one with gaps is refused here, not there."""
    words = memoryview(bytes(range(16))).cast("I")
    ((_, payloads),) = FrameDecoder().feed(b"".join(frame(b"h", [words])))
    assert bytes(payloads[0]) == bytes(range(16))
    with pytest.raises(LocalProtocolError, match="not contiguous"):
        frame(b"h", [memoryview(bytes(16))[::2]])


def test_a_large_payload_in_many_reads_is_linear() -> None:
    """Every byte of a payload is copied a small number of times."""
    size = 8 << 20
    stream = b"".join(frame(b"h", [bytes(size), b"tail"]))
    decoder = FrameDecoder()
    out = []
    for start in range(0, len(stream), 4096):
        out += decoder.feed(memoryview(stream)[start : start + 4096])
    ((header, payloads),) = out
    assert bytes(header) == b"h"
    assert [len(each) for each in payloads] == [size, 4]


def test_a_frame_that_comes_byte_by_byte_is_looked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Thousands of lengths are read when they are there, not again with every byte after them."""
    looks = 0

    class Counting:
        @staticmethod
        def unpack_from(code: str, view: memoryview, at: int) -> tuple[int, ...]:
            nonlocal looks
            looks += 1
            return struct.unpack_from(code, view, at)

    monkeypatch.setattr("trio_dask.comm.framing.struct", Counting)
    stream = struct.pack("<II5000Q", 100, 5000, *([0] * 5000)) + b"h" * 100
    decoder = FrameDecoder()
    frames = [frame for byte in stream for frame in decoder.feed(bytes([byte]))]
    assert len(frames) == 1
    assert looks < 5


def test_a_payload_does_not_hold_the_read_it_came_in() -> None:
    """A small payload outlives its read without keeping the rest of it in memory."""
    ((_, payloads),) = FrameDecoder().feed(b"".join(frame(b"h", [b"small"])))
    assert type(payloads[0]) is bytes


@given(st.lists(st.integers(0, 3).map(lambda n: bytes(n * JOIN_BYTES_MAX // 2)), max_size=8))
def test_join_keeps_the_bytes(pieces: list[bytes]) -> None:
    """Joining changes how many pieces there are, nothing else."""
    joined = join(list(pieces))
    assert b"".join(joined) == b"".join(pieces)
    assert all(
        len(one) >= JOIN_BYTES_MAX or len(other) >= JOIN_BYTES_MAX
        for one, other in itertools.pairwise(joined)
    )


class _Elsewhere(Handle):
    """A payload behind a descriptor, which notes how much of it is read at once."""

    def __init__(self, nbytes: int) -> None:
        self.fd, self.nbytes = -1, nbytes
        self.reads: list[int] = []

    def read(self, at: int, nbytes: int) -> bytes:
        assert at + nbytes <= self.nbytes
        self.reads.append(nbytes)
        return bytes(nbytes)


@pytest.mark.parametrize("chunks", [False, True])
def test_what_is_sent_by_copies_is_so_a_part_at_a_time(chunks: bool) -> None:
    """By TLS, or compressed: what is to be sent is in memory a MiB at a time, however large it is."""
    value = _Elsewhere(64 * MIB + 5)
    pieces = frame(b"h", [value], chunks=chunks)[1:]
    assert value.reads == []
    assert sum(map(len, pieces)) == value.nbytes
    for piece in pieces:
        parts = piece.pieces if isinstance(piece, Chunk) else [piece]
        for part in parts:
            assert isinstance(part, Stretch)
            assert part.read() == bytes(len(part))
    assert max(value.reads) == MIB
