"""Files of many small values: what nobody reads any more is given back, to the block, and nothing else."""

from __future__ import annotations

import gc
import os
import random
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from trio_dask.comm.framing import Stretch, frame
from trio_dask.messages import Share, part_of, payload_bytes
from trio_dask.store import Segment, write_file
from trio_dask.store.holes import BLOCK, Holes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("nbytes", "dead", "given_back"),
    [
        (4 * BLOCK, [(0, BLOCK // 4), (BLOCK // 4, BLOCK // 4)], []),  # half a block
        (4 * BLOCK, [(0, 4 * BLOCK)], [(0, 4 * BLOCK)]),
        (4 * BLOCK, [(100, BLOCK), (0, 100), (BLOCK + 100, BLOCK)], [(0, 2 * BLOCK)]),
        (4 * BLOCK + 7, [(3 * BLOCK, BLOCK + 7)], [(3 * BLOCK, 5 * BLOCK)]),  # to its end
        (4 * BLOCK, [(1, 2 * BLOCK)], [(BLOCK, 2 * BLOCK)]),  # both ends are others', too
        (4 * BLOCK, [(7, 0)], []),
    ],
)
def test_whole_blocks_are_given_back(
    nbytes: int, dead: list[tuple[int, int]], given_back: list[tuple[int, int]]
) -> None:
    """A block that several values have a part in waits for the last of them."""
    holes = Holes(nbytes)
    blocks = {block for each in dead for part in holes.add(*each) for block in range(*part, BLOCK)}
    assert blocks == {block for part in given_back for block in range(*part, BLOCK)}


@given(st.lists(st.integers(1, 3 * BLOCK), min_size=1, max_size=60), st.randoms())
def test_all_that_is_dead_and_nothing_else(sizes: list[int], chance: random.Random) -> None:
    """In any order of deaths: no block of which a byte is alive, and in the end most of them."""
    total = sum(sizes)
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    order = list(range(len(sizes)))
    chance.shuffle(order)
    holes = Holes(total)
    alive, back = set(order), set[int]()
    for index in order:
        alive.discard(index)
        for start, end in holes.add(starts[index], sizes[index]):
            assert start % BLOCK == end % BLOCK == 0
            blocks = set(range(start, end, BLOCK))
            assert not blocks & back, "twice"
            back |= blocks
            for other in alive:
                assert starts[other] >= end or starts[other] + sizes[other] <= start
    kept = set(range(0, total, BLOCK)) - back
    late = {each for at, end in holes._fresh for each in range(at // BLOCK * BLOCK, end, BLOCK)}
    assert kept <= late, "only what has come since it was worth the while"
    assert sum(end - at for at, end in holes._fresh) < max(1, total // 8)


def _filed(directory: Path, values: list[bytes]) -> tuple[Segment, list[Share]]:
    whole = write_file(str(directory), [b"".join(values)])
    parts, at = [], 0
    for each in values:
        part = part_of(whole, at, len(each))
        assert isinstance(part, Share)
        parts.append(part)
        at += len(each)
    return whole, parts


@pytest.mark.skipif(sys.platform != "linux", reason="holes are made as Linux makes them")
def test_the_disk_has_it_back_while_others_are_read(tmp_path: Path) -> None:
    """Of a file of a thousand values one after the other ends; the others are what they were."""
    chance = random.Random(1)
    values = [chance.randbytes(chance.randrange(1, 20_000)) for _ in range(1_000)]
    whole, parts = _filed(tmp_path, values)
    before = os.fstat(whole.fd).st_blocks * 512
    assert before >= payload_bytes(whole)
    left = dict(enumerate(parts))
    parts.clear()
    while len(left) > 10:
        del left[chance.choice(list(left))]
        if len(left) % 100 == 0:
            for index, part in left.items():
                assert part.read(0, part.nbytes) == values[index]
    assert os.fstat(whole.fd).st_blocks * 512 < before // 5
    assert os.fstat(whole.fd).st_size == sum(map(len, values))


def test_what_is_being_sent_is_there_until_it_has_been(tmp_path: Path) -> None:
    """Nobody else refers to it any more."""
    values = [bytes([index]) * 100_000 for index in range(1, 9)]
    whole, parts = _filed(tmp_path, values)
    pieces = frame(b"", [parts.pop(0)])
    del parts[:]
    gc.collect()
    [stretch] = [each for each in pieces if isinstance(each, Stretch)]
    assert stretch.read() == values[0]
    assert whole.read(0, 1) == b"\x01"


def test_a_file_system_without_holes_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked once, and nothing is lost."""
    asked: list[int] = []

    def punch(_fd: int, at: int, _nbytes: int) -> bool:
        asked.append(at)
        return False

    monkeypatch.setattr("trio_dask.store.segments.punch", punch)
    values = [bytes([index]) * 50_000 for index in range(1, 50)]
    _whole, parts = _filed(tmp_path, values)
    del parts[:-1]
    assert len(asked) == 1
    assert parts[0].read(0, 50_000) == values[-1]
