"""How a client waits: on a loop with others, or in a thread of its own.

What both clients do is written once, as coroutines. All that they wait for is a `Bell`,
so on a thread, where a bell blocks, such a coroutine runs to its end in one go.
"""

from __future__ import annotations

import math
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import anyio
import anyio.lowlevel

from trio_dask.client.loops import event_here, refuse_running_loop
from trio_dask.config import parse_seconds
from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


def seconds_of(timeout: float | str | timedelta | None) -> float | None:
    """A time limit as a user gives it: a number of seconds, text such as ``"2s"``, a timedelta, or None.

    Raises:
        ValueError: it is none.
    """
    if isinstance(timeout, timedelta):
        timeout = timeout.total_seconds()
    if timeout is None:
        return None
    if isinstance(timeout, int | float) and type(timeout) is not bool and not math.isnan(timeout):
        return max(0.0, timeout)
    try:
        return parse_seconds(timeout)
    except ConfigError:
        msg = f'timeout={timeout!r}: it is a number of seconds, or as "2s" or "5min", or None'
        raise ValueError(msg) from None


class TimeIsUp(Exception):
    """A bell did not ring in time. Never reaches users."""


class Bell(Protocol):
    """Rings once, for one who waits."""

    #: Ring. Called on the client's loop.
    ring: Callable[[], None]

    async def wait(self, deadline: float | None = None) -> None:
        """Until it rings.

        Raises:
            TimeIsUp: it did not by `deadline`.
        """


class Waits(Protocol):
    """One way of waiting."""

    def bell(self) -> Bell:
        """A new bell."""

    def deadline(self, timeout: float | None) -> float | None:
        """When so many seconds are over; None: never."""

    async def checkpoint(self) -> None:
        """Let others run, where there are others."""

    async def peek(self) -> None:
        """See whether the caller is cancelled, where that can be."""


class LoopWaits:
    """For the tasks of a loop, of either kind."""

    def bell(self) -> Bell:
        """A new bell."""
        return LoopBell()

    def deadline(self, timeout: float | None) -> float | None:
        """In the loop's time."""
        return None if timeout is None else anyio.current_time() + timeout

    async def checkpoint(self) -> None:
        """Let the loop's other tasks run."""
        await anyio.lowlevel.checkpoint()

    async def peek(self) -> None:
        """See whether this task is cancelled."""
        await anyio.lowlevel.checkpoint_if_cancelled()


class LoopBell:
    """An event of the loop."""

    __slots__ = ("_event", "ring")

    def __init__(self) -> None:
        self._event = event_here()
        self.ring: Callable[[], None] = self._event.set

    async def wait(self, deadline: float | None = None) -> None:
        """Until it rings."""
        if deadline is None:
            await self._event.wait()
            return
        with anyio.CancelScope(deadline=deadline):
            await self._event.wait()
        if not self._event.is_set():
            raise TimeIsUp


class ThreadWaits:
    """For threads, of which each waits by itself."""

    def bell(self) -> Bell:
        """A new bell."""
        return ThreadBell()

    def deadline(self, timeout: float | None) -> float | None:
        """In this process's monotonic time."""
        return None if timeout is None else time.monotonic() + timeout

    async def checkpoint(self) -> None:
        """Other threads run anyway."""

    async def peek(self) -> None:
        """Nobody cancels a thread."""


class ThreadBell:
    """It blocks the thread."""

    __slots__ = ("_event", "ring")

    def __init__(self) -> None:
        self._event = threading.Event()
        self.ring: Callable[[], None] = self._event.set

    async def wait(self, deadline: float | None = None) -> None:
        """Until it rings."""
        refuse_running_loop("waiting with Client", "AsyncClient")
        seconds = None
        if deadline is not None:
            seconds = min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)
        if not self._event.wait(seconds):
            raise TimeIsUp


def run_blocking(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to its end what waits for the bells of `ThreadWaits` only."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    coroutine.close()
    msg = f"{coroutine!r} waits for a loop, and there is none"
    raise RuntimeError(msg)
