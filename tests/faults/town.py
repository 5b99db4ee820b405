"""The real scheduler server on faulty lines, with real clients and workers played."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import trio

from tests.comm.comm_driver import KEYS, TOKEN, MemoryListener
from tests.faults.lines import Line
from trio_dask.client import AsyncClient
from trio_dask.comm import AnyioConnection, Connection, Handshake, Listener
from trio_dask.comm.anyio_dialing import shake_hands_anyio
from trio_dask.comm.dialing import shake_hands
from trio_dask.comm.identity import local_hello
from trio_dask.config import Config
from trio_dask.errors import CommError
from trio_dask.messages import Message, session, tasks as words
from trio_dask.messages.payload import given, pack, unpack, unpack_function
from trio_dask.scheduler import server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from trio_dask.comm import Keys
    from trio_dask.scheduler import SchedulerHandle

CONFIG: Final = Config(token=TOKEN)


class Town:
    """A scheduler, and everybody's line to it."""

    def __init__(
        self, nursery: trio.Nursery, handle: SchedulerHandle, listener: MemoryListener
    ) -> None:
        self.nursery: Final = nursery
        self.core: Final = handle.core
        self._listener: Final = listener
        self.lines: Final[list[Line]] = []
        self.faults: dict[str, Any] = {}  # of all lines to come

    def line(self) -> Line:
        """A new line to the scheduler."""
        line = Line()
        line.change(**self.faults)
        self.lines.append(line)
        self._listener.give.send_nowait(line.called())
        return line

    def client(self) -> AsyncClient:
        """A real one."""
        return AsyncClient("tcp://scheduler:8786", config=CONFIG, dial=self._dial)

    async def _dial(
        self, address: str, *, keys: Keys, role: str, expect: str, timeout_s: float
    ) -> AnyioConnection:
        stream = self.line().caller()
        handshake = Handshake(local_hello(role), keys, connecting=True, expect=expect)
        peer = await shake_hands_anyio(stream, handshake)
        return AnyioConnection(stream, peer, remote_address=address)

    async def peer(self, role: str, hear: Callable[[Peer, Message], None], first: Message) -> Peer:
        """Somebody who says and hears what the test wants."""
        line = self.line()
        stream = line.caller_on_trio()
        handshake = Handshake(local_hello(role), KEYS, connecting=True)
        connection = Connection(stream, await shake_hands(stream, handshake))
        peer = Peer(line, connection, hear)
        connection.send(first)
        self.nursery.start_soon(peer.run)
        await peer.wait_for(session.Welcome)
        return peer

    async def worker(self, name: str, *, nthreads: int = 1) -> Worker:
        """One that runs what it is given."""
        worker = Worker()
        register = session.RegisterWorker(name, f"tcp://{name}:1", nthreads, 0, {}, {})
        worker.peer = await self.peer(session.WORKER, worker.hear, register)
        return worker


class Peer:
    """One end of a line, and all that came out of it."""

    def __init__(
        self, line: Line, connection: Connection, hear: Callable[[Peer, Message], None]
    ) -> None:
        self.line: Final = line
        self.connection: Final = connection
        self.heard: Final[list[Message]] = []
        self.ended: str | CommError | None = None
        self._hear = hear
        self._news = trio.Event()

    async def run(self) -> None:
        """Listen until the end."""
        try:
            self.ended = await self.connection.run(self._receive)
        except CommError as error:
            self.ended = error
        self._news.set()

    def _receive(self, messages: list[Message]) -> None:
        for message in messages:
            self.heard.append(message)
            self._hear(self, message)
        self._news.set()

    async def wait_for(self, kind: type[Message]) -> None:
        """Until a message of this kind has come."""
        while not any(isinstance(each, kind) for each in self.heard):
            assert self.ended is None, self.ended
            await self._news.wait()
            self._news = trio.Event()

    async def wait_end(self) -> str:
        """How the connection ended."""
        while self.ended is None:
            await self._news.wait()
            self._news = trio.Event()
        return str(self.ended)


class Worker:
    """Runs tasks in the test's process: at once, or only when `idle` ends."""

    peer: Peer

    def __init__(self) -> None:
        self.functions: dict[int, Any] = {}
        self.idle = False
        self.given: list[int] = []

    def hear(self, peer: Peer, message: Message) -> None:
        """Do what the scheduler says."""
        if isinstance(message, words.Functions):
            for fid, blob in zip(message.fids, message.blobs, strict=True):
                self.functions[fid] = unpack_function(blob)
        elif isinstance(message, words.Run):
            self.given += message.tids
            if not self.idle:
                self._run(peer, message)

    def _run(self, peer: Peer, message: words.Run) -> None:
        assert message.dep_at.count(words.INLINE) == len(message.dep_at)
        values = iter(zip(message.dep_tids, message.dep_values, strict=True))
        rows = zip(message.attempts, message.fids, message.args, strict=True)
        for row, (attempt, fid, blob) in enumerate(rows):
            count = message.dep_counts[row] if message.dep_counts else 0
            inputs = {tid: unpack(value) for tid, value in (next(values) for _ in range(count))}
            with given(inputs):
                args, kwargs = unpack(blob)
                value = pack(self.functions[fid](*args, **kwargs))
            assert isinstance(value, bytes)
            done = words.Done([attempt], [words.OK_INLINE], [1e-4], [len(value)], [value])
            peer.connection.send(done)


@asynccontextmanager
async def open_town(**settings: Any) -> AsyncIterator[Town]:
    """A scheduler for as long as the block lasts."""
    listener = MemoryListener()
    config = replace(CONFIG, scheduler=replace(CONFIG.scheduler, **settings))

    async def listen(_places: object) -> Listener:
        await trio.lowlevel.checkpoint()
        return listener.listener()

    async with trio.open_nursery() as nursery:
        with mock.patch.object(server, "open_listeners", listen):
            handle = await nursery.start(server.run_scheduler, config, KEYS)
        yield Town(nursery, handle, listener)
        nursery.cancel_scope.cancel("the test is over")
