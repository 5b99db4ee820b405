"""Evidence of what ended a process: counters of control groups, and how its memory grew."""

from __future__ import annotations

from collections import deque
from typing import Final

#: A process that was killed for want of memory is found dead within so long.
RECENT_S: Final = 5.0
#: So many samples of a process's memory are kept.
SAMPLES_MAX: Final = 10


def control_groups(text: str) -> tuple[str | None, str | None]:
    r"""The control group of version 2, and that of version 1 for memory, in ``/proc/<pid>/cgroup``.

    >>> control_groups("4:cpu,memory:/docker/1\n0::/user.slice\n")
    ('/user.slice', '/docker/1')
    """
    unified = memory = None
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not path.startswith("/"):
            continue
        if number == "0" and not controllers:
            unified = path
        elif "memory" in controllers.split(","):
            memory = path
    return unified, memory


def oom_kills(text: str) -> int | None:
    r"""How many processes were killed for want of memory, by a file of counters; None if it is silent.

    Of this form are ``memory.events``, ``memory.oom_control`` and ``/proc/vmstat``.

    >>> oom_kills("low 0\noom 3\noom_kill 2\n")
    2
    """
    for line in text.splitlines():
        name, _, count = line.partition(" ")
        if name == "oom_kill" and count.strip().isdecimal():
            return int(count)
    return None


class OomLedger:
    """A counter of kills for want of memory, and which of these are explained by deaths of ours.

    Others may be in the same control group: a kill that none of our processes has died of
    at the time was one of theirs.
    """

    __slots__ = ("_count", "_unexplained")

    def __init__(self, count: int) -> None:
        self._count = count
        self._unexplained: deque[float] = deque()  # when they were noticed

    def look(self, count: int, now: float) -> None:
        """The counter stands there."""
        self._unexplained.extend([now] * min(count - self._count, 1000))
        self._count = count
        while self._unexplained and self._unexplained[0] < now - RECENT_S:
            self._unexplained.popleft()

    def explain(self, count: int, now: float) -> bool:
        """A process of ours was killed just now: whether for want of memory."""
        self.look(count, now)
        if not self._unexplained:
            return False
        self._unexplained.pop()
        return True


class MemorySamples:
    """The last samples of a process's resident memory."""

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque(maxlen=SAMPLES_MAX)

    def add(self, now: float, rss: int) -> None:
        """It has so many bytes now."""
        self._samples.append((now, rss))

    @property
    def last(self) -> int | None:
        """How much it had when it was looked at the last time."""
        return self._samples[-1][1] if self._samples else None

    def before(self, end: float) -> list[list[float]]:
        """Each sample: so many seconds before the end, so many bytes."""
        return [[round(end - when, 1), rss] for when, rss in self._samples]
