"""Values that a runner is asked to give up: in files, or where they are."""

from __future__ import annotations

import socket
import sys
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import pytest

from tests.runner.runner_driver import one_piece
from trio_dask.messages.payload import unpack
from trio_dask.messages.sealing import Pressure, Rewrite, Sealed, Slab, Unload
from trio_dask.messages.values import ABSENT, UNPICKLABLE, Fetch, Values
from trio_dask.runner.exports import Exports
from trio_dask.runner.holdings import Packed
from trio_dask.runner.sealing import Sealer
from trio_dask.runner.wire import Outbox, read_messages
from trio_dask.store import Segment, map_privately

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trio_dask.messages import Message

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory files are Linux's")

MIB = 1 << 20


class Giver:
    """The part of a runner that gives values out, and what it says."""

    def __init__(self, directory: str, held: dict[int, Any]) -> None:
        self.ours, theirs = socket.socketpair()
        self._theirs = theirs
        settings = {
            "sealed_bytes_min": MIB,
            "pool_bytes_max": 8 * MIB,
            "sealed_max": 10,
            "local_directory": directory,
        }
        outbox = Outbox(theirs.fileno())
        self.sealer = Sealer(settings, outbox)
        self.exports = Exports(held, outbox, self.sealer)
        #: What it says; one iterator, as a batch may hold more than the next message.
        self.said: Iterator[Message] = chain.from_iterable(read_messages(self.ours.fileno()))

    def close(self) -> None:
        """End it."""
        self.exports.close()
        self.sealer.close()
        self.ours.close()
        self._theirs.close()


class Stubborn:
    """Cannot be pickled."""

    def __reduce__(self) -> str:
        msg = "not me"
        raise TypeError(msg)


def test_each_value_is_answered_for(tmp_path: Path) -> None:
    """In a file; not to be pickled; not here."""
    held = {1: list(range(100_000)), 2: Stubborn(), 4: Packed(one_piece("four")), 5: [5]}
    giver = Giver(str(tmp_path), held)
    giver.exports.unload(Unload(7, [1, 2, 3, 4, 5]))
    values: dict[int, Any] = {}
    rest: Values | None = None
    for message in giver.said:
        if isinstance(message, Values):
            rest = message
            break
        if isinstance(message, Slab):  # what is small shares a file
            [segment] = message.payloads
            assert isinstance(segment, Segment)
            segment.check()
            at = 0
            for tid, size in zip(message.tids, message.sizes, strict=True):
                values[tid] = unpack(map_privately(segment)[at : at + size])
                at += size
            assert at == segment.nbytes
            continue
        assert isinstance(message, Sealed)
        for tid, number, segment in zip(
            message.tids, message.numbers, message.payloads, strict=True
        ):
            assert number < 0
            assert isinstance(segment, Segment)
            segment.check()
            values[tid] = unpack(map_privately(segment))
    assert values == {1: list(range(100_000)), 4: "four", 5: [5]}
    assert rest is not None
    assert (rest.serial, rest.tids, rest.last) == (7, [2, 3], True)
    assert rest.statuses == [UNPICKLABLE, ABSENT]
    assert not list(tmp_path.iterdir())
    giver.close()


def test_no_place_to_write(tmp_path: Path) -> None:
    """It stays; what is large and asked for goes into memory as always."""
    giver = Giver(str(tmp_path / "nowhere"), {1: b"x" * MIB})
    giver.sealer.press(Pressure(2))
    giver.exports.unload(Unload(7, [1]))
    giver.exports.ask(Fetch(8, [1]))
    unloaded, sealed, _ = islice(giver.said, 3)
    assert isinstance(unloaded, Values)
    assert unloaded.statuses == [ABSENT]
    assert isinstance(sealed, Sealed)
    assert sealed.numbers == [1]
    giver.close()


def test_under_pressure_nothing_is_kept(tmp_path: Path) -> None:
    """Neither what was idle nor what comes back."""
    giver = Giver(str(tmp_path), {})
    pool = giver.sealer._pool
    first, second = (pool.write([b"x" * MIB], MIB) for _ in range(2))
    assert first is not None
    assert second is not None
    giver.sealer.rewrite(Rewrite([first[0]], [1]))
    assert pool.idle_bytes == MIB
    giver.sealer.press(Pressure(1))
    assert pool.idle_bytes == 0
    giver.sealer.rewrite(Rewrite([second[0]], [1]))
    assert pool.idle_bytes == 0
    giver.close()


def test_no_more_open_files_than_there_is_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then results go into memory files again, until some of those on disk are let go of."""
    monkeypatch.setattr("trio_dask.runner.sealing.filed_max", lambda: 2)
    giver = Giver(str(tmp_path), {})
    giver.sealer.press(Pressure(2))
    held = [giver.sealer.seal(x, x, bytearray(2 * MIB)) for x in range(1, 4)]
    assert [row[2] for row in giver.sealer._outbox.sealed] == [-1, -2, 1]
    giver.sealer._outbox.sealed.clear()
    del held[0]
    giver.sealer.seal(4, 4, bytearray(2 * MIB))
    assert [row[2] for row in giver.sealer._outbox.sealed] == [-3]
    giver.close()
