"""What a change costs: ``python -m bench.versus ../before``, where that is another checkout.

A cluster of that one and one of this run at the same time, and take turns, so that whatever else the
machine does meets both alike. Of each pair of turns the ratio is taken, and of those the median:
differences of 3 % are seen so where two runs one after the other would differ by 30 %.
"""

from __future__ import annotations

import argparse
import json
import operator
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

ROOT: Final = Path(__file__).parents[1]
#: What makes a process's command line its own.
_ROLES: Final = {"scheduler": "scheduler", "worker": "worker", "trio_dask.runner": "runner"}
#: Until everything is released, and whoever has something to put in order has done it.
_REST_S: Final = 0.3

Figures = dict[str, float]


class Side:
    """A cluster of one checkout, and its client, in a process of their own."""

    def __init__(self, checkout: Path, case: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--child", case],
            env={**os.environ, "PYTHONPATH": str(checkout)},
            cwd=checkout,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def turn(self, count: int) -> Figures:
        """Do it so many times."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        said = self._process.stdout.readline()
        if not said:
            sys.exit("one of the two has ended; what it said is above")
        figures: Figures = json.loads(said)
        return figures

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def compared(before: list[Figures], after: list[Figures]) -> list[str]:
    """A line for each figure: both medians, and the median of the ratios.

    >>> compared([{"µs": 2.0}, {"µs": 4.0}], [{"µs": 3.0}, {"µs": 4.0}])
    ['µs                          3.00      3.50   1.250']
    """
    lines = []
    for name in before[0]:
        pairs = [(one[name], two[name]) for one, two in zip(before, after, strict=True)]
        ratio = median(two / one if one else 1.0 for one, two in pairs)
        old, new = median(one for one, _ in pairs), median(two for _, two in pairs)
        lines.append(f"{name:<22}{old:>10.2f}{new:>10.2f}{ratio:>8.3f}")
    return lines


# ---------------------------------------------------------------- in a process of its own


def _processes() -> dict[int, str]:
    import psutil

    me = psutil.Process()
    found = {me.pid: "client"}
    for each in me.children(recursive=True):
        line = each.cmdline()
        found[each.pid] = next((role for word, role in _ROLES.items() if word in line), "other")
    return found


def _seconds(pid: int) -> float:
    """Of processor time, to the nanosecond."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        total += int((thread / "schedstat").read_text(encoding="ascii").split()[0])
    return total / 1e9


def _answer(case: str) -> None:
    from time import sleep

    from trio_dask import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster) as client:
        processes = _processes()
        for line in sys.stdin:
            count = int(line)
            before = {pid: _seconds(pid) for pid in processes}
            began = perf_counter()
            figures = _CASES[case](client, count)
            figures = {"µs": 1e6 * (perf_counter() - began) / count} | figures
            sleep(_REST_S)
            used: Figures = {}
            for pid, role in processes.items():
                used[role] = used.get(role, 0.0) + 1e6 * (_seconds(pid) - before[pid]) / count
            figures |= {f"{role} CPU µs": each for role, each in sorted(used.items())}
            print(json.dumps(figures | {"CPU µs": sum(used.values())}), flush=True)


def _map(client: object, count: int) -> Figures:
    values = client.gather(client.map(operator.neg, range(count)))  # type: ignore[attr-defined]
    assert values[-1] == 1 - count
    return {}


def _latency(client: object, count: int) -> Figures:
    took = []
    for number in range(count):
        began = perf_counter()
        value = client.submit(operator.neg, number).result()  # type: ignore[attr-defined]
        took.append(perf_counter() - began)
        assert value == -number
    return {"p50 µs": 1e6 * median(took), "least µs": 1e6 * min(took)}


_CASES: Final = {"map": _map, "latency": _latency}
_COUNTS: Final = {"map": 20_000, "latency": 300}


def main() -> None:
    """Let them take turns, and print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.versus",
        description=__doc__.split("\n\n", 1)[1] if __doc__ else None,
        epilog="a checkout: git worktree add --detach ../before HEAD~1",
    )
    parser.add_argument("before", type=Path, nargs="?", help="the other checkout")
    parser.add_argument("--case", choices=_CASES, default="map")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--count", type=int, help="tasks a turn")
    parser.add_argument("--child", choices=_CASES, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        _answer(asked.child)
        return
    if asked.before is None or not (asked.before / "trio_dask").is_dir():
        parser.error(f"{asked.before} is no checkout: it has no folder trio_dask")
    count = asked.count or _COUNTS[asked.case]
    sides = Side(asked.before.resolve(), asked.case), Side(ROOT, asked.case)
    turns: tuple[list[Figures], list[Figures]] = [], []
    try:
        for side in sides:
            side.turn(count)  # what only the first ones cost
        for number in range(asked.rounds):
            order = (0, 1) if number % 2 else (1, 0)
            for at in order:
                turns[at].append(sides[at].turn(count))
    finally:
        for side in sides:
            side.close()
    print(f"{asked.case}, {asked.rounds} turns of {count:,} each: before, after, after / before")
    print(*compared(*turns), sep="\n")


if __name__ == "__main__":
    main()
