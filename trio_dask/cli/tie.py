"""What ties a server to the process that started it: it gets orders, tells news, and ends with it."""

from __future__ import annotations

import logging
import os
import stat
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

import trio

from trio_dask.messages.tie import CLOSE, Lines, change_news, read_scale, read_scheduler

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("trio_dask.cli")


_GONE: Final = "the process that started this one is gone"


def take_token() -> None:
    """Read the token from standard input, where no other user of the machine can see it.

    Byte by byte: what follows is for the tie.
    """
    line = b""
    while (each := os.read(0, 1)) not in {b"", b"\n"}:
        line += each
    os.environ["TRIO_DASK_TOKEN"] = line.decode("ascii", errors="replace").strip()


class Scalable(Protocol):
    """What can be given another size."""

    def scale(self, count: int) -> None:
        """Have so many."""


class Tie:
    """Standard input of a server that is somebody's child.

    Its end is the server's. Where it is a socket, and not just a pipe, the parent is one
    of ours: it is told news there, and watched, as others may hold its end of the socket
    open for longer than it lives.
    """

    def __init__(self) -> None:
        self._fd: Final = os.dup(sys.stdin.fileno())
        self._to_ours: Final = stat.S_ISSOCK(os.fstat(self._fd).st_mode)
        self._crew: Scalable | None = None
        self._wanted: int | None = None
        self._scheduler = ""
        self._told = trio.Event()

    async def scheduler(self) -> str:
        """Where the scheduler is; the parent says so as soon as it knows."""
        await self._told.wait()
        return self._scheduler

    def started(self, value: Scalable | None = None) -> None:
        """There is something that orders are for; what has been ordered until now is done.

        So a tie can be the task status of what it commands.
        """
        self._crew = crew = value
        if crew is None:
            return
        if self._wanted is not None:
            crew.scale(self._wanted)

    def tell(self, news: str) -> None:
        """Say a line to the parent, if it listens."""
        if self._to_ours:
            with suppress(OSError):
                os.write(self._fd, f"{news}\n".encode())

    def tell_change(self, name: str, address: str | None) -> None:
        """Say that a worker has joined or left."""
        self.tell(change_news(name, address))

    async def hold(self, on_end: Callable[[], None]) -> None:
        """Read orders until the parent is gone."""
        async with trio.open_nursery() as nursery:
            if self._to_ours and hasattr(os, "pidfd_open"):
                nursery.start_soon(_watch_parent, os.getppid(), nursery.cancel_scope)
            why = await self._read()
            nursery.cancel_scope.cancel("the tie is cut")
        logger.info("Ending: %s", why)
        on_end()

    async def _read(self) -> str:
        """Obey orders until the last; why it is that."""
        lines = Lines()
        async with trio.lowlevel.FdStream(os.dup(self._fd)) as stream:
            with suppress(trio.BrokenResourceError):
                async for data in stream:
                    for line in lines.feed(data):
                        if line == CLOSE:
                            return "the cluster is closed"
                        self._obey(line)
        return _GONE

    def _obey(self, line: str) -> None:
        wanted, scheduler = read_scale(line), read_scheduler(line)
        if scheduler is not None:
            self._scheduler = scheduler
            self._told.set()
            return
        if wanted is None:
            logger.warning("Ignored on standard input: %.100r", line)
            return
        self._wanted = wanted
        if self._crew is not None:
            self._crew.scale(wanted)


async def _watch_parent(pid: int, scope: trio.CancelScope) -> None:
    """Cancel when a process has ended."""
    with suppress(OSError):
        fd = os.pidfd_open(pid)
        try:
            await trio.lowlevel.wait_readable(fd)
        finally:
            os.close(fd)
        scope.cancel("the parent has ended")
