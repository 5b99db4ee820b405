"""What is done to a cluster of real processes, and when: a plan made from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

KILL_RUNNER: Final = "kill a runner"
KILL_WORKER: Final = "kill a worker process"
KILL_SCHEDULER: Final = "kill the scheduler"
DRAIN_WORKER: Final = "let a worker process go"
STOP_RUNNER: Final = "stop a runner for a while"
STOP_WORKER: Final = "stop a worker process for a while"
STOP_SCHEDULER: Final = "stop the scheduler for a while"

#: How often each is dealt, compared with the others.
WEIGHTS: Final = {
    KILL_RUNNER: 8,
    KILL_WORKER: 3,
    KILL_SCHEDULER: 1,
    DRAIN_WORKER: 3,
    STOP_RUNNER: 2,
    STOP_WORKER: 2,
    STOP_SCHEDULER: 2,
}
#: Seconds between two blows, on average.
PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Blow:
    """One of them: how long after the one before, to which of those it could hit."""

    pause_s: float
    kind: str
    target: int
    lasts_s: float  # of those that stand still for a while


def blows(chance: random.Random, spared: frozenset[str] = frozenset()) -> Iterator[Blow]:
    """Without end."""
    kinds = [kind for kind in WEIGHTS if kind not in spared]
    weights = [WEIGHTS[kind] for kind in kinds]
    while True:
        [kind] = chance.choices(kinds, weights)
        pause_s = min(chance.expovariate(1 / PAUSE_S), 5 * PAUSE_S)
        yield Blow(pause_s, kind, chance.randrange(1 << 30), chance.choice((0.05, 0.3, 1.0, 3.0)))
