"""Many values in one file, where there are too few descriptors for a file each."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from trio_dask.messages import part_of
from trio_dask.store import Segment, SharedFile, write_file

if TYPE_CHECKING:
    from pathlib import Path

    from trio_dask.messages import Payload

pytestmark = pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="files are Linux's")

KIB = 1 << 10


def blocks(segment: Segment) -> int:
    """So much of the disk a file takes."""
    return 512 * os.fstat(segment.fd).st_blocks


def test_values_follow_one_another(tmp_path: Path) -> None:
    """Whatever they are: in memory, in pieces, in a file of their own, a part of one."""
    shared = SharedFile(str(tmp_path), 1024 * KIB)
    alone = write_file(str(tmp_path), b"c" * 100_000)
    three = write_file(str(tmp_path), b"xxxdddyyy")
    rows: list[Payload] = [b"a" * 10, [b"b" * 5, b"B" * 70_000], alone, part_of(three, 3, 3)]
    found = [shared.write(each) for each in rows]
    assert len({id(whole) for whole, _ in found}) == 1
    whole = found[0][0]
    sizes = [10, 70_005, 100_000, 3]
    texts = [whole.read(at, size) for (_, at), size in zip(found, sizes, strict=True)]
    assert texts == [b"a" * 10, b"b" * 5 + b"B" * 70_000, b"c" * 100_000, b"ddd"]


def test_a_full_file_is_followed_by_another(tmp_path: Path) -> None:
    """A value that is larger than that has one of its own."""
    shared = SharedFile(str(tmp_path), 256 * KIB)
    found = [shared.write(bytes([x]) * 100 * KIB) for x in range(5)]
    assert [at for _, at in found] == [0, 100 * KIB, 0, 100 * KIB, 0]
    huge, at = shared.write(b"h" * 300 * KIB)
    assert (huge.nbytes, at) == (300 * KIB, 0)
    assert all(whole.read(at, 1) == bytes([x]) for x, (whole, at) in enumerate(found))


def test_it_goes_with_the_last_value(tmp_path: Path) -> None:
    """Places are given back one by one; then the file is closed, and the next value has another."""
    before = set(os.listdir("/proc/self/fd"))
    shared = SharedFile(str(tmp_path), 64 << 20)
    found = [shared.write(b"v" * (2 << 20)) for _ in range(4)]
    parts = [part_of(each, at, 2 << 20) for each, at in found]
    whole = found.pop()[0]
    found.clear()
    assert blocks(whole) >= 8 << 20
    del parts[1:3]
    assert blocks(whole) < 5 << 20
    del parts, whole
    assert set(os.listdir("/proc/self/fd")) == before
    again, at = shared.write(b"w")
    assert (again.read(at, 1), at) == (b"w", 0)


def test_after_one_that_failed(tmp_path: Path) -> None:
    """What came half is written over."""
    shared = SharedFile(str(tmp_path), 1024 * KIB)
    first, _ = shared.write(b"1")
    with pytest.raises(OSError, match="shorter"):
        shared.write(Segment(os.memfd_create("empty"), 10))
    with pytest.raises(TypeError):
        shared.write([b"half", 5])  # type: ignore[list-item]
    whole, at = shared.write(b"2")
    assert whole is first
    assert (whole.read(0, 1), whole.read(at, 1)) == (b"1", b"2")
