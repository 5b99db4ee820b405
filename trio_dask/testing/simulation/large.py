"""A very large simulated cluster: whether the cores get through, how fast, in how much memory.

The same world as for small ones, without a trace, and with a look at all the books only now
and then: they are as large as the cluster.
"""

from __future__ import annotations

import gc
import resource
import time
import tracemalloc
from dataclasses import dataclass
from typing import Final

from trio_dask.messages import session, tasks as words
from trio_dask.messages.ids import first_id
from trio_dask.scheduler.core import CoreSettings, SchedulerCore
from trio_dask.scheduler.core.invariants import violations
from trio_dask.testing.simulation import rules
from trio_dask.testing.simulation.cluster import Cluster
from trio_dask.testing.simulation.plan import ClientPlan, Plan, PlannedTask, Step, WorkerPlan

CLIENTS: Final = 10
#: So many tasks are submitted together; one more adds their results up.
_ROWS: Final = 1000
#: All books are looked at so often, in events.
_LOOK_EVERY: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class LargeResult:
    """How it went."""

    workers: int
    tasks: int
    attempts: int
    events: int
    violations: list[str]
    cpu_seconds: float
    virtual_seconds: float
    peak_bytes: int  # of the process, everything included
    core_bytes: float  # of the scheduler, for a pending task

    def report(self) -> str:
        """For people."""
        rate, tasks = self.events / self.cpu_seconds, self.attempts / self.cpu_seconds
        whole = self.peak_bytes / self.tasks
        took = f"{self.cpu_seconds:.1f} s of processor time, {self.virtual_seconds:.1f} virtual seconds"
        lines = [
            f"{self.workers:,} workers, {self.tasks:,} tasks, {self.attempts:,} attempts",
            f"{self.events:,} events in {took}: {rate:,.0f} events/s, {tasks:,.0f} tasks/s",
            f"{self.core_bytes:.0f} bytes for a pending task at the scheduler",
            f"{whole:.0f} bytes for a task in the whole simulation",
        ]
        lines += (f"violated: {each}" for each in self.violations[:20])
        return "\n".join(lines)


def large_plan(workers: int, tasks: int) -> Plan:
    """Maps of short tasks, each reduced by one more; every client keeps only what comes out."""
    each = tasks // CLIENTS
    return Plan(
        seed=1,
        workers=tuple(WorkerPlan(nthreads=2, process=number) for number in range(workers)),
        clients=tuple(_client(1 + number * each, each) for number in range(CLIENTS)),
        network="fast",
    )


def _client(first: int, count: int) -> ClientPlan:
    steps: list[Step] = []
    for start in range(first, first + count, _ROWS):
        last = min(start + _ROWS, first + count) - 1
        rows = tuple(PlannedTask(number=number, seconds=0.01) for number in range(start, last))
        mapped = tuple(row.number for row in rows)
        total = PlannedTask(number=last, seconds=0.001, deps=mapped)
        steps += [Step(do="submit", tasks=(*rows, total)), Step(do="release", numbers=mapped)]
    return ClientPlan(steps=tuple(steps))


def run_large(workers: int = 1000, tasks: int = 1_000_000) -> LargeResult:
    """Play it to the end."""
    began = time.process_time()
    cluster = Cluster(large_plan(workers, tasks), traced=False)
    world, found = cluster.world, list[str]()
    gc.freeze()
    gc.disable()  # as in the servers; the plan alone has a million objects
    try:
        while not found and not all(client.finished for client in cluster.clients.values()):
            world.step()
            if world.steps % _LOOK_EVERY == 0:
                found += violations(cluster.scheduler.core.state)
                found += rules.broken(rules.ALWAYS, cluster)
        quiet_at = world.now + 1.0
        while world.now < quiet_at:
            world.step()
    finally:
        gc.enable()
        gc.unfreeze()
    found = found or rules.broken(rules.AT_THE_END, cluster)
    return LargeResult(
        workers=workers,
        tasks=tasks,
        attempts=cluster.truth.ended,
        events=world.steps,
        violations=found,
        cpu_seconds=time.process_time() - began,
        virtual_seconds=world.now,
        peak_bytes=1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        core_bytes=pending_task_bytes(),
    )


def pending_task_bytes(tasks: int = 100_000) -> float:
    """What the scheduler's core keeps for each task that waits."""
    core = SchedulerCore(CoreSettings(), cluster="simulated")
    core.client_joined(1, session.RegisterClient("large"))
    first = first_id(1)
    core.handle(1, words.Functions([first], ["f"], [b"f"]), 0.0)
    args = [b"%d" % number for number in range(tasks)]
    submit = words.Submit(first, [first], args, [], [], [], [], wanted=True, options={})
    gc.collect()
    tracemalloc.start()
    try:
        core.handle(1, submit, 0.0)
        while core.busy:
            core.work()
        return tracemalloc.get_traced_memory()[0] / tasks
    finally:
        tracemalloc.stop()
