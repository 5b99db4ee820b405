"""Whether a scheduler has had nothing to do for so long that it may end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from trio_dask.scheduler.core.state import PENDING

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.scheduler.core.state import ClusterState


class Idleness:
    """How long nothing has happened: no task has come or ended, and none waits or runs."""

    def __init__(self, limit_s: float | None, now: float) -> None:
        self._limit_s: Final = math.inf if limit_s is None else limit_s
        self._since = now
        self._seen: tuple[int, ...] = ()

    def look(self, now: float, done: tuple[int, ...], busy: Callable[[], bool]) -> bool:
        """Whether it is over.

        `done` is what has been counted so far, of anything; `busy` is asked only when it
        would be over otherwise.

        >>> idle = Idleness(10.0, now=0.0)
        >>> [idle.look(now, (1,), lambda: False) for now in (1.0, 9.0, 11.0)]
        [False, False, True]
        """
        if done != self._seen:
            self._since, self._seen = now, done
        if now - self._since < self._limit_s:
            return False
        if busy():
            self._since = now
            return False
        return True


def is_busy(state: ClusterState) -> bool:
    """Whether a task waits or runs: those who come last are the ones that do, mostly."""
    return any(task.state in PENDING for task in reversed(state.tasks.values()))
