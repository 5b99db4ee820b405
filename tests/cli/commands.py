"""Commands as processes, in pipes or on a terminal of their own."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
import termios
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TRIO_DASK: Final = ("-m", "trio_dask")
#: Makes standard input the terminal that its session is controlled by, then becomes the command.
_TAKE_TERMINAL: Final = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


@dataclass(slots=True, eq=False)
class Command:
    """A running command, and what it has said."""

    process: subprocess.Popen[bytes]
    output: int
    said: bytes = b""

    def read_until(self, text: str) -> str:
        """All it has said, as soon as `text` is in there."""
        while text.encode() not in self.said:
            assert self._read(), f"{text!r} is not in {self.said.decode()}"
        return self.said.decode()

    def wait(self) -> int:
        """The exit code, after everything has been read."""
        while self._read():
            pass
        return self.process.wait()

    def type(self, keys: bytes) -> None:
        """Press keys of the terminal."""
        os.write(self.output, keys)

    def _read(self) -> bool:
        try:
            data = os.read(self.output, 65536)
        except OSError:  # a terminal that nobody has open any more
            return False
        self.said += data
        return bool(data)


@contextmanager
def in_pipes(*words: str, python: Sequence[str] = TRIO_DASK, **environ: str) -> Iterator[Command]:
    """A command whose output, and what it says on stderr, goes to a pipe."""
    process = subprocess.Popen(
        [sys.executable, *python, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | environ,
    )
    with process:
        assert process.stdout is not None
        try:
            yield Command(process, process.stdout.fileno())
        finally:
            process.kill()


@contextmanager
def on_terminal(
    *words: str, python: Sequence[str] = TRIO_DASK, columns: int = 80, **environ: str
) -> Iterator[Command]:
    """A command in a session of its own, on a terminal of so many columns."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", _TAKE_TERMINAL, *python, *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={"TERM": "xterm-256color", **os.environ, **environ},
    )
    os.close(theirs)
    with process:
        try:
            yield Command(process, ours)
        finally:
            process.kill()
            os.close(ours)
