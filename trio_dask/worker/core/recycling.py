"""When a runner has done enough, and another is to take its place: see `condemning.recycle`."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RecycleRules:
    """How much a runner may do, have, and live; 0 and infinity: without limit.

    >>> RecycleRules(max_tasks=100).reached(tasks=120, rss=0, age_s=3.5)
    'it has run 120 tasks'
    """

    max_tasks: int = 0
    max_rss: int = 0  # bytes
    max_age_s: float = math.inf

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        return bool(self.max_tasks or self.max_rss) or self.max_age_s < math.inf

    def reached(self, *, tasks: int, rss: int, age_s: float) -> str:
        """The limit that a runner has reached, in words; empty if none.

        One that has run nothing is not too large: its successor would be as large.
        """
        if 0 < self.max_tasks <= tasks:
            return f"it has run {tasks} tasks"
        if tasks and 0 < self.max_rss <= rss:
            return f"it has {rss / (1 << 20):.0f} MiB of memory"
        if age_s >= self.max_age_s:
            return f"it has been there for {age_s:.0f} s"
        return ""
