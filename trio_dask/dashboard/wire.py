"""A connection as it is below HTTP, for an answer that goes on for hours in many small pieces."""

from __future__ import annotations

import os
from typing import Any, Final

import trio

from trio_dask.dashboard.encrypted import EncryptedStream

#: What our own server calls it among the extensions of a request.
WIRE: Final = "trio_dask.wire"


class Wire:
    """Written to past the server, once that has said how the answer begins."""

    def __init__(self, stream: trio.SocketStream | EncryptedStream) -> None:
        self._stream: Final = stream

    def write(self, data: bytes) -> int:
        """As much as goes without waiting; how much that was.

        Raises:
            OSError: nobody is there any more.
        """
        if isinstance(self._stream, EncryptedStream):
            return self._stream.write(data)
        try:
            return os.write(self._stream.socket.fileno(), data)
        except BlockingIOError:
            return 0

    async def send_all(self, data: bytes) -> None:
        """All of it, however long it takes.

        Raises:
            ConnectionError: nobody is there any more.
        """
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionError("the viewer is gone") from error


def wire_of(scope: dict[str, Any]) -> Wire | None:
    """That of a request; None where its server keeps it, or an answer is not in chunks of HTTP/1.1."""
    if scope.get("http_version") != "1.1":
        return None
    wire: Wire | None = (scope.get("extensions") or {}).get(WIRE)
    return wire


def chunk(data: bytes) -> bytes:
    """A piece of an answer, as HTTP/1.1 has it.

    >>> [chunk(b"hello").split(), chunk(b"")]
    [[b'5', b'hello'], b'']
    """
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
