"""One server as a child process: started, listened to, and ended for certain."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import trio

from trio_dask.errors import SchedulerUnreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

#: How long a server may take to leave by itself.
GRACE_S: Final = 5.0
_TAIL_LINES: Final = 20
#: How long a server's last line may take to arrive after its end.
_LAST_WORDS_S: Final = 1.0


@dataclass(slots=True, eq=False)
class Child:
    """A running server and what it has said on stderr."""

    name: str
    process: trio.Process
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL_LINES))
    _heard: dict[str, list[str]] = field(default_factory=dict)
    _more: trio.Event = field(default_factory=trio.Event)
    #: Set when stderr has been read to its end.
    silent: trio.Event = field(default_factory=trio.Event)

    async def wait_for(self, label: str, count: int = 1) -> list[str]:
        """What follows `label` on the first `count` lines that have it, as ``Scheduler at:``.

        Raises:
            SchedulerUnreachable: the process ended before it said so.
        """
        found = self._heard.setdefault(label, [])
        found[:] = [_after(line, label) for line in self.tail if label in line]
        while len(found) < count:
            if self.silent.is_set():
                msg = f"the {self.name} did not start {await self._last_words()}"
                raise SchedulerUnreachable(msg)
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

    async def _last_words(self) -> str:
        code = await self.process.wait()
        return f"(exit code {code}): {self.tail[-1] if self.tail else 'it said nothing'}"

    async def listen(self, on_line: Callable[[str], None] | None) -> None:
        """Read stderr to its end, so that the child is never held up by a full pipe."""
        stream = self.process.stderr
        if stream is None:
            return
        rest = b""
        async for data in stream:
            *lines, rest = (rest + data).split(b"\n")
            for raw in lines:
                self._hear(raw.decode(errors="replace"), on_line)
        self.silent.set()
        self._wake()

    def _hear(self, line: str, on_line: Callable[[str], None] | None) -> None:
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


@asynccontextmanager
async def open_child(
    name: str,
    arguments: Sequence[str],
    *,
    environ: Mapping[str, str],
    on_line: Callable[[str], None] | None = None,
) -> AsyncIterator[Child]:
    """Run ``trio-dask <name> <arguments>`` as long as the block lasts.

    The child watches its standard input and ends with it, so it cannot outlive this
    process, however that ends. A session of its own keeps the terminal's Ctrl-C from it:
    this process decides when it goes.
    """
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "trio_dask", name, *arguments, "--tied"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environ),
        start_new_session=True,
    )
    child = Child(name, process)
    failure: Exception | None = None
    try:
        async with trio.open_nursery() as listeners:
            listeners.start_soon(child.listen, on_line)
            try:
                yield child
            except Exception as error:  # noqa: BLE001 - raised below, outside the nursery: not in a group
                failure = error
            finally:
                with trio.CancelScope(shield=True):
                    await _end(process)
                listeners.cancel_scope.cancel("the child has ended")
    finally:
        for stream in (process.stdin, process.stderr):
            if stream is not None:
                with trio.move_on_after(1, shield=True):
                    await stream.aclose()
    if failure is not None:
        raise failure


async def _end(process: trio.Process) -> None:
    """Ask the child to leave; after the grace make its whole group go."""
    with trio.move_on_after(GRACE_S):
        with suppress(OSError):
            process.send_signal(signal.SIGTERM)
        await process.wait()
        return
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
