"""Whether and when a runner that ended is started again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartRules:
    """When to hurry and when to hold back.

    A runner that died after having done something is replaced at once: its tasks are to
    blame, and the scheduler limits those. One that did nothing is replaced at once the
    first time, then after `delay_s`, doubled each time up to `delay_max_s`. If none was
    ever ready after `starts_max` tries, trying on would only hide the reason.
    """

    delay_s: float = 1.0
    delay_max_s: float = 60.0
    healthy_s: float = 10.0
    starts_max: int = 5


@dataclass(frozen=True, slots=True)
class Restart:
    """Start a runner again after so many seconds."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No runner of this worker can be started."""

    reason: str


Decision: TypeAlias = Restart | GiveUp


class Restarts:
    """The history of one worker's runners, as far as it matters for the next one."""

    __slots__ = ("_ever_ready", "_failures", "rules")

    def __init__(self, rules: RestartRules) -> None:
        self.rules = rules
        self._failures = 0  # in a row
        self._ever_ready = False

    def was_ready(self) -> None:
        """A runner is ready, so they can be started."""
        self._ever_ready = True

    def ended(self, *, ready: bool, answered: int, lasted_s: float) -> Decision:
        """What to do after the end of a runner that was (not) ready, and answered attempts."""
        rules = self.rules
        self._ever_ready = self._ever_ready or ready
        if ready and (answered or lasted_s >= rules.healthy_s):
            self._failures = 0
            return Restart(0.0)
        self._failures += 1
        if not self._ever_ready and self._failures >= rules.starts_max:
            return GiveUp(
                f"{self._failures} runner processes in a row ended before they were ready"
            )
        if self._failures == 1:
            return Restart(0.0)
        doublings = min(self._failures - 2, 60)
        return Restart(min(rules.delay_s * 2.0**doublings, rules.delay_max_s))
