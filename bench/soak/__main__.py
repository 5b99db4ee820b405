"""``python -m bench.soak``: clusters live and end a hundred times; nothing stays, no end is slow."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from typing import TYPE_CHECKING

from bench.soak.cycles import KINDS
from bench.soak.leftovers import MARK, new, processes, traces

if TYPE_CHECKING:
    from collections.abc import Callable

_NAMES = {kind.__name__.replace("_", "-"): kind for kind in KINDS}


def soak(
    kinds: list[str], cycles: int, slack: float, say: Callable[[str], None]
) -> tuple[dict[str, list[float]], list[str]]:
    """Cycles of each of these kinds in turn: how long each end took, and what was wrong.

    The first cycle of each is not looked at: it loads what stays loaded.
    """
    ends: dict[str, list[float]] = {name: [] for name in kinds}
    wrong: list[str] = []
    for cycle in range(cycles + 1):
        for name in kinds:
            kind, word = _NAMES[name], f"{os.getpid()}-{cycle}-{name}"
            os.environ[MARK] = word
            before = traces()
            took, found = kind(word)
            found += processes(word)
            if not cycle:
                continue
            found += new(before, traces())
            ends[name].append(took)
            if took > KINDS[kind] * slack:
                found.append(f"the end took {took:.2f} s")
            wrong += [f"cycle {cycle}, {name}: {each}" for each in found]
        if cycle and cycle % 10 == 0:
            say(f"{cycle} cycles, {len(wrong)} faults")
    return ends, wrong


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 1 if anything stayed, was said, or took too long."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--cycles", type=int, default=100, help="of each kind")
    parser.add_argument("--kind", action="append", choices=list(_NAMES))
    parser.add_argument(
        "--slack", type=float, default=1.0, help="ends may take so many times longer"
    )
    options = parser.parse_args(arguments)

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        # Nobody else's files come and go there.
        tempfile.tempdir = os.environ["TMPDIR"] = directory
        ends, wrong = soak(options.kind or list(_NAMES), options.cycles, options.slack, say)
        tempfile.tempdir = None
        del os.environ["TMPDIR"]
    for name, took in ends.items():
        say(
            f"{name}: {len(took)} ends, median {statistics.median(took):.2f} s, "
            f"longest {max(took):.2f} s (at most {KINDS[_NAMES[name]]:g} s)"
        )
    for each in wrong:
        say(each)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
