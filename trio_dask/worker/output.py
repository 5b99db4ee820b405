"""What runners print: read as it comes, its last lines kept, the rest passed on to our own streams.

A reader that is slow slows down who prints, as it would without us. One that has stopped
reading does not: then some of it is left out. The loop waits for neither.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import sys
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import trio

from trio_dask.worker.core import Lines, Tail

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_READ_BYTES: Final = 1 << 16
#: Who prints waits while so much waits to be passed on,
BACKLOG_MAX: Final = 1 << 20
#: but not when nothing of it has been taken for so long.
STUCK_S: Final = 5.0
#: What is no whole line is passed on when nothing follows it for so long.
_QUIET_S: Final = 0.1
#: Who prints all the time is read once in so long, unless that were too little.
_BUSY_S: Final = 0.005
#: Of a process that has ended so many reads are made, whatever still writes there.
_LAST_READS: Final = 32
_END: Final = 0
_NOTHING: Final = -1
#: How long the last lines may take to be passed on, when the worker ends.
_FLUSH_S: Final = 1.0


class Output:
    """The output of one runner process: two pipes, and the last lines of both."""

    def __init__(self) -> None:
        self._tail: Final = Tail()
        self._pipes: Final[list[_Pipe]] = []
        #: The writing ends, to be closed once the process has them.
        self.ends: tuple[int, ...] = ()
        with contextlib.ExitStack() as undo:
            for _ in range(2):
                ours, theirs = os.pipe()
                undo.callback(os.close, ours)
                undo.callback(os.close, theirs)
                os.set_blocking(ours, False)
                self._pipes.append(_Pipe(ours, Lines(self._tail)))
                self.ends += (theirs,)
            undo.pop_all()

    def started(self) -> None:
        """The process has its ends, or there is none."""
        for fd in self.ends:
            os.close(fd)
        self.ends = ()

    def last_lines(self) -> list[str]:
        """What it has written last, after its end: all of it has been read then."""
        for pipe in self._pipes:
            pipe.drain()
        return self._tail.shown(*(pipe.lines.begun for pipe in self._pipes))

    def recent_lines(self) -> list[str]:
        """What it has written last, as far as it has been read."""
        return self._tail.shown(*(pipe.lines.begun for pipe in self._pipes))

    def close(self) -> None:
        """Read what is left, and close the pipes, whoever else has their other ends."""
        self.started()
        for pipe in self._pipes:
            pipe.drain()
            pipe.close()

    def pass_on(self, nursery: trio.Nursery, *spouts: Spout) -> None:
        """Read it from now on, until it is closed, and pass it on."""
        for pipe, spout in zip(self._pipes, spouts, strict=True):
            pipe.spout = spout
            nursery.start_soon(pipe.run)


class _Pipe:
    """The reading end of one of the two."""

    def __init__(self, fd: int, lines: Lines) -> None:
        self.lines = lines
        self.spout: Spout | None = None
        self._fd = fd

    async def run(self) -> None:
        """Read until it ends, or is closed; what comes bit by bit all the time, a bit less often."""
        before = -math.inf
        while self._fd >= 0:
            quiet_s = _QUIET_S if self.lines.waiting else math.inf
            with trio.move_on_after(quiet_s) as quiet:
                try:
                    await trio.lowlevel.wait_readable(self._fd)
                except trio.ClosedResourceError:
                    return
            if quiet.cancelled_caught:
                self._pass(self.lines.flush())
                continue
            count, now = self._read(), trio.current_time()
            if count == _END:
                return
            if self.spout is not None and self.spout.full:
                await self.spout.room()
            elif now < before + _BUSY_S and count < _READ_BYTES // 2:
                await trio.sleep(_BUSY_S)
            before = now

    def _read(self) -> int:
        """Read what is there; how much that is, `_END`, or `_NOTHING` for now."""
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return _NOTHING
        except OSError:
            return _END
        self._pass(self.lines.feed(data) if data else self.lines.flush())
        return len(data)

    def drain(self) -> None:
        """Read what is there now, also if somebody goes on writing."""
        for _ in range(_LAST_READS):
            if self._fd < 0 or self._read() <= _END:
                break
        self._pass(self.lines.flush())

    def _pass(self, data: bytes) -> None:
        if data and self.spout is not None:
            self.spout.write(data)

    def close(self) -> None:
        if self._fd >= 0:
            with suppress(RuntimeError):  # Trio may not run any more
                trio.lowlevel.notify_closing(self._fd)
            os.close(self._fd)
            self._fd = -1


class Spout:
    """Our own stdout or stderr, written in a thread: however slow its reader, the loop goes on."""

    def __init__(self, fd: int | None) -> None:
        """Write to `fd`; with None, all is dropped."""
        self._fd = fd
        self._waiting: deque[bytes] = deque()
        self._nbytes = 0  # of these, and of what is being written
        self._taken = 0  # bytes, ever
        self._left_out = 0  # lines
        self._stuck = False
        self._more = trio.Event()
        self._less = trio.Event()

    @property
    def full(self) -> bool:
        """Whether who writes here should wait for `room`."""
        return self._nbytes >= BACKLOG_MAX and not self._stuck

    def write(self, data: bytes) -> None:
        """Have it written, soon. If nobody takes anything any more it is left out."""
        if self._fd is None:
            return
        if self._stuck and self._nbytes >= BACKLOG_MAX:
            self._left_out += max(1, data.count(b"\n"))
            return
        self._waiting.append(data)
        self._nbytes += len(data)
        self._more.set()

    async def room(self) -> None:
        """Wait until some of it was taken, or until it is clear that nothing will be."""
        while self.full:
            before = self._taken
            with trio.move_on_after(STUCK_S):
                await self._less.wait()
            if self._taken == before and self.full:
                self._stuck = True

    async def run(self) -> None:
        """Write, for ever."""
        limiter = trio.CapacityLimiter(1)
        while True:
            await self._more.wait()
            self._more = trio.Event()
            while self._waiting:
                data = b"".join(self._waiting)
                self._waiting.clear()
                await trio.to_thread.run_sync(
                    self._write, data, abandon_on_cancel=True, limiter=limiter
                )
                self._nbytes -= len(data)
                self._stuck = False
                if self._left_out:
                    missing, self._left_out = self._left_out, 0
                    self.write(b"[%d lines of output are left out: nobody read them]\n" % missing)
                self._less.set()
                self._less = trio.Event()

    async def flush(self) -> None:
        """Wait until everything was taken."""
        while self._nbytes and self._fd is not None:
            await self._less.wait()

    def _write(self, data: bytes) -> None:
        """In a thread: this may take as long as the reader likes."""
        rest = memoryview(data)
        while rest and self._fd is not None:
            try:
                sent = os.write(self._fd, rest)
            except BlockingIOError:  # somebody has made it so, for all who share it
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll()
                continue
            except OSError:
                self._fd = None  # nobody is there
                return
            rest = rest[sent:]
            self._taken += sent


class Outputs:
    """What all runners of this process print, on its way to our own streams."""

    def __init__(self) -> None:
        self._spouts: Final = Spout(_fd_of(sys.__stdout__)), Spout(_fd_of(sys.__stderr__))
        self._nursery: trio.Nursery | None = None

    def listen(self, output: Output) -> None:
        """Pass on what a runner prints, until its output is closed."""
        if self._nursery is not None:
            output.pass_on(self._nursery, *self._spouts)

    async def run(self, scope: trio.CancelScope, *, task_status: trio.TaskStatus[None]) -> None:
        """Pass on, until `scope` is cancelled, which has a shield: runners speak to their end."""
        task_status.started()
        # If whoever starts it is cancelled already, it waits for us without telling us more.
        await trio.lowlevel.checkpoint_if_cancelled()
        with scope:
            async with trio.open_nursery() as self._nursery:
                for spout in self._spouts:
                    self._nursery.start_soon(spout.run)
                await trio.sleep_forever()

    async def flush(self) -> None:
        """Wait until everything was taken, but not for long."""
        with trio.move_on_after(_FLUSH_S, shield=True):
            for spout in self._spouts:
                await spout.flush()


@asynccontextmanager
async def open_outputs() -> AsyncIterator[Outputs]:
    """Pass on what runners print as long as the block lasts, and what they have printed by then."""
    outputs = Outputs()
    async with trio.open_nursery() as nursery:
        # Ours from the first moment: a cancellation may come between its start and our knowing.
        scope = trio.CancelScope(shield=True)
        try:
            await nursery.start(outputs.run, scope)
            yield outputs
        finally:
            await outputs.flush()  # noqa: ASYNC102 - bounded in there
            scope.cancel("the worker has ended")


def _fd_of(stream: object) -> int | None:
    """The descriptor of one of our streams; None if it was closed when we started.

    Then its number may belong to anything by now.
    """
    with suppress(AttributeError, OSError, ValueError):
        fd = stream.fileno()  # type: ignore[attr-defined]
        return fd if type(fd) is int else None
    return None
