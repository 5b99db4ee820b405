"""Connections over memory with scripted faults, for Trio and asyncio.

A line has two directions. In each, bytes may come in tiny pieces, slowly, not at all, or
be lost; it may end in the middle of a frame. Unlike most pipes of tests it is bounded: who
writes to somebody who does not read has to wait.
"""

from __future__ import annotations

from typing import Any, Final

import anyio
import anyio.abc
import anyio.lowlevel
import trio


class Pipe:
    """Bytes in one direction."""

    def __init__(self, room: int = 1 << 16) -> None:
        self.room = room
        self.chunk = 1 << 20  # bytes that one read gives at most
        self.pause_s = 0.0  # what each read takes
        self.stopped = False  # nothing is read
        self.lost = False  # what is written disappears, and its end with it
        self.cut_after: int | None = None  # so many bytes pass, then it ends
        self._held = bytearray()
        self._ended = self._broken = False
        self._changed = anyio.Event()
        self.passed = 0

    def change(self, **faults: Any) -> None:
        """From now on it behaves like this."""
        for name, value in faults.items():
            assert hasattr(self, name)
            setattr(self, name, value)
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def write(self, data: Any) -> None:
        """Wait until all of it has found room."""
        await anyio.lowlevel.checkpoint()
        at = 0
        while at < len(data):
            if self.lost:
                return
            if self._ended or self._broken:
                raise anyio.BrokenResourceError
            free = self.room - len(self._held)
            if self.cut_after is not None:
                free = min(free, self.cut_after - self.passed)
            if free > 0:
                part = data[at : at + free]
                self._held += part
                self.passed += len(part)
                at += len(part)
                self._notify()
            elif self.passed == self.cut_after:
                self.end()
            else:
                await self._changed.wait()

    async def read(self, max_bytes: int) -> bytes:
        """What there is, nothing at the end."""
        await anyio.lowlevel.checkpoint()
        if self.pause_s:
            with anyio.move_on_after(self.pause_s):  # of a clock that is the test's own
                await anyio.sleep_forever()
        while self.stopped or self.lost or not self._held:
            if self._broken:
                raise anyio.BrokenResourceError
            if self._ended and not self.stopped and not self.lost:
                return b""
            await self._changed.wait()
        size = min(max_bytes, self.chunk)
        data = bytes(self._held[:size])
        del self._held[:size]
        self._notify()
        return data

    def end(self) -> None:
        """Nothing more is written."""
        if not self.lost:
            self._ended = True
        self._notify()

    def close(self) -> None:
        """The reader is gone."""
        if not self.lost:
            self._broken = True
        self._notify()


class AnyioEnd(anyio.abc.ByteStream):
    """One end of a line, as a client sees it."""

    def __init__(self, incoming: Pipe, outgoing: Pipe) -> None:
        self._incoming: Final = incoming
        self._outgoing: Final = outgoing
        self._closed = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """What there is, at least one byte."""
        if self._closed:
            raise anyio.ClosedResourceError
        data = await self._incoming.read(max_bytes)
        if not data:
            raise anyio.EndOfStream
        return data

    async def send(self, item: Any) -> None:
        """All of it."""
        if self._closed:
            raise anyio.ClosedResourceError
        await self._outgoing.write(item)

    async def send_eof(self) -> None:
        """Nothing more."""
        self._outgoing.end()
        await anyio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Both directions."""
        self._closed = True
        self._outgoing.end()
        self._incoming.close()
        await anyio.lowlevel.checkpoint()


class TrioEnd(trio.abc.HalfCloseableStream):
    """One end of a line, as a server sees it."""

    def __init__(self, incoming: Pipe, outgoing: Pipe) -> None:
        self._end: Final = AnyioEnd(incoming, outgoing)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """What there is; nothing at the end."""
        try:
            return await self._end.receive(max_bytes or 65536)
        except anyio.EndOfStream:
            return b""
        except anyio.BrokenResourceError as error:
            raise trio.BrokenResourceError from error
        except anyio.ClosedResourceError as error:
            raise trio.ClosedResourceError from error

    async def send_all(self, data: Any) -> None:
        """All of it."""
        try:
            await self._end.send(data)
        except anyio.BrokenResourceError as error:
            raise trio.BrokenResourceError from error
        except anyio.ClosedResourceError as error:
            raise trio.ClosedResourceError from error

    async def wait_send_all_might_not_block(self) -> None:
        """At once: `send_all` waits."""
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        """Nothing more."""
        await self._end.send_eof()

    async def aclose(self) -> None:
        """Both directions."""
        await self._end.aclose()


class Line:
    """Two pipes: `there` from whoever connected, `back` to them."""

    def __init__(self, room: int = 1 << 16) -> None:
        self.there: Final = Pipe(room)
        self.back: Final = Pipe(room)

    def change(self, **faults: Any) -> None:
        """Both directions."""
        self.there.change(**faults)
        self.back.change(**faults)

    def caller(self) -> AnyioEnd:
        """The end of whoever connected."""
        return AnyioEnd(self.back, self.there)

    def caller_on_trio(self) -> TrioEnd:
        """The same for a worker."""
        return TrioEnd(self.back, self.there)

    def called(self) -> TrioEnd:
        """The server's end."""
        return TrioEnd(self.there, self.back)

    def called_on_anyio(self) -> AnyioEnd:
        """The same for a server of tests that runs on either loop."""
        return AnyioEnd(self.there, self.back)
