"""A local socket as a stream on anyio, through which descriptors travel beside the bytes."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING, Final

import anyio
import anyio.abc
import anyio.lowlevel

from trio_dask.comm.framing import Lead
from trio_dask.comm.sockets import CLOSE_ON_EXEC
from trio_dask.store import DESCRIPTORS_MAX, Arrivals, rights

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from trio_dask.store import Segment


class NearStream(anyio.abc.ByteStream):
    """What `DescriptorStream` is on Trio. One task reads, one writes."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(0.0)
        self._sock: Final = sock
        self._arrivals: Final = Arrivals()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """What there is, at least one byte; the descriptors that came with it are kept."""
        with self._translated():
            while True:
                if self._sock.fileno() < 0:
                    raise anyio.ClosedResourceError
                await anyio.wait_readable(self._sock)
                with contextlib.suppress(BlockingIOError):
                    data, ancillary, _, _ = self._sock.recvmsg(
                        max_bytes, DESCRIPTORS_MAX, CLOSE_ON_EXEC
                    )
                    if ancillary:
                        self._arrivals.come(ancillary)
                    if not data:
                        raise anyio.EndOfStream
                    return data

    async def send(self, item: bytes) -> None:
        """Write all of it; descriptors go with the first byte."""
        await anyio.lowlevel.checkpoint()
        beside = [rights(item.handles)] if type(item) is Lead else []
        with self._translated(), memoryview(item) as view:
            at = 0
            while at < len(view):
                try:
                    with view[at:] as rest:
                        at += self._sock.sendmsg([rest], beside)
                    beside = []
                except BlockingIOError:
                    await anyio.wait_writable(self._sock)

    def adopt(self, nbytes: int) -> Segment:
        """The next descriptor that has come, as a payload of so many bytes.

        Raises:
            RemoteProtocolError: none has, or it is not what it should be.
        """
        segment = self._arrivals.adopt(nbytes)
        segment.check()
        return segment

    async def send_eof(self) -> None:
        """Nothing more will be written."""
        import socket

        with self._translated():
            self._sock.shutdown(socket.SHUT_WR)
        await anyio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close it now, and what has come with it."""
        if self._sock.fileno() != -1:
            anyio.notify_closing(self._sock)
            self._sock.close()
        self._arrivals.close()

    async def aclose(self) -> None:
        """Close it, like any stream."""
        self.close()
        await anyio.lowlevel.checkpoint()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno == errno.EBADF or self._sock.fileno() == -1:
                raise anyio.ClosedResourceError from error
            raise anyio.BrokenResourceError from error
