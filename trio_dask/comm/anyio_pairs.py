"""Two connected connections over memory, on anyio."""

from __future__ import annotations

from typing import Final

import anyio
import anyio.abc
import anyio.lowlevel

from trio_dask.comm.anyio_connection import AnyioConnection
from trio_dask.comm.framing import DEFAULT_LIMITS, Limits
from trio_dask.comm.handshake import Hello
from trio_dask.messages.session import CLIENT, SCHEDULER


class _Pipe:
    """Bytes in one direction, without a bound: for tests."""

    def __init__(self) -> None:
        self.held = bytearray()
        self.ended = False
        self.changed = anyio.Event()

    def note(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()


class MemoryStream(anyio.abc.ByteStream):
    """One end of a pair of pipes."""

    def __init__(self, incoming: _Pipe, outgoing: _Pipe) -> None:
        self._incoming: Final = incoming
        self._outgoing: Final = outgoing
        self._closed = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """What there is, at least one byte."""
        await anyio.lowlevel.checkpoint()
        pipe = self._incoming
        while not pipe.held:
            if self._closed:
                raise anyio.ClosedResourceError
            if pipe.ended:
                raise anyio.EndOfStream
            await pipe.changed.wait()
        data = bytes(pipe.held[:max_bytes])
        del pipe.held[:max_bytes]
        return data

    async def send(self, item: bytes) -> None:
        """Give it to the other end, whether it reads or not."""
        await anyio.lowlevel.checkpoint()
        if self._closed:
            raise anyio.ClosedResourceError
        if self._outgoing.ended:
            raise anyio.BrokenResourceError
        self._outgoing.held += item
        self._outgoing.note()

    async def send_eof(self) -> None:
        """Nothing more will be sent."""
        self._outgoing.ended = True
        self._outgoing.note()

    async def aclose(self) -> None:
        """Close both directions."""
        self._closed = True
        for pipe in (self._incoming, self._outgoing):
            pipe.ended = True
            pipe.note()
        await anyio.lowlevel.checkpoint()


def memory_stream_pair() -> tuple[MemoryStream, MemoryStream]:
    """Two ends of one stream."""
    there, back = _Pipe(), _Pipe()
    return MemoryStream(back, there), MemoryStream(there, back)


def anyio_connection_pair(
    connecting: str = CLIENT, accepting: str = SCHEDULER, *, limits: Limits = DEFAULT_LIMITS
) -> tuple[AnyioConnection, AnyioConnection]:
    """The ends that the two roles hold; what the streams carry is not authenticated."""
    one, other = memory_stream_pair()
    return (
        AnyioConnection(
            one,
            Hello(accepting, "", ""),
            local_address=f"memory://{connecting}",
            remote_address=f"memory://{accepting}",
            limits=limits,
        ),
        AnyioConnection(
            other,
            Hello(connecting, "", ""),
            local_address=f"memory://{accepting}",
            remote_address=f"memory://{connecting}",
            limits=limits,
        ),
    )
