"""What tasks have said, of those that have said something last: kept for who asks, beyond their end."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.inquiring import packed
from trio_dask.messages.speech import LINE_MAX, STREAMS, LastSaid, LogLine, Voice

if TYPE_CHECKING:
    from trio_dask.messages.ids import Attempt, TaskId
    from trio_dask.messages.speech import Spoken

#: So many tasks are remembered, and so much of what they have said.
TASKS_MAX: Final = 10_000
CHARACTERS_MAX: Final = 8 << 20
#: What a line takes beside its text.
_LINE: Final = 100
#: What is around the lines of an answer.
_FRAME_BYTES: Final = 64
#: A text of a runner is no longer than a line and its end.
_TEXT_MAX: Final = LINE_MAX + 1


@dataclass(slots=True, eq=False)
class _Kept:
    attempt: Attempt
    voice: Voice = field(default_factory=Voice)
    size: int = 0


class Voices:
    """By task, what its last attempt that has said anything has said."""

    def __init__(self) -> None:
        self._kept: Final[dict[TaskId, _Kept]] = {}  # who has spoken last is last
        self._size = 0

    def take(self, message: Spoken) -> None:
        """A runner tells what its tasks say.

        Raises:
            RemoteProtocolError: that is nothing that a runner says.
        """
        if (
            not set(range(len(STREAMS))).issuperset(message.streams)
            or not all(map(math.isfinite, message.times))
            or any(each < 0 for each in message.missed)
            or any(len(each) > _TEXT_MAX for each in message.texts)
        ):
            msg = "words of tasks that are none"
            raise RemoteProtocolError(msg)
        rows = zip(
            message.attempts, message.tids, message.streams, message.times, message.missed,
            message.texts, strict=True,
        )  # fmt: skip
        for attempt, tid, stream, at, missed, text in rows:
            kept = self._of(tid, attempt)
            if kept is not None:
                kept.voice.missed += missed
                kept.voice.add(stream, at, text)
        for tid in dict.fromkeys(message.tids):
            self._measure(tid)
        self._forget()

    def _of(self, tid: TaskId, attempt: Attempt) -> _Kept | None:
        """What is kept of an attempt; None if there is a later one."""
        kept = self._kept.get(tid)
        if kept is None or kept.attempt < attempt:
            self._size -= 0 if kept is None else kept.size
            kept = self._kept[tid] = _Kept(attempt)
        return kept if kept.attempt == attempt else None

    def _measure(self, tid: TaskId) -> None:
        kept = self._kept[tid] = self._kept.pop(tid)
        size = sum(_LINE + len(text) for *_, text in kept.voice.rows())
        self._size += size - kept.size
        kept.size = size

    def _forget(self) -> None:
        """Those who have been silent for longest, when it is too much."""
        while len(self._kept) > TASKS_MAX or (self._size > CHARACTERS_MAX and len(self._kept) > 1):
            self._size -= self._kept.pop(next(iter(self._kept))).size

    def answer(self, params: dict[str, Any]) -> bytes:
        """The last lines of a task, as many as are asked for and there is room for."""
        tid, n, room = params.get("tid"), params.get("n"), params.get("bytes_max")
        kept = self._kept.get(tid) if type(tid) is int else None
        if kept is None:
            return LastSaid().packed()
        rows = kept.voice.rows()
        left = (room if type(room) is int else 0) - _FRAME_BYTES
        told: list[LogLine] = []
        for stream, at, text in reversed(rows[-n:] if type(n) is int and n > 0 else rows):
            line = LogLine(at, STREAMS[stream], text.rstrip("\r\n"))
            left -= len(packed(line))
            if left < 0:
                break
            told.append(line)
        missed = kept.voice.missed + len(rows) - len(told)
        return LastSaid(kept.attempt, missed, tuple(told[::-1])).packed()
