"""Topics: what is said is heard by those who listen, and remembered for a while."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from trio_dask.scheduler.coordination.tickets import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

TOPICS_MAX: Final = 1000
#: Of each topic so many events are remembered, of no more than so many bytes.
EVENTS_MAX: Final = 10_000
TOPIC_BYTES_MAX: Final = 4 << 20
#: And of all topics together.
TOTAL_BYTES_MAX: Final = 32 << 20
#: What an event takes besides its own bytes.
_EVENT_BYTES: Final = 64


@dataclass(slots=True, eq=False)
class _Topic:
    events: deque[bytes] = field(default_factory=deque)
    listeners: dict[int, None] = field(default_factory=dict)
    nbytes: int = 0


class Topics:
    """All topics. One is known once something was said, or while somebody listens."""

    def __init__(self) -> None:
        self._all: dict[str, _Topic] = {}
        self._of: dict[int, dict[str, None]] = {}  # what each listens to
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._all)

    def say(self, name: str, event: bytes) -> list[int]:
        """An event; who is to be told of it.

        Raises:
            Refusal: there are too many topics.
        """
        topic = self._topic(name)
        topic.events.append(event)
        self._count(topic, len(event) + _EVENT_BYTES)
        while len(topic.events) > EVENTS_MAX or topic.nbytes > TOPIC_BYTES_MAX:
            self._forget_first(topic)
        while self.nbytes > TOTAL_BYTES_MAX:
            self._forget_first(max(self._all.values(), key=lambda each: each.nbytes))
        return list(topic.listeners)

    def listen(self, name: str, owner: int) -> None:
        """Somebody wants to be told from now on.

        Raises:
            Refusal: there are too many topics.
        """
        self._topic(name).listeners[owner] = None
        self._of.setdefault(owner, {})[name] = None

    def unlisten(self, name: str, owner: int) -> None:
        """Somebody does not want to be told any more."""
        topic = self._all.get(name)
        if topic is None:
            return
        topic.listeners.pop(owner, None)
        if not topic.listeners and not topic.events:
            del self._all[name]
        own = self._of.get(owner, {})
        own.pop(name, None)
        if not own:
            self._of.pop(owner, None)

    def gone(self, owner: int) -> None:
        """Somebody has left."""
        for name in list(self._of.get(owner, ())):
            self.unlisten(name, owner)

    def events(self, name: str) -> list[bytes]:
        """What was said, as far as it is remembered."""
        topic = self._all.get(name)
        return list(topic.events) if topic is not None else []

    def names(self) -> Iterable[str]:
        """All that there are."""
        return self._all.keys()

    def _topic(self, name: str) -> _Topic:
        topic = self._all.get(name)
        if topic is None:
            if len(self._all) >= TOPICS_MAX:
                msg = f"there are {TOPICS_MAX:,} topics, which is the most"
                raise Refusal(msg)
            topic = self._all[name] = _Topic()
        return topic

    def _count(self, topic: _Topic, nbytes: int) -> None:
        topic.nbytes += nbytes
        self.nbytes += nbytes

    def _forget_first(self, topic: _Topic) -> None:
        self._count(topic, -len(topic.events.popleft()) - _EVENT_BYTES)
