"""What goes wrong in a thread of the runner's own, and in no task: then the runner ends.

Others count on each of these threads: the worker would wait for ever for results that nobody
writes, values that nobody packs, tasks that nobody runs. When the process has ended it knows.
"""

from __future__ import annotations

import _socket  # `socket` takes long to load
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def borrowed(fd: int) -> Iterator[_socket.socket]:
    """The socket of a descriptor that is somebody else's to close."""
    sock = _socket.socket(fileno=fd)
    try:
        yield sock
    finally:
        sock.detach()


def read_nothing_more(fd: int) -> None:
    """Have `read_messages` come to its end."""
    with suppress(OSError), borrowed(fd) as sock:
        sock.shutdown(_socket.SHUT_RD)


class Ends:
    """Whether the runner is to end, as something has gone wrong in it.

    Args:
        fd: its socket, from which nothing more is read then; with that it ends.
    """

    def __init__(self, fd: int) -> None:
        self.failed = False
        self.fd = fd

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """What is raised in here is said, and ends the runner."""
        try:
            yield
        except BaseException:  # noqa: BLE001 - no task's
            self.broken()

    def broken(self) -> None:
        """This error is nobody's but ours."""
        self.failed = True
        with suppress(BaseException):  # memory may be what is short
            sys.excepthook(*sys.exc_info())
        if self.fd >= 0:  # else it is a copy that a task has made by forking
            read_nothing_more(self.fd)

    def run(self, fn: Callable[..., object], *args: object) -> None:
        """A thread's function."""
        with self.guarding():
            fn(*args)
