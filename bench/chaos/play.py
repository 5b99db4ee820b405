"""Rounds of work on a cluster to which things happen, and what came of it."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import trio

from bench.chaos.blows import blows
from bench.chaos.jobs import expected, graph, run, runs_in
from bench.chaos.town import Town
from bench.chaos.verdict import missing, unexplained
from trio_dask.client import AsyncClient

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: A round takes a second or two; after so long something hangs.
ROUND_S: Final = 120.0
_SAY_S: Final = 10.0
_VIOLATIONS_MAX: Final = 20


@dataclass(slots=True)
class Report:
    """What was done and what came of it."""

    seed: int
    rounds: int = 0
    tasks: int = 0
    again: int = 0  # runs beyond the first
    seconds: float = 0.0
    blows: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def line(self) -> str:
        """For people."""
        dealt = ", ".join(f"{kind} ×{count}" for kind, count in sorted(self.blows.items()))
        return (
            f"{self.seconds:.0f} s: {self.rounds} rounds, {self.tasks:,} tasks, {self.again:,} run again; "
            f"{dealt or 'nothing done'}; {len(self.violations)} violations"
        )


async def play(
    seed: int,
    directory: Path,
    workers: int,
    until: float,
    *,
    spared: frozenset[str] = frozenset(),
    say: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Work until then, while the seed's blows are dealt."""
    report, town = Report(seed), Town(directory, workers)
    began = time.monotonic()
    town.open()
    try:
        async with AsyncClient(town.address, config=town.config) as client:
            await client.wait_for_workers(1, timeout=30)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_deal, town, random.Random(f"{seed} blows"), spared)
                nursery.start_soon(_tell, town, report, began, say)
                work = random.Random(f"{seed} work")
                await _work(client, town, report, chance=work, until=until)
                nursery.cancel_scope.cancel("time is up")
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(town.close)
    notes = runs_in(directory / "notes")
    report.violations += town.violations + unexplained(notes, town.deaths)
    report.violations += missing(range(report.tasks), notes)
    report.again = sum(len(each) - 1 for each in notes.values())
    report.blows, report.seconds = town.counts, time.monotonic() - began
    return report


async def _work(
    client: AsyncClient, town: Town, report: Report, *, chance: random.Random, until: float
) -> None:
    while time.monotonic() < until and len(report.violations) < _VIOLATIONS_MAX:
        jobs = graph(chance, report.tasks)
        notes = str(town.directory / "notes")
        futures: dict[int, Any] = {}
        for job in jobs:
            inputs = [futures[each] for each in job.inputs]
            futures[job.label] = client.submit(run, job, notes, *inputs)
        values: list[Any] = []
        with trio.move_on_after(ROUND_S):
            values = await client.gather(list(futures.values()))
        if not values:
            status = dict.fromkeys(("pending", "finished", "error", "lost", "cancelled"), 0)
            for each in futures.values():
                status[each.status] += 1
            report.violations.append(f"round {report.rounds} hangs: {status}")
            return
        for (label, wanted), value in zip(expected(jobs).items(), values, strict=True):
            got = np.unique(value).tolist() if isinstance(value, np.ndarray) else [value]
            if got != [wanted]:
                report.violations.append(f"task {label} came to {got[:3]}, not {wanted}")
        report.rounds += 1
        report.tasks += len(jobs)


async def _deal(town: Town, chance: random.Random, spared: frozenset[str]) -> None:
    async with trio.open_nursery() as nursery:
        for blow in blows(chance, spared):
            await trio.sleep(blow.pause_s)
            town.look()
            town.strike(blow, nursery)


async def _tell(town: Town, report: Report, began: float, say: Callable[[Report], None]) -> None:
    while True:
        await trio.sleep(_SAY_S)
        report.blows, report.seconds = dict(town.counts), time.monotonic() - began
        say(report)
