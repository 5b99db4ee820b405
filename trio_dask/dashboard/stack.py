"""All that speaks HTTP: imported at the first connection, a quarter of a second and 10 MiB."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext

from trio_dask.dashboard.encrypted import EncryptedStream
from trio_dask.dashboard.wire import WIRE, Wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp

#: A connection that asks for nothing is closed after so long.
IDLE_S: Final = 10.0

logger: Final = logging.getLogger("trio_dask.dashboard")


def http_server(asgi: ASGIApp) -> Callable[[trio.abc.Stream], Awaitable[None]]:
    """What serves one connection until its end."""
    config = Config()
    config.accesslog = None
    config.errorlog = logger
    config.include_server_header = False
    config.keep_alive_timeout = IDLE_S
    config.ssl_handshake_timeout = IDLE_S
    context = WorkerContext(None)

    async def serve(stream: trio.abc.Stream) -> None:
        application = ASGIWrapper(_with_wire(asgi, stream))  # type: ignore[arg-type]
        await TCPServer(application, config, context, {}, stream)  # type: ignore[arg-type]

    return serve


def _with_wire(asgi: ASGIApp, stream: trio.abc.Stream) -> ASGIApp:
    """The application, which gets at the connection."""
    if not isinstance(stream, trio.SocketStream | EncryptedStream):
        return asgi
    wire = Wire(stream)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["extensions"][WIRE] = wire
        await asgi(scope, receive, send)

    return answer
