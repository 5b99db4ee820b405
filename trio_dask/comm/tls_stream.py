"""TLS over a stream, on Trio."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Final

import trio

from trio_dask.comm.handshake import TLS_ALERT
from trio_dask.comm.sockets import why
from trio_dask.comm.tls import NOT_TLS, binding_of, no_tls
from trio_dask.errors import AuthenticationError, PeerClosed

#: What is encrypted at once: the loop is held for about a tenth of a millisecond.
_PART_BYTES: Final = 256 * 1024


class TlsStream(trio.abc.Stream):
    """An encrypted stream; `transport` is what is below."""

    def __init__(self, inner: trio.SSLStream[trio.abc.Stream]) -> None:
        self._inner: Final = inner
        self.transport: Final = inner.transport_stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of it, in parts: other tasks have their turn in between."""
        if len(data) <= _PART_BYTES:
            await self._inner.send_all(data)
            return
        with memoryview(data) as view:
            for start in range(0, len(view), _PART_BYTES):
                with view[start : start + _PART_BYTES] as part:
                    await self._inner.send_all(part)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is room."""
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """What there is, at least one byte; none at the end of the stream."""
        return bytes(await self._inner.receive_some(max_bytes))

    async def aclose(self) -> None:
        """Close it without a farewell, which the messages above have said already."""
        await trio.aclose_forcefully(self.transport)


async def encrypt(
    stream: trio.abc.Stream, context: ssl.SSLContext, *, server_hostname: str | None = None
) -> tuple[TlsStream, bytes]:
    """The same stream with TLS on it, and the digest of the other side's certificate.

    With the name of a server it is the connecting side.

    Raises:
        AuthenticationError: the certificates do not fit, or somebody speaks no TLS.
        HandshakeRefused: who was connected to speaks none.
        PeerClosed: it left in the middle.
    """
    inner = trio.SSLStream(
        stream, context, server_hostname=server_hostname, server_side=server_hostname is None
    )
    refused: BaseException | None = None
    try:
        await inner.do_handshake()
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        if not _is_refusal(error):
            raise PeerClosed(f"{NOT_TLS}: {why(error)}") from error
        if server_hostname is not None:
            raise no_tls(error) from error
        refused = error
    if refused is not None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await stream.send_all(TLS_ALERT)  # who speaks no TLS shall know what is missing
        raise AuthenticationError(f"{NOT_TLS}: {why(refused)}") from refused
    return TlsStream(inner), binding_of(inner.getpeercert(binary_form=True))


def _is_refusal(error: BaseException) -> bool:
    cause = error.__cause__
    return isinstance(cause, ssl.SSLError) and not isinstance(
        cause, ssl.SSLEOFError | ssl.SSLSyscallError
    )
