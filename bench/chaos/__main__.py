"""``python -m bench.chaos``: real processes are killed and stopped while they work, for as long as you like."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import trio

from bench.chaos import blows as kinds
from bench.chaos.play import Report, play


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    made.add_argument("--minutes", type=float, default=10.0)
    made.add_argument("--seed", type=int, help="of the graphs and of what is done to whom")
    made.add_argument(
        "--workers", type=int, default=3, help="worker processes, of two workers each"
    )
    made.add_argument("--spare", action="append", default=[], choices=list(kinds.WEIGHTS))
    return made


def main() -> int:
    """The exit code: 1 if anything went wrong."""
    options = parser().parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    sys.stdout.write(f"seed {seed}\n")
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    until = time.monotonic() + 60 * options.minutes

    def say(report: Report) -> None:
        sys.stdout.write(f"{report.line()}\n")
        sys.stdout.flush()

    report = trio.run(
        lambda: play(
            seed, directory, options.workers, until, spared=frozenset(options.spare), say=say
        )
    )
    sys.stdout.write("\n".join([report.line(), *report.violations, f"logs: {directory}", ""]))
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
