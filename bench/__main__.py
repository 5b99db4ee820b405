"""Figures of trio_dask, beside dask.distributed and a process pool.

The systems take turns. Ratios and processor time per task are what counts: absolute figures move
with the machine.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress as Bar, TextColumn

from bench import counting, report, single
from bench.cases import CASES
from bench.rounds import Rounds
from bench.systems import available

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.rounds import Progress

_COUNTED_TASKS = 20_000
_COUNTED_ALONE = 640
_WIDTH = 160


class PlainLines:
    """Progress for a file, or a log."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._done = 0

    def begun(self, what: str) -> None:
        """Lines are for what is done."""

    def done(self, what: str) -> None:
        self._done += 1
        print(f"{self._done}/{self._steps} {what}", file=sys.stderr, flush=True)


class MovingBar:
    """Progress for a terminal."""

    def __init__(self, bar: Bar, steps: int) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=steps)

    def begun(self, what: str) -> None:
        self._bar.update(self._task, description=what)

    def done(self, what: str) -> None:
        self._bar.print(what)
        self._bar.advance(self._task)


@contextmanager
def progress(steps: int) -> Iterator[Progress]:
    """Whatever suits stderr."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield PlainLines(steps)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Bar(*columns, console=console, transient=True) as bar:
        yield MovingBar(bar, steps)


def arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="cases:\n" + "\n".join(f"  {case.name:<10}{case.title}" for case in CASES.values()),
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="less of everything, and nothing long: under two minutes",
    )
    parser.add_argument(
        "--cases", nargs="+", choices=CASES, metavar="CASE",
        help="only these [all; quick: those that are not long]",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, help="medians are taken over so many [3; quick: 1]")
    parser.add_argument("--no-distributed", action="store_true", help="leave distributed out")
    parser.add_argument("--ray", action="store_true", help="Ray, too, which is to be installed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    asked = parser.parse_args()
    asked.rounds = asked.rounds or (1 if asked.quick else 3)
    asked.cases = asked.cases or [
        case.name for case in CASES.values() if not (asked.quick and case.long)
    ]
    return asked


def main() -> int:
    """Measure, compare, print."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    asked = arguments()
    cases = [case for case in CASES.values() if case.name in asked.cases]
    rounds = Rounds(
        available(distributed=not asked.no_distributed, ray=asked.ray),
        cases,
        asked.rounds,
        quick=asked.quick,
    )
    counted = counting.run(_COUNTED_TASKS)
    alone = single.run(_COUNTED_ALONE)
    counted |= {f"{name}, one task at a time": count for name, count in alone.items()}
    with progress(rounds.steps()) as told:
        measured = rounds.run(told)
    out = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    out.print(report.table(measured.medians(), cases))
    out.print("\n(n ×): trio_dask is so many times better")
    out.print(f"{report.machine(measured)}\n")
    out.print(report.counted_table(counted))
    if asked.json:
        settings = {"quick": asked.quick, "rounds": asked.rounds, "cases": asked.cases}
        content = report.as_json(measured, counted, settings)
        asked.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    for error in measured.errors:
        print("not measured: {system}, {case}: {error}".format_map(error), file=sys.stderr)
    return 1 if measured.errors else 0


if __name__ == "__main__":
    sys.exit(main())
