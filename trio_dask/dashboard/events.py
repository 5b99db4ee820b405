"""The stream of events: one response that goes on for as long as somebody reads it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

import anyio

from trio_dask.dashboard.crowd import BEAT_S, Crowd, Viewer
from trio_dask.dashboard.feed import TURN_S
from trio_dask.dashboard.wire import chunk, wire_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_dask.dashboard.feed import Delta, Feed
    from trio_dask.dashboard.wire import Wire

    Send = Callable[[dict[str, Any]], Awaitable[None]]
    Receive = Callable[[], Awaitable[Any]]

#: Of a viewer that has nothing yet.
_NEW: Final = -1
EVERY_S_MAX: Final = 60.0
#: How long a browser waits before it comes back.
_RETRY_MS: Final = 1_000
#: With fewer tasks, they are counted before the first picture.
_COUNTED_FIRST: Final = 50_000
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would collect some first
]


class Events:
    """An ASGI application with one page: the stream.

    Where its server hands it the connection itself, viewers that keep up are told by one of them
    for all: he writes to their sockets, and the others wait until it is their turn to do that.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed: Final = feed
        self._crowd: Final = Crowd()
        self._telling: Final = anyio.Lock()
        #: What was made as of a turn, for viewers that have heard all until some difference.
        self._made: dict[int, bytes] = {}
        self._framed: dict[bytes, bytes] = {}
        self._made_at = (-1, -1.0)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one viewer until one of us has enough."""
        every_s = _every_s(scope)
        start = {"type": "http.response.start", "status": 200, "headers": list(_HEADERS)}
        await send(start)
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        self._feed.join()
        try:
            async with anyio.create_task_group() as viewer:
                viewer.start_soon(_until_gone, receive, viewer.cancel_scope)
                await _say(send, b"retry: %d\n" % _RETRY_MS)  # a line of the first event
                wire = wire_of(scope)
                if wire is None:
                    await self._tell(viewer, send, _last_seen(scope), every_s)
                else:
                    await self._join(viewer, wire, _last_seen(scope), every_s)
        finally:
            self._feed.leave()

    # ------------------------------------------------------------ each for itself

    async def _tell(
        self, viewer: anyio.abc.TaskGroup, send: Send, seq: int, every_s: float
    ) -> None:
        feed = self._feed
        await self._count_first()
        said_at = wake_at = anyio.current_time()
        while True:
            now = self._turn(viewer, wake_at)
            text = self._since(seq)
            if text:
                said_at, seq = now, feed.seq
                await _say(send, text)
            elif now - said_at >= BEAT_S:
                said_at = now
                await _say(send, self._beat(now))
            wake_at = max(anyio.current_time() + every_s - TURN_S, now + feed.due(now))
            await anyio.sleep_until(wake_at)

    # ------------------------------------------------------------ one for all

    async def _join(self, group: anyio.abc.TaskGroup, wire: Wire, seq: int, every_s: float) -> None:
        """Tell a viewer what it does not have, wait until it has that, and go on with the others."""
        await self._count_first()
        now = self._turn(group, anyio.current_time())
        viewer = Viewer(wire.write, every_s, seq, now)
        viewer.rest = self._chunk(seq)
        viewer.seq = self._feed.seq
        try:
            while True:
                await wire.send_all(viewer.rest)
                with anyio.CancelScope() as keeping_up:
                    viewer.behind = keeping_up.cancel
                    self._crowd.join(viewer, anyio.current_time())
                    async with self._telling:
                        await self._tell_all(group)
        except ConnectionError:
            group.cancel_scope.cancel()
        finally:
            self._crowd.leave(viewer)

    async def _tell_all(self, group: anyio.abc.TaskGroup) -> None:
        """For as long as this viewer stays and keeps up; then another does it."""
        feed = self._feed
        wake_at = anyio.current_time() + feed.due(anyio.current_time())
        while True:
            await anyio.sleep_until(wake_at)
            now = self._turn(group, wake_at)
            self._crowd.tell(now, feed.seq, self._chunk, chunk(self._beat(now)))
            wake_at = now + feed.due(now)

    # ------------------------------------------------------------ what is said

    def _turn(self, group: anyio.abc.TaskGroup, wake_at: float) -> float:
        """Compare, if it is time; when that was."""
        feed, now = self._feed, anyio.current_time()
        feed.lag_s = max(feed.lag_s, now - wake_at)
        feed.turn(now)
        if feed.census_is_due(now):
            group.start_soon(self._count)
        return now

    def _since(self, seq: int) -> bytes:
        """What to say to a viewer that has heard all until `seq`; most want the same."""
        feed = self._feed
        if self._made_at != (feed.seq, feed.turned):
            self._made_at = (feed.seq, feed.turned)
            self._made.clear()
            self._framed.clear()
        text = self._made.get(seq)
        if text is None:
            delta = feed.since(seq)
            if delta is not None:
                text = self._made[seq] = _event("delta", delta) if delta else b""
            elif seq == _NEW:
                text = self._made[seq] = _event("snapshot", feed.snapshot(feed.turned))
            else:
                text = self._since(_NEW)
        return text

    def _chunk(self, seq: int) -> bytes:
        """The same as it goes through a connection."""
        text = self._since(seq)
        framed = self._framed.get(text)
        if framed is None:
            framed = self._framed[text] = chunk(text)
        return framed

    def _beat(self, now: float) -> bytes:
        return b'event: beat\ndata: {"t":%.3f}\n\n' % self._feed.time(now)

    async def _count_first(self) -> None:
        if self._feed.census_is_due(anyio.current_time()) and self._feed.size < _COUNTED_FIRST:
            await self._count()

    async def _count(self) -> None:
        feed = self._feed
        if not feed.census_is_due(anyio.current_time()):
            return
        feed.begin_census()
        try:
            going_on = True
            while going_on:
                going_on = feed.census_step(time.perf_counter, anyio.current_time())
                await anyio.lowlevel.checkpoint()
        finally:
            feed.end_census()


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _say(send: Send, text: bytes) -> None:
    await send({"type": "http.response.body", "body": text, "more_body": True})


def _event(kind: str, delta: Delta) -> bytes:
    text = json.dumps(delta, separators=(",", ":"), allow_nan=False)
    return f"id: {delta['seq']}\nevent: {kind}\ndata: {text}\n\n".encode()


def _last_seen(scope: dict[str, Any]) -> int:
    """Where a viewer that comes back goes on; -1 for one that is new."""
    for name, value in scope["headers"]:
        if name.lower() == b"last-event-id":
            text = value.decode("latin-1").strip()
            return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else _NEW
    return _NEW


def _every_s(scope: dict[str, Any]) -> float:
    """How often a viewer wants to hear something."""
    given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("every", [""])[-1]
    try:
        wanted = float(given)
    except ValueError:
        return TURN_S
    return min(max(wanted, TURN_S), EVERY_S_MAX) if wanted == wanted else TURN_S  # noqa: PLR0124
