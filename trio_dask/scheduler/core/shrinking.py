"""Memory that much was in is given back: tables keep their size when they are emptied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_dask.scheduler.core.windows import weed

if TYPE_CHECKING:
    from trio_dask.scheduler.core.state import ClusterState

#: A table of so many tasks is large.
_LARGE: Final = 10_000


class Shrinking:
    """Notes when most tasks are gone."""

    __slots__ = ("_high", "times")

    def __init__(self) -> None:
        self._high = 0  # the most tasks since the table was last made anew
        #: How often much memory became free.
        self.times = 0

    def look(self, state: ClusterState) -> None:
        """Make tables anew that are much too large by now."""
        count = len(state.tasks)
        self._high = max(self._high, count)
        if self._high > _LARGE and count < self._high // 8:
            state.tasks = dict(state.tasks)
            weed(state)
            self._high = count
            self.times += 1
