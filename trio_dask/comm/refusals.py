"""Who has been refused lately, so that neither the log nor the processor is theirs."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

#: So many lines about strangers are logged in a window; of the others only their number.
LINES_MAX: Final = 50
WINDOW_S: Final = 10.0
#: Who is refused more often than that in a window waits before anything of it is read.
OFTEN: Final = 20
HOLD_S: Final = 1.0
#: So many hosts are remembered, those of the latest refusals.
_HOSTS_MAX: Final = 1024


class Refusals:
    """Strangers that did not get in, by host."""

    def __init__(self) -> None:
        self._window_ends = 0.0
        self._lines = 0
        self._silent = 0
        self._hosts: OrderedDict[str, deque[float]] = OrderedDict()

    def note(self, host: str, now: float) -> bool:
        """One more from this host; whether there should be a line about it.

        >>> refusals = Refusals()
        >>> sum(refusals.note("203.0.113.7", 1.0) for _ in range(1000)) == LINES_MAX
        True
        """
        times = self._hosts.setdefault(host, deque(maxlen=OFTEN + 1))
        times.append(now)
        self._hosts.move_to_end(host)
        if len(self._hosts) > _HOSTS_MAX:
            self._hosts.popitem(last=False)
        if now >= self._window_ends:
            self._window_ends, self._lines = now + WINDOW_S, 0
        self._lines += 1
        if self._lines > LINES_MAX:
            self._silent += 1
            return False
        return True

    def unsaid(self, now: float) -> int:
        """How many there was no line about, once their window is over: to be said once."""
        if not self._silent or now < self._window_ends:
            return 0
        count, self._silent = self._silent, 0
        return count

    def hold_s(self, host: str, now: float) -> float:
        """How long the next connection from this host is to wait."""
        times = self._hosts.get(host)
        often = times is not None and len(times) > OFTEN and now - times[0] < WINDOW_S
        return HOLD_S if often else 0.0

    def forgive(self, host: str) -> None:
        """Somebody from there holds the token."""
        self._hosts.pop(host, None)
