"""Which transfers have come to a stop: a peer that is stopped keeps its connections open."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Stalls:
    """Watches counters of bytes that should be growing."""

    __slots__ = ("_limit_s", "_seen")

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._seen: dict[str, tuple[int, float]] = {}

    def stalled(self, progress: Mapping[str, int], now: float) -> list[str]:
        """Those of the transfers under way whose counter has stood still for too long."""
        seen = self._seen
        self._seen = {}
        out = []
        for name, count in progress.items():
            before, since = seen.get(name, (-1, now))
            if before != count:
                since = now
            self._seen[name] = (count, since)
            if now - since >= self._limit_s:
                out.append(name)
        return out
