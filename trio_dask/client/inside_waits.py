"""How the client of a task waits: the task's slot is free meanwhile."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from trio_dask.client.loops import refuse_running_loop
from trio_dask.client.waits import LoopBell, LoopWaits, ThreadBell, ThreadWaits, TimeIsUp

if TYPE_CHECKING:
    from trio_dask.client.waits import Bell
    from trio_dask.runner import Nest


class TaskThreadWaits(ThreadWaits):
    """For a plain function, in the thread that runs it; other threads just wait."""

    def __init__(self, nest: Nest) -> None:
        self._nest = nest

    def bell(self) -> Bell:
        """A new bell."""
        return _TaskThreadBell(self._nest)


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
        nest.alarm = self._event.set
        parked = False
        try:
            nest.check()  # it may have come before the alarm was set
            parked = nest.park()
            seconds = None
            if deadline is not None:
                seconds = min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)
            in_time = self._event.wait(seconds)
        finally:
            nest.alarm = None
        nest.check()
        if parked:
            nest.come()
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
        nest = self._nest
        nest.park_coroutine()
        try:
            await super().wait(deadline)
        except TimeIsUp:
            await nest.come_coroutine()  # noqa: ASYNC120 - a cancellation comes first
            raise
        await nest.come_coroutine()
