"""A byte stream over a socket that saves the scheduler passes a general one makes.

`trio.SocketStream` yields to other tasks in every call, also when the bytes are there
or have room. A connection's reader and writer have places of their own where they
wait, so here a read yields once, before it, and a write that has room not at all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING, Final

import trio

from trio_dask.comm.framing import Lead, Stretch
from trio_dask.comm.near import is_ours
from trio_dask.comm.sockets import CLOSE_ON_EXEC, set_options
from trio_dask.store import DESCRIPTORS_MAX, Arrivals, rights

if TYPE_CHECKING:
    from trio_dask.messages import Buffer
    from trio_dask.store import Segment


class SocketByteStream(trio.abc.HalfCloseableStream):
    """A connected stream socket of any family. One task reads, one writes."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(0.0)  # never blocks
        self.socket: Final = sock

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """What there is, at least one byte; none at the end of the stream."""
        while True:
            try:
                await trio.lowlevel.wait_readable(self.socket)
                return self.socket.recv(max_bytes or 65536)
            except BlockingIOError:
                continue  # there was nothing after all
            except OSError as error:
                raise trio.BrokenResourceError(str(error)) from error

    async def receive_into(self, view: memoryview) -> int:
        """Put there what there is, at least one byte; 0 at the end of the stream."""
        while True:
            try:
                await trio.lowlevel.wait_readable(self.socket)
                return self.socket.recv_into(view)
            except BlockingIOError:
                continue  # there was nothing after all
            except OSError as error:
                raise trio.BrokenResourceError(str(error)) from error

    def send_nowait(self, data: Buffer) -> int:
        """Write as much as there is room for; returns how many bytes that was.

        Raises:
            trio.BrokenResourceError: nobody will read it.
        """
        try:
            if type(data) is Stretch:
                return self._sendfile(data)
            return self.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise trio.BrokenResourceError(str(error)) from error

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of it. Yields only when it has to wait for room."""
        sent = self.send_nowait(data)
        if sent == len(data):
            return
        with _translated(), memoryview(data) as view:
            while sent < len(view):
                await trio.lowlevel.wait_writable(self.socket)
                with view[sent:] as rest:
                    sent += self.send_nowait(rest)

    def _sendfile(self, stretch: Stretch) -> int:
        sent = os.sendfile(self.socket.fileno(), stretch.handle.fd, stretch.at, stretch.nbytes)
        if not sent:
            msg = "a value that has become shorter"
            raise OSError(msg)
        return sent

    async def send_stretch(self, stretch: Stretch) -> None:
        """Write a piece straight from its descriptor. Others have their turn before."""
        await trio.lowlevel.checkpoint()
        at, end = stretch.at, stretch.at + stretch.nbytes
        with _translated():
            while at < end:
                sent = self.send_nowait(Stretch(stretch.handle, at, end - at))
                at += sent
                if not sent:
                    await trio.lowlevel.wait_writable(self.socket)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is room."""
        with _translated():
            await trio.lowlevel.wait_writable(self.socket)

    async def send_eof(self) -> None:
        """Nothing more will be written."""
        with _translated():
            self.socket.shutdown(socket.SHUT_WR)
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close it now; whoever waits for it gets `trio.ClosedResourceError`."""
        if self.socket.fileno() != -1:
            trio.lowlevel.notify_closing(self.socket)
            self.socket.close()

    async def aclose(self) -> None:
        """Close it, like any stream."""
        self.close()
        await trio.lowlevel.checkpoint()


class DescriptorStream(SocketByteStream):
    """A stream socket between processes of one host: descriptors travel with the bytes."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._arrivals: Final = Arrivals()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """What there is, at least one byte; the descriptors that came with it are kept."""
        while True:
            try:
                await trio.lowlevel.wait_readable(self.socket)
                data, ancillary, _, _ = self.socket.recvmsg(
                    max_bytes or 65536, DESCRIPTORS_MAX, CLOSE_ON_EXEC
                )
            except BlockingIOError:
                continue  # there was nothing after all
            except OSError as error:
                raise trio.BrokenResourceError(str(error)) from error
            if ancillary:
                self._arrivals.come(ancillary)
            return data

    def send_nowait(self, data: Buffer) -> int:
        """Write as much as there is room for; descriptors go with the first byte."""
        if type(data) is not Lead:
            return super().send_nowait(data)
        try:
            return self.socket.sendmsg([data], [rights(data.handles)])
        except BlockingIOError:
            return 0
        except OSError as error:
            raise trio.BrokenResourceError(str(error)) from error

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of it."""
        if type(data) is not Lead:
            await super().send_all(data)
            return
        with _translated():
            while not (sent := self.send_nowait(data)):
                await trio.lowlevel.wait_writable(self.socket)
        if sent < len(data):
            await super().send_all(memoryview(data)[sent:])

    def adopt(self, nbytes: int) -> Segment:
        """The next descriptor that has come, as a payload of so many bytes.

        Raises:
            RemoteProtocolError: none has, or it is not what it should be.
        """
        segment = self._arrivals.adopt(nbytes)
        segment.check()
        return segment

    def close(self) -> None:
        """Close it, and what has come with it."""
        super().close()
        self._arrivals.close()


def adopt(stream: trio.SocketStream) -> SocketByteStream:
    """The same connected socket with our options, as a stream of ours.

    Raises:
        OSError: the peer has left, or is another user's process on this host.
    """
    made = take_over(stream)
    try:
        if not isinstance(made, DescriptorStream):
            set_options(made.socket)
    except BaseException:
        made.socket.close()
        raise
    return made


def take_over(stream: trio.SocketStream) -> SocketByteStream:
    """The same without our options: `set_options` is for when it turns out to be a peer.

    Raises:
        OSError: it is another user's process on this host.
    """
    return taken_over(stream.socket)


def taken_over(theirs: trio.socket.SocketType) -> SocketByteStream:
    """A connected socket of trio's as a stream of ours, without our options.

    Raises:
        OSError: it is another user's process on this host.
    """
    made = socket.socket(theirs.family, theirs.type, theirs.proto, fileno=theirs.detach())
    if made.family != getattr(socket, "AF_UNIX", None):
        return SocketByteStream(made)
    if not is_ours(made):
        made.close()
        raise PermissionError(errno.EPERM, "it is another user's process")
    return DescriptorStream(made)


class _translated(contextlib.AbstractContextManager[None]):  # noqa: N801 - reads as a verb
    """The errors of a socket as those of a stream. A class: the readers pass here often."""

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise trio.BrokenResourceError(str(error)) from error
