"""Values in memory files: written, passed on, read, changed, written again."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import trio

from trio_dask.comm import Connection, DescriptorStream, Hello, SocketByteStream
from trio_dask.comm.framing import frame
from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import Message, encode, payload_bytes
from trio_dask.messages.large import pack_large
from trio_dask.messages.payload import unpack
from trio_dask.messages.session import WORKER
from trio_dask.messages.values import Give
from trio_dask.runner.wire import read_messages
from trio_dask.store import Pool, Segment, map_privately, rights, write_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_dask.messages import Payload

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory files are Linux's")

MIB = 1 << 20


@pytest.fixture(name="pool")
def _pool() -> Iterator[Pool]:
    pool = Pool(idle_bytes_max=64 * MIB, count_max=100)
    yield pool
    pool.close()


def written(pool: Pool, *pieces: bytes) -> tuple[int, Segment]:
    """A value in a file."""
    found = pool.write(list(pieces), sum(map(len, pieces)))
    assert found is not None
    return found


def descriptors() -> set[str]:
    """Those of this process, and what is behind them."""
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that looks
            found.add(f"{each.name} {each.readlink()}")
    return found


def test_readers_have_a_memory_of_their_own(pool: Pool) -> None:
    """What one changes, neither another sees nor who reads later."""
    _, segment = written(pool, b"a" * MIB, b"b" * 100)
    one, other = map_privately(segment), map_privately(segment)
    one[0] = ord("x")
    assert bytes(other[:2]) == b"aa"
    assert bytes(map_privately(segment)[:2]) == b"aa"
    assert (one[0], bytes(one[-3:])) == (ord("x"), b"bbb")
    assert segment.read(MIB - 1, 2) == b"ab"


def test_nobody_else_writes(pool: Pool) -> None:
    """Who has the descriptor can neither write, nor have others run into its end."""
    _, segment = written(pool, b"a" * MIB)
    for damage in (
        lambda: os.pwrite(segment.fd, b"x", 0),
        lambda: os.ftruncate(segment.fd, 10),
        lambda: os.ftruncate(segment.fd, 10 * MIB),
    ):
        with pytest.raises(PermissionError):
            damage()
    segment.check()


def test_what_is_no_value_is_refused() -> None:
    """A pipe, a memory file that can become shorter, one that is too short."""
    ends = os.pipe()
    os.close(ends[1])
    soft = os.memfd_create("soft")
    os.ftruncate(soft, MIB)
    short = os.memfd_create("short", os.MFD_ALLOW_SEALING)
    os.ftruncate(short, 10)
    fcntl.fcntl(short, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    for fd in (ends[0], soft, short):
        with pytest.raises(RemoteProtocolError):
            Segment(fd, MIB).check()


def test_without_memory_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on macOS: an unlinked file, written again like the others, and nothing of it is left."""
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = descriptors()
    pool = Pool(idle_bytes_max=64 * MIB, count_max=3)
    number, segment = written(pool, b"a" * MIB)
    segment.check()
    assert bytes(map_privately(segment)[:2]) == b"aa"
    pool.back(number, clean=True)
    again, segment = written(pool, b"b" * MIB)
    assert (again, segment.read(0, 1)) == (number, b"b")
    pool.close()
    assert list(tmp_path.iterdir()) == []
    assert descriptors() == before


def test_written_again_when_nobody_reads(pool: Pool) -> None:
    """The same file, with another value in it."""
    number, segment = written(pool, b"a" * MIB)
    view = map_privately(segment)
    gone: list[bool] = []
    segment.on_gone(gone.append)
    del segment
    assert gone == [], "it is mapped"
    del view
    assert gone == [False]
    pool.back(number, clean=True)
    again, segment = written(pool, b"b" * MIB)
    assert again == number
    assert bytes(map_privately(segment)[:1]) == b"b"


def test_nothing_is_left() -> None:
    """Of a pool with values in use, idle ones, and readers."""
    before = descriptors()
    pool = Pool(idle_bytes_max=64 * MIB, count_max=3)
    kept = [written(pool, bytes([at]) * MIB) for at in range(3)]
    assert pool.write([b"x"], 1) is None, "no more than three"
    pool.back(kept[0][0], clean=True)
    view = map_privately(kept[1][1])
    pool.close()
    assert bytes(view[:1]) == b"\1"
    del kept, view
    assert descriptors() == before


@pytest.mark.parametrize("value", [
    np.arange(300_000.0),
    np.arange(300_000.0).reshape(500, 600).T,
    b"x" * (2 * MIB),
    bytearray(2 * MIB),
    [np.zeros(200_000), {"a": "b" * (2 * MIB)}, 1],
    "é" * MIB,
])  # fmt: skip
def test_large_values(pool: Pool, value: object) -> None:
    """They come out as they went in."""
    pieces = pack_large(value, MIB)
    assert pieces is not None
    found = pool.write(pieces, payload_bytes(pieces))
    assert found is not None
    back = unpack(map_privately(found[1]))
    np.testing.assert_equal(back, value)
    if isinstance(back, np.ndarray):
        assert not back.flags.owndata
        back[0] = 5.0


@pytest.mark.parametrize(
    "value", [list(range(500_000)), np.zeros(10), lambda: 1, np.full(200_000, None), "short"]
)
def test_other_values_stay(value: object) -> None:
    """What is small, what is dear to pickle, and what cannot be pickled."""
    assert pack_large(value, MIB) is None


async def test_descriptors_travel(pool: Pool) -> None:
    """Between processes of a host nothing is copied; elsewhere the bytes are sent."""
    payload = os.urandom(3 * MIB)
    for carries in (True, False):
        before = descriptors()
        _, segment = written(pool, payload)
        made = socket.socketpair()
        kind = DescriptorStream if carries else SocketByteStream
        one, other = (
            Connection(kind(each), Hello(WORKER, "", ""), remote_address="x") for each in made
        )
        heard: list[Message] = []

        def on_messages(
            messages: list[Message], heard: list[Message] = heard, one: Connection = one
        ) -> None:
            heard.extend(messages)
            one.close("that is all")

        one.send(Give([1, 2], [segment, b"small"]))
        del segment
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.run, lambda _: None)
            await other.run(on_messages)
        [give] = heard
        assert isinstance(give, Give)
        there, small = give.payloads
        assert small == b"small"
        assert isinstance(there, Segment) == carries
        assert isinstance(there, Segment | bytes | bytearray)
        assert (there.read(0, 3 * MIB) if isinstance(there, Segment) else there) == payload
        del give, there, heard, on_messages, one, other
        pool.close()
        assert descriptors() == before


async def test_a_value_that_is_none_ends_the_connection() -> None:
    """A runner is users' code, and may send any descriptor."""
    made = socket.socketpair()
    one, other = (
        Connection(DescriptorStream(each), Hello(WORKER, "", ""), remote_address="x")
        for each in made
    )
    one.send(Give([1], [Segment(os.memfd_create("soft"), 10)]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run, lambda _: None)  # it is told why, and says goodbye
        with pytest.raises(RemoteProtocolError, match="no value of 10 bytes"):
            await other.run(lambda _: None)


# ---------------------------------------------------------------- on disk


def test_a_value_on_disk(pool: Pool, tmp_path: Path) -> None:
    """It is there as it was, has no name, and is gone with its last reader."""
    before = descriptors()
    _, segment = written(pool, b"a" * MIB, b"b" * 100)
    pieces: list[Payload] = [segment, [b"a" * MIB, memoryview(b"b" * 100)]]
    for payload in pieces:
        filed = write_file(str(tmp_path), payload)
        filed.check()
        assert filed.nbytes == MIB + 100
        assert filed.read(MIB - 1, 2) == b"ab"
        assert bytes(map_privately(filed)[-3:]) == b"bbb"
        assert not list(tmp_path.iterdir())
        del filed
    assert len(descriptors()) == len(before) + 2  # a file of the pool, and what maps it


def test_no_disk(tmp_path: Path) -> None:
    """The reason is the system's, and nothing is left open."""
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        write_file(str(tmp_path / "nowhere"), b"x")
    with pytest.raises(OSError, match="shorter"):
        write_file(str(tmp_path), Segment(os.memfd_create("empty"), 10))
    assert descriptors() == before


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no file system in memory is mounted")
def test_a_directory_in_memory_is_no_memory_file() -> None:
    """There are no seals to be asked for."""
    write_file("/dev/shm", b"x" * 100).check()


def test_what_nobody_has_taken_is_closed() -> None:
    """A reader owns what has come until it is adopted, and ends with it."""
    before = descriptors()
    one, other = socket.socketpair()
    lead, *_ = frame(*encode([Give([1], [Segment(os.memfd_create("a"), 0)])]), carries=True)
    more = Segment(os.memfd_create("more"), 0)
    with one, other:
        one.sendmsg([lead], [rights([more, more, more])])
        heard = read_messages(other.fileno())
        [give] = next(heard)
        assert isinstance(give, Give)
        heard.close()
    del give, lead, more
    assert descriptors() == before
