"""What tasks have said, until the worker is told: with the next results, or as soon as may be."""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING, Final

from trio_dask.messages.speech import Spoken, Voice

if TYPE_CHECKING:
    from trio_dask.messages.ids import Attempt, TaskId

#: A message has no more texts than of so many characters, and those of one attempt.
_CHARACTERS: Final = 1 << 20


class Speech:
    """Who has said what. Any thread adds, who writes takes; the collector of garbage may add in between."""

    def __init__(self) -> None:
        #: Empty: nobody has said anything.
        self.voices: dict[Attempt, tuple[TaskId, Voice]] = {}
        self._lock = RLock()

    def add(  # noqa: PLR0917 - as it is said
        self, attempt: Attempt, tid: TaskId, stream: int, at: float, text: str
    ) -> None:
        """An attempt at a task says something."""
        with self._lock:
            said = self.voices.get(attempt)
            if said is None:
                said = self.voices[attempt] = tid, Voice()
            said[1].add(stream, at, text)

    def take(self) -> Spoken:
        """What was said, or some of it: then there is more."""
        told = Spoken([], [], [], [], [], [])
        room = _CHARACTERS
        with self._lock:
            while self.voices and room > 0:
                attempt, (tid, voice) = self.voices.popitem()
                missed = voice.missed
                for stream, at, text in voice.rows():
                    told.attempts.append(attempt)
                    told.tids.append(tid)
                    told.streams.append(stream)
                    told.times.append(at)
                    told.missed.append(missed)
                    told.texts.append(text)
                    room -= len(text)
                    missed = 0
        return told
