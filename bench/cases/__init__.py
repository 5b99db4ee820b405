"""What is measured. Each case takes a system and returns figures, by name with their unit.

In a figure's name stands how it is judged: what is "per second" (``/s``) or "returned" is better
when it is more, everything else when it is less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench.cases import (
    answering,
    besieging,
    growing,
    memory,
    moving,
    queueing,
    recovery,
    shuffling,
    starting,
    throughput,
    trips,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.systems import System
    from bench.turn import Turn

_CLUSTER: Final = frozenset({"cluster"})
_LITTLE: Final = frozenset({"little"})
_OURS: Final = frozenset({"ours"})
_ALL: Final = frozenset({"cluster", "blocking", "pool"})


@dataclass(frozen=True, slots=True)
class Case:
    """Something to measure, of systems of some kinds."""

    name: str
    title: str
    measure: Callable[[Turn], dict[str, float]]
    kinds: frozenset[str] = frozenset({"cluster", "pool"})
    once: bool = False  # in the first round; what needs no clock of the machine's is alike in all
    long: bool = False  # so that a quick look goes without, unless it is named

    def suits(self, system: System) -> bool:
        """Whether it makes sense for this system."""
        return bool(self.kinds & system.kinds)


#: In this order. Memory that was in use once is used again: so it comes before what needs much.
CASES: Final = {
    case.name: case
    for case in (
        Case("import", "import of the client", starting.measure_import, _ALL),
        Case("start", "fresh processes to first result; stop", starting.measure_start),
        Case("resident", "memory in use when nothing is done", memory.measure_resident),
        Case("idle", "processor time when nothing is done", starting.measure_idle, long=True),
        Case("pending", "memory of pending tasks", memory.measure_pending, _CLUSTER),
        Case("latency", "one no-op, submit to result", trips.measure, _ALL),
        Case(
            "urgent",
            "an urgent no-op, very many queued",
            queueing.measure,
            frozenset({"cluster", "blocking"}),
            long=True,
        ),
        Case("map", "map of no-ops", throughput.measure_map, _ALL),
        Case("chain", "chains", throughput.measure_chain, _ALL),
        Case("tree", "tree reduction", throughput.measure_tree),
        Case("merge", "merge of many", throughput.measure_merge),
        Case("crossbar", "crossbar", throughput.measure_crossbar),
        Case("values", "values of 1 kB", throughput.measure_values),
        Case(
            "large",
            "large values to and from the client",
            moving.measure,
            frozenset({"cluster", "blocking", "objects"}),
        ),
        Case("answer", "longest wait for the scheduler's answer", answering.measure, _CLUSTER),
        Case("besieged", "a map while strangers come", besieging.measure, _OURS, long=True),
        Case("many", "a very large map", throughput.measure_many, _OURS, long=True),
        Case("crowd", "a scheduler with many workers", growing.measure_crowd, _OURS, long=True),
        Case(
            "growth",
            "tasks of many kinds, a scheduler's",
            growing.measure_growth,
            _OURS,
            once=True,
            long=True,
        ),
        Case(
            "blocks",
            "very much at once, a scheduler's",
            growing.measure_blocks,
            _OURS,
            once=True,
            long=True,
        ),
        Case("shuffle", "a shuffle of thrice the memory", shuffling.measure, _LITTLE, long=True),
        Case("recovery", "tasks of 10 ms, a process killed", recovery.measure, _CLUSTER),
    )
}
