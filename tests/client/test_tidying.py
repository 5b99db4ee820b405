"""What large submissions were packed in does not stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from tests.faults.town import open_town
from trio_dask.client import live
from trio_dask.client.core.outflow import MARK_BYTES

if TYPE_CHECKING:
    import pytest
    from trio.testing import MockClock


def size(blob: bytes) -> int:
    """A task."""
    return len(blob)


async def test_memory_is_given_back_when_all_has_arrived(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for what is submitted together, and after who submitted it has let go of it, too."""
    trimmed: list[float] = []
    monkeypatch.setattr(live, "trim", lambda: trimmed.append(trio.current_time()))
    async with open_town() as town, town.client() as client:
        little = client.map(size, [b"x"] * 10)
        await trio.sleep(10)
        assert trimmed == []
        much = client.map(size, [bytes(1000)] * (2 * MARK_BYTES // 1000))
        await trio.sleep(10)
        assert trimmed == [10.2]
        more = client.map(size, [bytes(1000)] * (2 * MARK_BYTES // 1000))
        await trio.sleep(10)
        assert trimmed == [10.2, 20.2]
        await client.cancel([*little, *much, *more])
