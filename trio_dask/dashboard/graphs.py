"""Graphs of tasks for viewers: made when asked for, and shared by those who ask soon after."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import anyio

if TYPE_CHECKING:
    from trio_dask.dashboard.view import View

#: A graph is made anew so often at most, and takes this share of the time at most.
_EVERY_S: Final = 1.0
_SHARE: Final = 0.02
_KEPT: Final = 8


class Graphs:
    """The last graphs, by what was asked."""

    def __init__(self, view: View) -> None:
        self._view: Final = view
        self._made: Final[dict[tuple[str, int], tuple[float, dict[str, Any]]]] = {}
        self._making: Final = anyio.Lock()

    async def get(self, what: tuple[str, int], now: float) -> dict[str, Any]:
        """The graph of a function (all, if it is empty) and so many tasks at most."""
        async with self._making:
            until, known = self._made.get(what, (0.0, {}))
            if now < until:
                return known
            graph, cost = await self._make(*what)
            self._made.pop(what, None)
            while len(self._made) >= _KEPT:
                del self._made[next(iter(self._made))]
            self._made[what] = (now + max(_EVERY_S, cost / _SHARE), graph)
            return graph

    async def _make(self, name: str, limit: int) -> tuple[dict[str, Any], float]:
        """A new one, and what it has cost in seconds."""
        cost, steps = 0.0, self._view.graph(name=name, limit=limit)
        while True:
            began = time.perf_counter()
            try:
                next(steps)
            except StopIteration as end:
                return end.value, cost + time.perf_counter() - began
            cost += time.perf_counter() - began
            await anyio.lowlevel.checkpoint()
