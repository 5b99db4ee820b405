"""An encrypted connection that can be written to without waiting.

Trio's own hands each piece through buffers in memory, and a coroutine for it. Here the library that
encrypts writes to the socket itself, so that many viewers are told in a loop of plain calls, as
those without encryption are.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Final, Self, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_READ: Final = 1 << 16


class EncryptedStream(trio.abc.Stream):
    """One side of a connection, over the socket of another stream, which has it no more."""

    def __init__(self, stream: trio.SocketStream, context: ssl.SSLContext) -> None:
        plain = socket.socket(fileno=stream.socket.detach())
        try:
            plain.settimeout(0)
            self.socket: Final = context.wrap_socket(
                plain, server_side=True, do_handshake_on_connect=False
            )
        except OSError:
            plain.close()
            raise

    @property
    def transport_stream(self) -> Self:
        """What has the socket."""
        return self

    def selected_alpn_protocol(self) -> str | None:
        """What both speak inside, as far as they have said so."""
        return self.socket.selected_alpn_protocol()

    async def do_handshake(self) -> None:
        """Before anything else.

        Raises:
            trio.BrokenResourceError: the other side wants another one, or is gone.
        """
        await self._until_done(self.socket.do_handshake)

    def write(self, data: bytes) -> int:
        """As much as goes without waiting; how much that was.

        What was not taken comes first in the next piece, whoever writes that: a part of it may
        have been encrypted and sent.

        Raises:
            OSError: nobody is there any more.
        """
        try:
            return self.socket.send(data)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """All of it, however long it takes."""
        rest = memoryview(data)
        if not rest:
            await trio.lowlevel.checkpoint()
        while rest:
            rest = rest[await self._until_done(lambda: self.socket.send(rest)) :]  # noqa: B023 - called at once

    async def wait_send_all_might_not_block(self) -> None:
        """Until there is room."""
        await trio.lowlevel.wait_writable(self.socket)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """What has come; nothing at its end, said or not."""
        return await self._until_done(lambda: self.socket.recv(max_bytes or _READ))

    async def aclose(self) -> None:
        """At once: the end of an answer is known by its length."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Whoever waits for it is told."""
        if self.socket.fileno() != -1:
            trio.lowlevel.notify_closing(self.socket)
            self.socket.close()

    async def _until_done(self, act: Callable[[], T]) -> T:
        await trio.lowlevel.checkpoint()
        while True:
            if self.socket.fileno() == -1:
                raise trio.ClosedResourceError("this connection is closed")
            try:
                return act()
            except ssl.SSLWantReadError:
                await trio.lowlevel.wait_readable(self.socket)
            except ssl.SSLWantWriteError:
                await trio.lowlevel.wait_writable(self.socket)
            except OSError as error:
                raise trio.BrokenResourceError("the connection is lost") from error
