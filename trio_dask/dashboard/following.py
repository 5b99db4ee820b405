"""Following a cluster from elsewhere: the stream of events, read in a thread."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from trio_dask.dashboard.mirror import Event, Lines
from trio_dask.errors import AuthenticationError, ConfigError, TrioDaskError

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.comm import Tls

#: Something comes every five seconds: who hears nothing for so long is cut off.
_SILENCE_S: Final = 15.0
_AGAIN_S: Final = 1.0
_REFUSED: Final = (401, 403, 421)


@dataclass(frozen=True, slots=True)
class Source:
    """A dashboard, and what lets us look at it."""

    scheme: str
    place: str  # host:port
    path: str  # before the routes' own
    token: str
    #: The cluster's certificates, where it has some: then names in theirs do not matter.
    tls: Tls | None = None

    def connection(self) -> http.client.HTTPConnection:
        """A new one, not yet open."""
        if self.scheme == "https":
            known = self.tls is not None and self.tls.ready
            context = self.tls.connecting("").context if self.tls is not None and known else None
            return http.client.HTTPSConnection(self.place, timeout=_SILENCE_S, context=context)
        return http.client.HTTPConnection(self.place, timeout=_SILENCE_S)

    def headers(self) -> dict[str, str]:
        """What each request says."""
        return {"authorization": f"Bearer {self.token}"} if self.token else {}

    def get(self, route: str) -> Any:
        """What a route answers, as JSON.

        Raises:
            TrioDaskError: we may not look, or this is no dashboard.
            OSError: nobody answers.
        """
        connection = self.connection()
        try:
            connection.request("GET", f"{self.path}/{route}", headers=self.headers())
            with connection.getresponse() as answer:
                if answer.status != http.client.OK:
                    raise _refused(self, answer)
                return json.loads(answer.read())
        finally:
            connection.close()


def source_at(link: str, token: str, tls: Tls | None = None) -> Source:
    """The dashboard at a link; by https with the cluster's certificates, or those of the system.

    Raises:
        ConfigError: this is none.
    """
    parts = urlsplit(link)
    if not parts.hostname:
        msg = f"{link!r} is no address of a dashboard: write http://host:port"
        raise ConfigError(msg)
    path = parts.path.rstrip("/").removesuffix("/status")
    return Source(parts.scheme, parts.netloc.rpartition("@")[2], path, token, tls)


class Follower:
    """Reads the stream in a thread, for as long as the block lasts, and comes back when it is lost."""

    def __init__(self, source: Source, *, every_s: float = 0.0) -> None:
        self._source: Final = source
        self._every_s: Final = every_s
        #: Events; None when the connection is lost; an error when there is no point in trying.
        self._heard: SimpleQueue[Event | TrioDaskError | None] = SimpleQueue()
        self._ended = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._seq = ""
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        connection = self._connection
        sock = connection.sock if connection is not None else None
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(_AGAIN_S)

    def hear(self, take: Callable[[Event], None], wait_s: float) -> bool | None:
        """Take what has come, waiting for it at most so long; whether we are connected.

        None: nothing has come.

        Raises:
            TrioDaskError: we may not look, or this is no dashboard.
        """
        connected: bool | None = None
        with suppress(Empty):
            item = self._heard.get(timeout=wait_s)
            while True:
                if isinstance(item, TrioDaskError):
                    raise item
                connected = item is not None
                if item is not None:
                    take(item)
                item = self._heard.get_nowait()
        return connected

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._read()
            except TrioDaskError as error:
                self._heard.put(error)
                return
            except (OSError, http.client.HTTPException, ValueError):
                pass
            except BaseException as error:  # noqa: ASYNC103, BLE001 - else one would see what was, for ever
                where = f"{self._source.scheme}://{self._source.place}"
                self._heard.put(TrioDaskError(f"{where} cannot be followed any more: {error!r}"))
                return  # noqa: ASYNC104 - a thread without a loop
            self._heard.put(None)
            self._ended.wait(_AGAIN_S)

    def _read(self) -> None:
        source = self._source
        self._connection = connection = source.connection()
        query = f"?every={self._every_s:g}" if self._every_s else ""
        headers = source.headers() | ({"last-event-id": self._seq} if self._seq else {})
        try:
            connection.request("GET", f"{source.path}/events{query}", headers=headers)
            with connection.getresponse() as answer:
                if answer.status != http.client.OK:
                    raise _refused(source, answer)
                lines = Lines()
                while line := answer.readline():
                    event = lines.take(line.decode().rstrip("\r\n"))
                    if event is not None:
                        self._seq = event.id or self._seq
                        self._heard.put(event)
        finally:
            connection.close()


def _refused(source: Source, answer: http.client.HTTPResponse) -> TrioDaskError:
    where = f"{source.scheme}://{source.place}"
    if answer.status not in _REFUSED:
        return TrioDaskError(f"{where} is no dashboard of ours: it answers {answer.status}")
    try:
        why = json.loads(answer.read())["error"]
    except (ValueError, KeyError, TypeError):
        why = "we may not look"
    hint = "set TRIO_DASK_TOKEN to what `trio-dask token show` prints where the scheduler runs"
    return AuthenticationError(f"{where}: {why} Here, {hint}.")
