"""What a client is told of each of its tasks: one end, unless it is taken back."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from trio_dask.messages import reunion, session, tasks as words

if TYPE_CHECKING:
    from trio_dask.messages import Message

_ENDS: Final = (words.Finished, words.Failed, words.Cancelled, words.Lost)

_NAMES: Final = {
    reunion.INLINE: "Finished",
    reunion.HELD: "Finished",
    reunion.FAILED: "Failed",
    reunion.CANCELLED: "Cancelled",
    reunion.LOST: "Lost",
}


class Answers:
    """Listens to a client's conversation with the scheduler."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last: dict[int, str] = {}  # the end of which a task has been told
        self._known: dict[int, str] = {}  # what it tells a scheduler that does not know it
        self._doubts: Counter[int] = Counter()  # values said to be out of reach
        self._retries = False  # whether failed tasks run again, and what they failed over
        self.violations: list[str] = []
        self.restarts = False  # what has ended is forgotten, and said to be cancelled

    def say(self, message: Message) -> None:
        """The client says this."""
        if isinstance(message, words.Release):
            for tid in message.tids:
                self._last[tid] = "released"
        elif isinstance(message, session.Ask) and message.topic == "retry":
            self._retries = True
        elif isinstance(message, words.Unreachable):
            self._doubts.update(message.tids)
        elif isinstance(message, reunion.Known):
            rows = zip(message.tids, message.statuses, strict=True)
            known = {tid: _NAMES[status] for tid, status in rows if status != reunion.SOUGHT}
            self._known.update(known)
        elif isinstance(message, reunion.Announced):
            # It knows of no other ends: to fetch a value in vain makes it doubt that it is there.
            for tid in [tid for tid, end in self._last.items() if end != "released"]:
                del self._last[tid]
            self._last.update(self._known)
            self._known.clear()

    def hear(self, message: Message) -> None:
        """The client hears this."""
        if isinstance(message, words.Again):
            for tid in message.tids:
                last = self._last.get(tid)
                if last == "Finished" or (last == "Failed" and self._retries):
                    del self._last[tid]
                elif last != "released":
                    self._complain(tid, "Again")
        elif isinstance(message, _ENDS):
            for tid in message.tids:
                self._on_end(tid, type(message).__name__)

    def _on_end(self, tid: int, end: str) -> None:
        before = self._last.get(tid)
        if before == "released":
            return
        if before == end == "Finished" and self._doubts[tid]:
            self._doubts[tid] -= 1
        elif before is not None and (before, end) != ("Finished", "Lost") and not self.restarts:
            self._complain(tid, end)
        self._last[tid] = end

    def _complain(self, tid: int, what: str) -> None:
        self.violations.append(f"{self._name}: {tid:x} is {what} after {self._last.get(tid)}")
