"""How the client of a task waits: the task's slot is free meanwhile."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from trio_dask.client.loops import refuse_running_loop
from trio_dask.client.waits import LoopBell, LoopWaits, ThreadBell, ThreadWaits, TimeIsUp

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.client.waits import Bell
    from trio_dask.runner import Nest


class TaskThreadWaits(ThreadWaits):
    """For a plain function, in the thread that runs it; other threads just wait."""

    def __init__(self, nest: Nest) -> None:
        self._nest = nest

    def bell(self) -> Bell:
        """A new bell."""
        return _TaskThreadBell(self._nest)

    def event(self, before: Callable[[], None]) -> threading.Event:
        """An event for others, who know nothing of slots; `before` is called before each wait."""
        return _TaskThreadEvent(self._nest, before)


def _wait_aside(nest: Nest, event: threading.Event, wait: Callable[[], bool]) -> bool:
    """Have `wait` wait for the event, without the task's slot. In the task's thread."""
    nest.alarm = event.set
    parked = False
    try:
        nest.check()  # it may have come before the alarm was set
        parked = nest.park()
        in_time = wait()
    finally:
        nest.alarm = None
    nest.check()
    if parked:
        nest.come(at_once=not in_time)
    return in_time


class _TaskThreadEvent(threading.Event):
    """What waits for it in the task's thread has no slot meanwhile, and ends with the task."""

    def __init__(self, nest: Nest, before: Callable[[], None]) -> None:
        super().__init__()
        self._nest = nest
        self._before = before

    def wait(self, timeout: float | None = None) -> bool:
        """Until it is set; whether it is."""
        if self._nest.is_mine and not self.is_set():
            self._before()
            if timeout is None or timeout > 0:
                return _wait_aside(self._nest, self, partial(super().wait, timeout))
        return super().wait(timeout)


class _TaskThreadBell(ThreadBell):
    __slots__ = ("_nest",)

    def __init__(self, nest: Nest) -> None:
        super().__init__()
        self._nest = nest

    async def wait(self, deadline: float | None = None) -> None:
        nest = self._nest
        if not nest.is_mine:
            await super().wait(deadline)
            return
        nest.check()
        if self._event.is_set():
            return
        refuse_running_loop("waiting with Client", "AsyncClient")
        seconds = None
        if deadline is not None:
            seconds = min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)
        in_time = _wait_aside(nest, self._event, partial(self._event.wait, seconds))
        if not in_time:
            raise TimeIsUp


class TaskLoopWaits(LoopWaits):
    """For a coroutine."""

    def __init__(self, nest: Nest) -> None:
        self._nest = nest

    def bell(self) -> Bell:
        """A new bell."""
        return _TaskLoopBell(self._nest)


class _TaskLoopBell(LoopBell):
    __slots__ = ("_nest",)

    def __init__(self, nest: Nest) -> None:
        super().__init__()
        self._nest = nest

    async def wait(self, deadline: float | None = None) -> None:
        if self._event.is_set():
            return
        self._nest.park_coroutine()
        await super().wait(deadline)  # whose time is up goes on without a slot
        await self._nest.come_coroutine()
