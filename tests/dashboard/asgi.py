"""A browser's side of an ASGI application, without a socket."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LOCAL = {"host": "localhost:8787"}


def scope_of(
    path: str,
    *,
    method: str = "GET",
    client: str = "127.0.0.1",
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    """What a server tells an application of a request."""
    path, _, query = path.partition("?")
    return {
        "type": "http", "method": method, "path": unquote(path), "raw_path": path.encode(),
        "query_string": query.encode(), "scheme": "http", "http_version": "1.1", "root_path": "",
        "headers": [(k.encode(), v.encode()) for k, v in (LOCAL | (headers or {})).items() if v],
        "client": (client, 4711), "server": ("127.0.0.1", 8787), "state": {}, "extensions": {},
        "asgi": {"version": "3.0", "spec_version": "2.1"},
    }  # fmt: skip


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """As JSON."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """As text."""
        return self.body.decode()


async def ask(app: Any, path: str, *, body: bytes = b"", **options: Any) -> Answer:
    """One request and its whole answer."""
    said: list[dict[str, Any]] = []
    given = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if given:
            return given.pop()
        await trio.sleep_forever()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    await app(scope_of(path, **options), receive, send)
    headers = {k.decode().lower(): v.decode() for k, v in said[0]["headers"]}
    return Answer(said[0]["status"], headers, b"".join(each.get("body", b"") for each in said[1:]))


class Stream:
    """An answer that goes on: events as they come."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.sent = 0
        self._text = ""
        self._more = trio.Event()
        #: While it is set to a new event, the reader does not take anything.
        self.reads = trio.Event()
        self.reads.set()

    async def send(self, message: dict[str, Any]) -> None:
        """Take in a part."""
        await self.reads.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode().lower(): v.decode() for k, v in message["headers"]}
        else:
            self.sent += len(message.get("body", b""))
            self._text += message.get("body", b"").decode()
        self._more.set()
        self._more = trio.Event()

    async def event(self) -> tuple[str, int, Any]:
        """The next event: its name, its id (-1 for none) and its data."""
        while True:
            block, end, rest = self._text.partition("\n\n")
            if end:
                self._text = rest
                fields = dict(line.split(": ", 1) for line in block.split("\n"))
                if "data" in fields:
                    return fields["event"], int(fields.get("id", -1)), json.loads(fields["data"])
                continue
            await self._more.wait()


@asynccontextmanager
async def open_stream(app: Any, path: str = "/events", **options: Any) -> AsyncIterator[Stream]:
    """A viewer, who is gone when the block ends."""
    stream = Stream()
    gone = trio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async with trio.open_nursery() as nursery:
        nursery.start_soon(app, scope_of(path, **options), receive, stream.send)
        yield stream
        gone.set()
        stream.reads.set()
