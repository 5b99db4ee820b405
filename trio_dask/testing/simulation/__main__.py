"""``python -m trio_dask.testing.simulation``: simulate many seeds, or replay a plan from a file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from trio_dask.scheduler import find_placement
from trio_dask.testing.simulation.large import run_large
from trio_dask.testing.simulation.plan import Plan
from trio_dask.testing.simulation.planning import SCHEDULERS_DIE
from trio_dask.testing.simulation.session import run_seeds
from trio_dask.testing.simulation.shrinking import Parts, shrink
from trio_dask.testing.simulation.simulation import Simulation, SimulationResult, play
from trio_dask.testing.simulation.workloads import MIXED, WORKLOADS


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        prog="python -m trio_dask.testing.simulation", description=__doc__
    )
    made.add_argument("--seeds", default="200", help="how many, or one (N:), or a range (A:B)")
    made.add_argument("--minutes", type=float, help="go on for so long, from the first seed")
    made.add_argument("--jobs", type=int, default=1, help="processes")
    made.add_argument("--workers", type=int)
    made.add_argument("--clients", type=int)
    made.add_argument("--workload", choices=[MIXED, *WORKLOADS], default=MIXED)
    made.add_argument("--no-faults", action="store_true")
    made.add_argument(
        "--schedulers-die", action="store_true", help="one after the other, in quick succession"
    )
    made.add_argument(
        "--placement", default="", metavar="MODULE:NAME", help="a policy of one's own"
    )
    made.add_argument("--shrink", action="store_true", help="reduce the first failing seed")
    made.add_argument("--out", type=Path, metavar="FILE", help="where to write the reduced plan")
    made.add_argument("--replay", type=Path, metavar="FILE", help="play a plan from --out")
    made.add_argument("--large", action="store_true", help="1,000 workers and 1,000,000 tasks")
    made.add_argument("--keep", metavar="PARTS", help="of a single seed's plan, play only these")
    return made


def seeds_of(text: str) -> range:
    """``200`` is 0 to 199, ``17:`` is seed 17, ``100:200`` is 100 to 199."""
    first, colon, last = text.partition(":")
    if not colon:
        return range(int(first))
    return range(int(first), int(last) if last else int(first) + 1)


def main(words: list[str] | None = None) -> int:
    """The exit code: 1 if anything failed."""
    options = parser().parse_args(words)
    if options.replay is not None:
        return _tell(play(Plan.from_json(options.replay.read_text(encoding="utf-8"))))
    if options.large:
        large = run_large()
        _say(large.report())
        return 1 if large.violations else 0
    asked = {
        "workers": options.workers,
        "clients": options.clients,
        "workload": options.workload,
        "faults": SCHEDULERS_DIE if options.schedulers_die else not options.no_faults,
        "placement": find_placement(options.placement),
    }
    seeds = seeds_of(options.seeds)
    if options.keep is not None:
        plan = Parts.parse(options.keep).applied_to(Simulation(seed=seeds[0], **asked).plan())
        return _tell(play(plan, every_step=True, placement=asked["placement"]))
    seconds = float("inf")
    if options.minutes is not None:
        seeds, seconds = range(seeds.start, _ENDLESS), 60 * options.minutes
    totals = run_seeds(seeds, jobs=options.jobs, seconds_max=seconds, **asked)
    _say(totals.report())
    if totals.failures and options.shrink:
        _shrink(Simulation(seed=min(totals.failures), **asked), options.out)
    return 1 if totals.failures else 0


_ENDLESS: Final = 1 << 40


def _shrink(simulation: Simulation, out: Path | None) -> None:
    plan = simulation.plan()
    parts = shrink(plan, simulation.placement)
    _say(f"\nseed {plan.seed}, reduced; again:\n  {simulation.command()} --keep '{parts}'")
    if out is not None:
        out.write_text(parts.applied_to(plan).to_json() + "\n", encoding="utf-8")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _tell(result: SimulationResult) -> int:
    _say(result.report())
    return 0 if result.ok else 1


if __name__ == "__main__":
    sys.exit(main())
