"""Rules about limited time broken on purpose, one at a time: what the simulation has to find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from trio_dask.scheduler.core import expiring
from trio_dask.worker.core import limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


def let_time_pass() -> AbstractContextManager[Any]:
    """What waits at the scheduler may wait for ever."""

    def time_is_up(*_: Any) -> None:
        return

    return patch.object(expiring, "_time_is_up", time_is_up)


def believe_a_clock_elsewhere() -> AbstractContextManager[Any]:
    """A worker takes what is left of the time for a time on its own clock."""

    def anchor(*_: Any) -> None:
        return

    return patch.object(limits, "anchor", anchor)


def stop_nothing_that_is_late() -> AbstractContextManager[Any]:
    """What runs at a worker is not looked at when its time is up."""

    def look(state: Any, *_: Any) -> None:
        state.looks.clear()

    return patch.object(limits, "look", look)


LIMIT_MUTATIONS: Final[dict[str, Callable[[], AbstractContextManager[Any]]]] = {
    broken.__name__: broken
    for broken in (let_time_pass, believe_a_clock_elsewhere, stop_nothing_that_is_late)
}
