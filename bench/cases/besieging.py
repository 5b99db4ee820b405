"""A computation, while strangers come to the scheduler's door, a hundred a second.

What they do is in `bench.strangers`. All values are checked; what the strangers cost is processor
time of the scheduler, and how much memory and how many sockets they made it have.
"""

from __future__ import annotations

import json
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

    def work_while(self, wanted: Callable[[], bool]) -> tuple[float, int]:
        """The scheduler's processor time for a task, in µs, and how many there were."""
        scheduler, done, before = self.scheduler, 0, cpu_seconds(self.scheduler)
        self.sockets, self.mebibytes = 0, 0.0
        while wanted() or not done:
            assert self.running.client.run(self.graph.build) == self.graph.expected, "wrong values"
            done += self.graph.tasks
            sockets = sum(1 for _ in Path(f"/proc/{scheduler}/fd").iterdir())
            self.sockets = max(self.sockets, sockets)
            self.mebibytes = max(self.mebibytes, resident([scheduler]) / 2**20)
        return (cpu_seconds(scheduler) - before) / done * 1e6, done

    def work(self) -> float:
        """The same for a while."""
        until = perf_counter() + _CALM_S
        return self.work_while(lambda: perf_counter() < until)[0]


def measure(turn: Turn) -> dict[str, float]:
    """Maps of no-ops, one after the other: undisturbed, besieged, undisturbed."""
    running, count = turn.running, turn.scale.strangers
    watch = _Watch(running, graphs.noop_map(turn.scale.tasks))
    watch.work()  # memory is as high as tasks alone make it
    usual = [watch.work()]
    sockets, mebibytes = watch.sockets, watch.mebibytes
    with strangers_at(running.address, count) as strangers:
        besieged, done = watch.work_while(lambda: strangers.poll() is None)
        assert strangers.stdout is not None
        ends = json.loads(strangers.stdout.readline())
    assert ends == {"sent away": count}, f"somebody was let stay: {ends}"
    sockets, mebibytes = watch.sockets - sockets, watch.mebibytes - mebibytes
    usual.append(watch.work())
    return {
        "undisturbed, scheduler CPU µs/task": median(usual),
        "besieged, scheduler CPU µs/task": besieged,
        "more CPU %": 100 * (besieged / median(usual) - 1),
        "scheduler CPU µs/stranger": (besieged - median(usual)) * done / count,
        "sockets of strangers at most": sockets,
        "more MiB": mebibytes,
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
