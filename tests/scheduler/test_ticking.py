"""How often a scheduler looks at the clock: as seldom as it may."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import trio

from tests.faults.town import open_town
from trio_dask.scheduler.core import SchedulerCore

if TYPE_CHECKING:
    import pytest
    from trio.testing import MockClock


def double(number: int) -> int:
    """A task."""
    return 2 * number


async def test_without_tasks_half_as_often(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster that nobody uses costs its host as little as may be."""
    looks: list[float] = []
    tick = SchedulerCore.tick

    def look(self: SchedulerCore, now: float) -> list[int]:
        looks.append(now)
        return tick(self, now)

    monkeypatch.setattr(SchedulerCore, "tick", look)

    async def pauses_in(seconds: float) -> set[float]:
        looks.clear()
        await trio.sleep(seconds)
        return {round(after - before, 3) for before, after in pairwise(looks)}

    async with open_town(tick_s=0.5) as town, town.client() as client:
        assert await pauses_in(10) == {1.0}
        future = client.submit(double, 1)
        await trio.sleep(1)
        assert await pauses_in(10) == {0.5}
        del future
        await trio.sleep(1)
        assert await pauses_in(10) == {1.0}
