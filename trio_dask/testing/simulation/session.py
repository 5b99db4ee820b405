"""Many seeds: in several processes, until there are enough or time is up, and what came of them."""

from __future__ import annotations

import multiprocessing
import time
import traceback
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from trio_dask.testing.simulation.coverage import Coverage
from trio_dask.testing.simulation.simulation import Simulation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_dask.testing.simulation.simulation import SimulationResult

#: Seeds that a process is given at a time.
_CHUNK: Final = 20
#: Chunks for each process between two looks at the clock.
_WAVE: Final = 8
#: After so many failures there is nothing new to learn.
_FAILURES_MAX: Final = 10


@dataclass(slots=True)
class Totals:
    """What many seeds came to."""

    seeds: int = 0
    steps: int = 0
    attempts: int = 0
    virtual_seconds: float = 0.0
    real_seconds: float = 0.0
    coverage: Coverage = field(default_factory=Coverage)
    failures: dict[int, str] = field(default_factory=dict)  # seed → report

    def add(self, seed: int, result: SimulationResult | str) -> None:
        """One more; text is the traceback of a simulation that broke."""
        self.seeds += 1
        if isinstance(result, str):
            self.failures[seed] = result
            return
        self.steps += result.steps
        self.attempts += result.finished
        self.virtual_seconds += result.virtual_seconds
        self.coverage.add(result.coverage)
        if not result.ok:
            self.failures[seed] = result.report()

    def merge(self, other: Totals) -> None:
        """Those of another process."""
        self.seeds += other.seeds
        self.steps += other.steps
        self.attempts += other.attempts
        self.virtual_seconds += other.virtual_seconds
        self.coverage.add(other.coverage)
        self.failures.update(other.failures)

    def report(self) -> str:
        """For people."""
        seconds = max(self.real_seconds, 1e-9)
        lines = list(self.failures.values())
        seeds, events = self.seeds / seconds, self.steps / seconds
        hours = self.virtual_seconds / 3600
        lines += [
            f"{self.seeds} seeds in {seconds:.1f} s: {seeds:.0f} seeds/s, {events:,.0f} events/s",
            f"{hours:.1f} simulated hours, {self.steps:,} events, {self.attempts:,} attempts",
            self.coverage.summary(),
        ]
        missing = self.coverage.missing()
        lines += (f"not exercised: {each}" for each in missing)
        lines.append(f"{len(self.failures)} failed" if self.failures else "all held")
        return "\n".join(lines)


def run_seeds(
    seeds: range, *, jobs: int = 1, seconds_max: float = float("inf"), **arguments: Any
) -> Totals:
    """Simulate the clusters of these seeds; `arguments` are those of `Simulation`."""
    began = time.monotonic()
    totals = Totals()
    chunks = (seeds[at : at + _CHUNK] for at in range(0, len(seeds), _CHUNK))
    run = partial(_run_chunk, arguments=arguments)
    for part in _in_processes(run, chunks, jobs) if jobs > 1 else map(run, chunks):
        totals.merge(part)
        if time.monotonic() - began > seconds_max or len(totals.failures) >= _FAILURES_MAX:
            break
    totals.real_seconds = time.monotonic() - began
    return totals


def _in_processes(
    run: Callable[[range], Totals], chunks: Iterator[range], jobs: int
) -> Iterator[Totals]:
    # Fresh interpreters: what the caller has loaded, or patched, is no part of a seed.
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        while wave := list(islice(chunks, _WAVE * jobs)):  # there may be no end of them
            yield from pool.imap_unordered(run, wave)


def _run_chunk(seeds: range, *, arguments: dict[str, Any]) -> Totals:
    totals = Totals()
    for seed in seeds:
        totals.add(seed, run_one(seed, **arguments))
    return totals


def run_one(seed: int, **arguments: Any) -> SimulationResult | str:
    """One seed; if the simulation itself breaks, its traceback."""
    simulation = Simulation(seed=seed, **arguments)
    try:
        return simulation.run()
    except Exception:  # noqa: BLE001  whatever it is, it has this seed
        return f"seed {seed} broke:\n{traceback.format_exc()}  again: {simulation.command()}"
