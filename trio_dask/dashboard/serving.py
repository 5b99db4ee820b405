"""The dashboard's port: bound from the start, served once somebody comes.

The library that speaks HTTP shields what it sends, so a reader that stalls would hold it for
ever. What it is given here are sockets that stay ours: at the end they are closed under it.
"""

from __future__ import annotations

import errno
import gc
import logging
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import trio

from trio_dask.comm import (
    Address,
    Listener,
    Security,
    Tls,
    open_listener,
    parse_address,
    set_options,
)
from trio_dask.dashboard.feed import POINT_S, Feed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp

    from trio_dask.comm import Keys
    from trio_dask.dashboard.encrypted import EncryptedStream
    from trio_dask.dashboard.options import DashboardOptions
    from trio_dask.dashboard.view import View
    from trio_dask.dashboard.worker_app import WorkerView

#: With more connections, the oldest goes when another comes.
CONNECTIONS_MAX: Final = 256
#: Who has asked for nothing by then is let go.
SILENT_S: Final = 10.0
#: How long accepting rests when the system is out of descriptors or memory.
_EXHAUSTED_REST_S: Final = 0.5
#: Garbage is collected so often at most, and only while a pass is short.
_COLLECT_S: Final = 30.0
_COLLECT_TASKS_MAX: Final = 10_000
_DEFAULT_PORT: Final = 8787

logger: Final = logging.getLogger("trio_dask.dashboard")


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard that can be looked at."""

    link: str
    port: int


async def run_dashboard(
    view: View,
    keys: Keys,
    options: DashboardOptions,
    *,
    task_status: trio.TaskStatus[Dashboard] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled, and then hold nobody up.

    Raises:
        ConfigError: the address is none.
        OSError: it cannot be listened at.
    """
    feed = Feed(view)

    def make() -> ASGIApp:
        from trio_dask.dashboard.app import app

        return app(view, keys=keys, feed=feed, prefix=options.prefix)

    server = _Server(make, feed.sample, lambda: view.size, _certificates(keys, options))
    await _run(server, options, task_status)


async def run_worker_page(
    view: WorkerView,
    keys: Keys,
    options: DashboardOptions,
    *,
    task_status: trio.TaskStatus[Dashboard] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the page and the metrics of a worker's process until cancelled.

    Raises:
        ConfigError: the address is none.
        OSError: it cannot be listened at.
    """

    def make() -> ASGIApp:
        from trio_dask.dashboard.worker_app import worker_app

        return worker_app(view, keys=keys, prefix=options.prefix)

    server = _Server(make, lambda _: None, lambda: 0, _certificates(keys, options))
    await _run(server, options, task_status)


def _certificates(keys: Keys, options: DashboardOptions) -> Tls | None:
    """What https takes, if it is wanted.

    Raises:
        ConfigError: there is none.
    """
    if not options.https:
        return None
    tls = keys.tls or Tls(Security())
    tls.showing()
    return tls


async def _run(
    server: _Server, options: DashboardOptions, task_status: trio.TaskStatus[Dashboard]
) -> None:
    listener = await _listen(options)
    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(server.cut_all_at_the_end)
        nursery.start_soon(server.sample)
        for each in listener.accepting:
            nursery.start_soon(server.accept_from, each)
        place = parse_address(listener.address, default_port=0)
        host = f"[{place.host}]" if ":" in place.host else place.host
        prefix = options.prefix.rstrip("/")
        scheme = "https" if options.https else "http"
        link = f"{scheme}://{host}:{place.port}{prefix}/status"
        task_status.started(Dashboard(link, place.port))


async def _listen(options: DashboardOptions) -> Listener:
    """At the ports that are asked for, or others."""
    opened: list[Listener] = []
    try:
        for text in options.address.split(","):
            opened.append(await _listen_at(text.strip(), options))  # noqa: PERF401 - closed if one fails
    except BaseException:
        for each in opened:
            await each.aclose()
        raise
    accepting = [each for one in opened for each in one.accepting]
    return Listener(accepting, *(one.address for one in opened))


async def _listen_at(text: str, options: DashboardOptions) -> Listener:
    host = options.host.partition(",")[0]  # of several that the scheduler listens at
    given = parse_address(f":{text}" if text.isdecimal() else text, default_port=_DEFAULT_PORT)
    wanted = Address(given.host or host, given.port)
    try:
        return await open_listener(str(wanted))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        listener = await open_listener(str(Address(wanted.host, 0)))
        logger.info(
            "Port %s is in use: the dashboard takes port %s instead", wanted.port, listener.port
        )
        return listener


class _Server:
    """Connections, and what serves them."""

    def __init__(
        self,
        make: Callable[[], ASGIApp],
        sample: Callable[[float], object],
        size: Callable[[], int],
        tls: Tls | None,
    ) -> None:
        self._make: Final = make
        self._sample: Final = sample
        self._size: Final = size
        self._tls: Final = tls
        #: By which connections are closed, the oldest first.
        self._cuts: Final[dict[trio.SocketStream, Callable[[], object]]] = {}
        self._serve: Callable[[trio.abc.Stream], Awaitable[None]] | None = None
        self._loading: Final = trio.Lock()
        self._ended = 0  # connections whose garbage is still there

    async def accept_from(self, accepting: trio.abc.Listener[trio.abc.Stream]) -> None:
        """Serve who comes, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    stream = await accepting.accept()
                except OSError as error:
                    logger.warning("takes no connections for now: %s", error.strerror)
                    await trio.sleep(_EXHAUSTED_REST_S)
                    continue
                if isinstance(stream, trio.SocketStream):
                    nursery.start_soon(self._serve_one, stream)

    async def _serve_one(self, stream: trio.SocketStream) -> None:
        if len(self._cuts) >= CONNECTIONS_MAX:
            next(iter(self._cuts.values()))()
        self._cuts[stream] = stream.socket.close
        try:
            set_options(cast(socket.socket, stream.socket))
            with trio.move_on_after(SILENT_S) as waiting:  # who says nothing costs next to nothing
                await trio.lowlevel.wait_readable(stream.socket)
            if not waiting.cancelled_caught:
                serve = self._serve or await self._load()
                await serve(stream if self._tls is None else self._secured(stream, self._tls))
        except* OSError as group:
            logger.debug("a viewer left: %s", group.exceptions[0])
        except* Exception:
            logger.exception("a fault while answering a viewer")
        finally:
            self._ended += 1
            self._cuts.pop(stream)()

    def _secured(self, stream: trio.SocketStream, tls: Tls) -> EncryptedStream:
        from trio_dask.dashboard.encrypted import EncryptedStream

        encrypted = EncryptedStream(stream, tls.showing())
        self._cuts[stream] = encrypted.close
        return encrypted

    async def _load(self) -> Callable[[trio.abc.Stream], Awaitable[None]]:
        async with self._loading:
            if self._serve is None:
                serve = await trio.to_thread.run_sync(_import_stack)
                self._serve = serve(self._make())
            return self._serve

    async def cut_all_at_the_end(self) -> None:
        """Whatever is being sent is given up."""
        try:
            await trio.sleep_forever()
        finally:
            for cut in list(self._cuts.values()):
                cut()

    async def sample(self) -> None:
        """Remember how the cluster is, now and then, and collect what HTTP leaves behind."""
        collected = trio.current_time()
        while True:
            now = trio.current_time()
            self._sample(now)
            if self._ended and now - collected > _COLLECT_S:
                collected = now
                self._collect()
            await trio.sleep(POINT_S)

    def _collect(self) -> None:
        """In a process without a collector; with many tasks a pass would be noticed."""
        if not gc.isenabled() and self._size() < _COLLECT_TASKS_MAX:
            self._ended = 0
            gc.collect()


def _import_stack() -> Callable[[ASGIApp], Callable[[trio.abc.Stream], Awaitable[None]]]:
    import trio_dask.dashboard.worker_app  # noqa: F401 - both are made on the loop, and not loaded there
    from trio_dask.dashboard.stack import http_server

    return http_server
