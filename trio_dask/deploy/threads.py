"""Runners in threads of the worker's own process, for ``--no-nanny``.

The rooms are strangers: the worker knows that runners are started somehow, the runner
that it has a socket and a board. Here they are introduced.
"""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack, suppress

import trio

from trio_dask.client import waker
from trio_dask.runner import Board, host_runner


class RunnerThread:
    """A runner in threads. It can be asked to end, not made to: a task runs to its end."""

    output: None = None  # our own streams are its own
    peak_rss: None = None

    def __init__(self, nthreads: int) -> None:
        with ExitStack() as undo:
            self.board_fd = Board.create(nthreads).fd
            undo.callback(os.close, self.board_fd)
            self.sock, theirs = socket.socketpair()
            undo.pop_all()
        self.pid = os.getpid()
        self._ended = trio.Event()
        host_runner(theirs, self.board_fd, waker(self._ended.set))

    async def wait(self) -> int | None:
        """Wait until it takes no more work; it has no exit status."""
        await self._ended.wait()
        return None

    def kill(self) -> None:
        """Let it end: it reads the end of its socket."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give back what belongs to it."""
        self.sock.close()
        os.close(self.board_fd)


def thread_host(nthreads: int) -> RunnerThread:
    """Start a runner with so many slots in this process: a `RunnerHost` of the worker."""
    return RunnerThread(nthreads)
