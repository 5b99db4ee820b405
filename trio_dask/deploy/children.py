"""One server as a child process: started, listened to, given orders, and ended for certain."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections import deque
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import trio

from trio_dask.errors import SchedulerUnreachable
from trio_dask.messages.tie import CLOSE, Lines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

#: How long a server may take to leave by itself.
GRACE_S: Final = 5.0
_TAIL_LINES: Final = 20
#: How long a server's last line may take to arrive after its end.
_LAST_WORDS_S: Final = 1.0
_READ_BYTES: Final = 1 << 16
#: After a line; what is drawn over with a carriage return, as a bar is, keeps that.
_LINE_ENDS: Final = re.compile(rb"\r?\n|(?<=\r)(?!\n)(?=.)", re.DOTALL)
#: A longer one is parted.
_LINE_MAX: Final = 1 << 16
#: After its end so many reads are made, whoever else still writes there.
_LAST_READS: Final = 32


@dataclass(slots=True, eq=False)
class Child:
    """A running server and what it has said: lines on stderr, and news over the tie."""

    name: str
    process: trio.Process
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL_LINES))
    tie: socket.socket | None = None
    _heard: dict[str, list[str]] = field(default_factory=dict)
    _more: trio.Event = field(default_factory=trio.Event)
    _begun: bytes = b""  # of a line whose end has not been read
    #: Set when stderr has been read to its end.
    silent: trio.Event = field(default_factory=trio.Event)

    def order(self, line: str) -> None:
        """Say something to the child, which is there, or about to be."""
        if self.tie is not None:
            with suppress(OSError):  # it has ended; whoever waits for that knows what to do
                self.tie.send(f"{line}\n".encode())

    async def wait_for(self, label: str, count: int = 1) -> list[str]:
        """What follows `label` on the first `count` lines that have it, as ``Scheduler at:``.

        Raises:
            SchedulerUnreachable: the process ended before it said so.
        """
        found = self._heard.setdefault(label, [])
        found[:] = [_after(line, label) for line in self.tail if label in line]
        while len(found) < count:
            if self.silent.is_set():
                raise SchedulerUnreachable(await self.not_started())
            await self._more.wait()
        return found[:count]

    async def wait_ended(self) -> str:
        """Wait until the process has ended, and say how, with its last words."""
        await self.process.wait()
        # A grandchild may hold the pipe open for longer, and has nothing to say.
        with trio.move_on_after(_LAST_WORDS_S):
            while not self.silent.is_set():
                await self._more.wait()
        return f"the {self.name} has ended by itself {await self._last_words()}"

    async def not_started(self) -> str:
        """Wait until the process, which should be there by now, has ended, and say how."""
        await self.wait_ended()
        return f"the {self.name} did not start {await self._last_words()}"

    async def _last_words(self) -> str:
        code = await self.process.wait()
        said = list(self.tail)
        if code < 0:  # it did not see its end coming: what it logged as usual says nothing of it
            said = [line for line in said if " - INFO - " not in line]
        how = f"exit code {code}" if code >= 0 else f"killed by {_signal_name(-code)}"
        said = [line for line in said if any(map(str.isalnum, line))]  # no frames of a message
        last = said[-1].removeprefix("trio-dask: ") if said else "it said nothing"
        return f"({how}): {last}"

    async def listen(self, on_line: Callable[[str], None] | None) -> None:
        """Read stderr to its end, so that the child is never held up by a full pipe."""
        stream = self.process.stderr
        if stream is None:
            return
        async for data in stream:
            self._feed(data, on_line)
        self._feed(b"\n" if self._begun else b"", on_line)
        self.silent.set()
        self._wake()

    def drain(self, on_line: Callable[[str], None] | None) -> None:
        """Read what it has written on stderr before its end, and nobody has read yet."""
        stream = self.process.stderr
        if self.silent.is_set() or not isinstance(stream, trio.lowlevel.FdStream):
            return
        with suppress(OSError):  # nothing is there now: a grandchild holds it open
            for _ in range(_LAST_READS):
                data = os.read(stream.fileno(), _READ_BYTES)
                if not data:
                    break
                self._feed(data, on_line)
        self._feed(b"\n" if self._begun else b"", on_line)

    def _feed(self, data: bytes | bytearray, on_line: Callable[[str], None] | None) -> None:
        *lines, self._begun = _LINE_ENDS.split(self._begun + data)
        if len(self._begun) > _LINE_MAX:
            lines.append(self._begun)
            self._begun = b""
        for raw in lines:
            self._hear(raw.decode(errors="replace"), on_line)

    def _hear(self, line: str, on_line: Callable[[str], None] | None) -> None:
        if not line.endswith("\r"):  # a bar is drawn again and again
            self.tail.append(line)
        for label, found in self._heard.items():
            if label in line:
                found.append(_after(line, label))
        if on_line is not None:
            on_line(line)
        self._wake()

    def _wake(self) -> None:
        self._more.set()
        self._more = trio.Event()


def _after(line: str, label: str) -> str:
    return line.partition(label)[2].strip()


def _signal_name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


@asynccontextmanager
async def open_child(
    name: str,
    arguments: Sequence[str],
    *,
    environ: Mapping[str, str] | None,
    on_line: Callable[[str], None] | None = None,
    on_news: Callable[[str], None] | None = None,
    command: Sequence[str] | None = None,
    first: str = "",
) -> AsyncIterator[Child]:
    """Run ``trio-dask <name> <arguments>`` as long as the block lasts.

    The child watches its standard input and ends with it, so it cannot outlive this
    process, however that ends. A session of its own keeps the terminal's Ctrl-C from it:
    this process decides when it goes.

    Args:
        name: which server.
        arguments: of the command.
        environ: the child's whole environment; None: ours.
        on_line: called with each line it writes on stderr.
        on_news: called with each line it says over the tie.
        command: what to run instead, on another machine; it is given time to end by itself.
        first: what to say to it at once.

    Raises:
        SchedulerUnreachable: this process cannot start another.
    """
    with ExitStack() as held:
        try:
            ours, theirs = socket.socketpair()
            held.enter_context(ours)
            with theirs:
                own = [sys.executable, "-P", "-m", "trio_dask", name, *arguments, "--tied"]
                process = await trio.lowlevel.open_process(
                    own if command is None else list(command),
                    stdin=theirs.fileno(),
                    stdout=None if command is None else subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env=None if environ is None else dict(environ),
                    start_new_session=True,
                )
        except OSError as error:
            msg = f"the {name} cannot be started: {error.strerror or error}"
            raise SchedulerUnreachable(msg) from error
        ours.settimeout(0)  # never wait
        child = Child(name, process, tie=ours)
        if first:
            ours.send(first.encode())
        failure: Exception | None = None
        try:
            async with trio.open_nursery() as listeners:
                listeners.start_soon(child.listen, on_line)
                if on_news is not None:
                    listeners.start_soon(_hear_news, ours, on_news)
                try:
                    yield child
                except Exception as error:  # noqa: BLE001 - raised below, outside the nursery: not in a group
                    failure = error
                finally:
                    with trio.CancelScope(shield=True):
                        child.order(CLOSE)  # a worker has nobody to leave anything to
                        await _end(process, patient=command is not None)
                    listeners.cancel_scope.cancel("the child has ended")
                    child.drain(on_line)
        finally:
            if process.stderr is not None:
                with trio.move_on_after(1, shield=True):
                    await process.stderr.aclose()
    if failure is not None:
        raise failure


async def _hear_news(tie: socket.socket, on_news: Callable[[str], None]) -> None:
    lines = Lines()
    while True:
        await trio.lowlevel.wait_readable(tie)
        try:
            data = tie.recv(_READ_BYTES)
        except BlockingIOError:
            continue
        except OSError:
            return
        if not data:
            return
        for line in lines.feed(data):
            on_news(line)


async def _end(process: trio.Process, *, patient: bool) -> None:
    """Ask the child to leave, if it does not by itself; after the grace make its whole group go."""
    if patient:
        with trio.move_on_after(GRACE_S):
            await process.wait()
    with trio.move_on_after(GRACE_S):
        with suppress(OSError):
            process.send_signal(signal.SIGTERM)
        await process.wait()
        return
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
