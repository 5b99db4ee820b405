"""A computation, while strangers come to the scheduler's door, a hundred a second.

What they do is in `bench.strangers`. All values are checked; what the strangers cost is processor
time of the scheduler, and how much memory and how many sockets they made it have.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Final

from bench import graphs
from bench.servers import ROOT, cpu_seconds, resident

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.graphs import Graph
    from bench.systems import Running
    from bench.turn import Turn

PER_SECOND: Final = 100
_CALM_S: Final = 5.0
#: So often both are looked at.
_TURNS: Final = 5


@dataclass(frozen=True, slots=True)
class _Spent:
    """Processor time of a scheduler, and for how many tasks."""

    seconds: float = 0.0
    done: int = 0

    @property
    def each_us(self) -> float:
        """For one, in µs."""
        return self.seconds / self.done * 1e6

    def and_also(self, other: _Spent) -> _Spent:
        """Both together."""
        return _Spent(self.seconds + other.seconds, self.done + other.done)


@dataclass
class _Watch:
    """A scheduler while a computation goes on, and what it had most of."""

    running: Running
    graph: Graph
    sockets: int = 0
    mebibytes: float = 0.0

    @property
    def scheduler(self) -> int:
        """Its process."""
        return self.running.roles()["scheduler"][0]

    def work_while(self, wanted: Callable[[], bool]) -> _Spent:
        """What the scheduler needs for maps, one after the other, as long as it is wanted."""
        scheduler, done, before = self.scheduler, 0, cpu_seconds(self.scheduler)
        while wanted() or not done:
            assert self.running.client.run(self.graph.build) == self.graph.expected, "wrong values"
            done += self.graph.tasks
            sockets = sum(1 for _ in Path(f"/proc/{scheduler}/fd").iterdir())
            self.sockets = max(self.sockets, sockets)
            self.mebibytes = max(self.mebibytes, resident([scheduler]) / 2**20)
        return _Spent(cpu_seconds(scheduler) - before, done)

    def work(self, seconds: float) -> _Spent:
        """The same for a while."""
        until = perf_counter() + seconds
        return self.work_while(lambda: perf_counter() < until)

    def work_besieged(self, count: int) -> _Spent:
        """The same while so many strangers come; those who stay longer are not waited for."""
        with strangers_at(self.running.address, count) as strangers:
            assert strangers.stdout is not None
            said = strangers.stdout
            spent = self.work_while(lambda: not select.select([said], [], [], 0)[0])
            assert said.readline() == b"come\n"
            self.work_while(lambda: not select.select([said], [], [], 0)[0])
            ends = json.loads(said.readline())
        assert ends == {"sent away": count}, f"somebody was let stay: {ends}"
        return spent


def measure(turn: Turn) -> dict[str, float]:
    """Maps of no-ops, one after the other: undisturbed and besieged in turns, so that both see
    the same of whatever else goes on.
    """
    count = turn.scale.strangers
    each = count // _TURNS
    watch = _Watch(turn.running, graphs.noop_map(turn.scale.tasks))
    watch.work(_CALM_S)  # memory is as high as tasks alone make it
    sockets, mebibytes = watch.sockets, watch.mebibytes
    usual, besieged = _Spent(), _Spent()
    ratios = []
    for _ in range(_TURNS):
        calm = watch.work(each / PER_SECOND)
        siege = watch.work_besieged(each)
        ratios.append(siege.each_us / calm.each_us)
        usual, besieged = usual.and_also(calm), besieged.and_also(siege)
    return {
        "undisturbed, scheduler CPU µs/task": usual.each_us,
        "besieged, scheduler CPU µs/task": besieged.each_us,
        "more CPU %": 100 * (besieged.each_us / usual.each_us - 1),
        "more CPU %, median of turns": 100 * (median(ratios) - 1),
        "scheduler CPU µs/stranger": (besieged.each_us - usual.each_us) * besieged.done / count,
        "sockets of strangers at most": watch.sockets - sockets,
        "more MiB": watch.mebibytes - mebibytes,
    }


@contextmanager
def strangers_at(address: str, count: int) -> Iterator[subprocess.Popen[bytes]]:
    """So many strangers come, from now on."""
    host, _, port = address.partition("://")[2].rpartition(":")
    words = [host, port, str(count), str(PER_SECOND)]
    with subprocess.Popen(
        [sys.executable, "-m", "bench.strangers", *words], stdout=subprocess.PIPE, cwd=ROOT
    ) as strangers:
        assert strangers.stdout is not None
        try:
            assert strangers.stdout.readline(), "the strangers did not come"
            yield strangers
        finally:
            strangers.kill()
