"""A runner in threads of another process, for workers that have none (``--no-nanny``)."""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING

from trio_dask.runner.board import Board
from trio_dask.runner.hearing import hear_streams, heard
from trio_dask.runner.preloading import preload
from trio_dask.runner.runner import Runner

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


def host_runner(
    sock: socket.socket, board_fd: int, on_end: Callable[[], object] = lambda: None
) -> Thread:
    """Start a runner on its end of a socket pair, which becomes its own.

    The thread it gives calls `on_end` and ends after `Stop`, or when the other end is
    closed; a task that is running then goes on to its end in its daemon thread, and its
    result is dropped.
    """
    thread = Thread(target=_host, args=(sock, board_fd, on_end), name="runner", daemon=True)
    thread.start()
    return thread


def _host(sock: socket.socket, board_fd: int, on_end: Callable[[], object]) -> None:
    try:
        _run(sock, board_fd)
    finally:
        on_end()


def _run(sock: socket.socket, board_fd: int) -> None:
    with sock, heard():
        sock.setblocking(True)  # noqa: FBT003 - its name says it
        board = Board(board_fd)
        runner = Runner(sock.fileno(), board)
        runner.before_tasks = hear_streams
        preload(runner.slots.settings)
        runner.start(range(runner.slots.count))
        try:
            runner.read()
        finally:
            runner.close()
            if runner.join():
                board.close()
