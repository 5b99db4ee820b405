"""A runner in threads of another process, for workers that have none (``--no-nanny``)."""

from __future__ import annotations

from threading import Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

from trio_dask.runner.board import Board
from trio_dask.runner.hearing import hear_streams, heard
from trio_dask.runner.preloading import preload
from trio_dask.runner.runner import Runner

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from trio_dask.messages.ids import Attempt

#: What runs when it ends is asked to stop; so long after that it is interrupted,
_ASK_S: Final = 0.1
#: and so long after that it is left behind.
_STRIKE_S: Final = 0.9
_LOOK_S: Final = 0.005


def host_runner(
    sock: socket.socket, board_fd: int, on_end: Callable[[], object] = lambda: None
) -> Thread:
    """Start a runner on its end of a socket pair, which becomes its own.

    The thread it gives calls `on_end` and ends after `Stop`, or when the other end is
    closed. A task that is running then is asked to stop, and interrupted, for a second at most;
    what cannot be, as it does not come back from a function in C, goes on to its end in its
    daemon thread, and its result is dropped.
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
            _end_tasks(runner)
            runner.close()
            if runner.join():
                board.close()


def _end_tasks(runner: Runner) -> None:
    """Have what runs end: a process would take it along."""
    slots = runner.slots
    slots.stop()
    asked: set[Attempt] = set()
    began = monotonic()
    while runner.at_work:
        passed_s = monotonic() - began
        for attempt in filter(None, (*slots.strikes.current, *slots.coroutines())):
            if attempt not in asked:
                asked.add(attempt)
                slots.interrupt(attempt, strike=False)
            elif passed_s >= _ASK_S:
                slots.interrupt(attempt, strike=True)
        if passed_s >= _ASK_S + _STRIKE_S:
            break
        sleep(_LOOK_S)
