"""The stream of events: one response that goes on for as long as somebody reads it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

import anyio

from trio_dask.dashboard.feed import TURN_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_dask.dashboard.feed import Delta, Feed

    Send = Callable[[dict[str, Any]], Awaitable[None]]
    Receive = Callable[[], Awaitable[Any]]

#: Something is said at least so often: a reader that hears nothing knows that it is cut off.
BEAT_S: Final = 5.0
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
    """An ASGI application with one page: the stream."""

    def __init__(self, feed: Feed) -> None:
        self._feed: Final = feed
        #: Since when, until when, as of which turn, and what says so.
        self._made: tuple[int, int, float, bytes] = (-2, -2, -1.0, b"")

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
                await self._tell(viewer, send, _last_seen(scope), every_s)
        finally:
            self._feed.leave()

    async def _tell(
        self, viewer: anyio.abc.TaskGroup, send: Send, seq: int, every_s: float
    ) -> None:
        feed = self._feed
        if feed.census_is_due(anyio.current_time()) and feed.size < _COUNTED_FIRST:
            await self._count()
        await _say(send, b"retry: %d\n\n" % _RETRY_MS)
        said_at = wake_at = anyio.current_time()
        while True:
            now = anyio.current_time()
            feed.lag_s = max(feed.lag_s, now - wake_at)
            feed.turn(now)
            if feed.census_is_due(now):
                viewer.start_soon(self._count)
            text = self._since(seq, now)
            if text:
                said_at, seq = now, feed.seq
                await _say(send, text)
            elif now - said_at >= BEAT_S:
                said_at = now
                await _say(send, b'event: beat\ndata: {"t":%.3f}\n\n' % feed.time(now))
            wake_at = max(anyio.current_time() + every_s - TURN_S, now + feed.due(now))
            await anyio.sleep_until(wake_at)

    def _since(self, seq: int, now: float) -> bytes:
        """What to say to a viewer that has heard all until `seq`; most want the same."""
        feed = self._feed
        if self._made[:3] != (seq, feed.seq, feed.turned):
            delta = feed.since(seq)
            text = b""
            if delta is None:
                text = _event("snapshot", feed.snapshot(now))
            elif delta:
                text = _event("delta", delta)
            self._made = (seq, feed.seq, feed.turned, text)
        return self._made[3]

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
            return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else -1
    return -1


def _every_s(scope: dict[str, Any]) -> float:
    """How often a viewer wants to hear something."""
    given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("every", [""])[-1]
    try:
        wanted = float(given)
    except ValueError:
        return TURN_S
    return min(max(wanted, TURN_S), EVERY_S_MAX) if wanted == wanted else TURN_S  # noqa: PLR0124
