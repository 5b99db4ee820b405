"""``python -m bench``: figures of trio_dask, beside dask.distributed where it is installed.

The systems take turns, so that a machine whose speed drifts is the same for all.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import trio

from bench import counting
from bench.clusters import distributed, ours
from bench.measures import (
    distributed_latency,
    distributed_map,
    median,
    our_latency,
    our_map,
    our_memory,
)

#: distributed is given fewer tasks: it takes as long for them.
DISTRIBUTED_TASKS = 3_000


async def _ours(tasks: int, trips: int) -> dict[str, dict[str, float]]:
    async with ours() as client:
        await our_map(client, 1_000)
        return {
            f"map of {tasks:,} no-ops": await our_map(client, tasks),
            "round trip": await our_latency(client, trips),
        }


async def _memory(tasks: int) -> dict[str, dict[str, float]]:
    async with ours() as client:
        return {f"{tasks:,} tasks at once": await our_memory(client, tasks)}


def _distributed(trips: int, *, queueing: bool) -> dict[str, dict[str, float]]:
    with distributed(queueing=queueing) as client:
        distributed_map(client, 300)
        return {
            f"map of {DISTRIBUTED_TASKS:,} no-ops": distributed_map(client, DISTRIBUTED_TASKS),
            "round trip": distributed_latency(client, trips),
        }


def _merge(rounds: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    first = rounds[0]
    return {
        case: {figure: median([each[case][figure] for each in rounds]) for figure in figures}
        for case, figures in first.items()
    }


def main() -> None:
    """Measure, print, and write JSON if asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--tasks", type=int, default=50_000, help="no-ops in the map")
    parser.add_argument("--rounds", type=int, default=3, help="medians are taken over so many")
    parser.add_argument("--trips", type=int, default=1_000, help="round trips")
    parser.add_argument("--memory", type=int, default=0, help="also map so many tasks at once")
    parser.add_argument("--no-distributed", action="store_true", help="trio_dask only")
    parser.add_argument("--json", help="write the figures to this file")
    asked = parser.parse_args()
    figures: dict[str, Any] = {"counted": counting.run(20_000)}
    beside = not asked.no_distributed and importlib.util.find_spec("distributed") is not None
    rounds: dict[str, list[dict[str, dict[str, float]]]] = {"trio_dask": []}
    for number in range(asked.rounds):
        print(f"round {number + 1} of {asked.rounds} …", file=sys.stderr)
        rounds["trio_dask"].append(trio.run(_ours, asked.tasks, asked.trips))
        if beside:
            for name, queueing in (("distributed", True), ("distributed, queueing off", False)):
                rounds.setdefault(name, []).append(_distributed(100, queueing=queueing))
    for name, each in rounds.items():
        figures[name] = _merge(each)
    if asked.memory:
        figures["trio_dask"].update(trio.run(_memory, asked.memory))
    for system, cases in figures.items():
        print(system)
        for case, values in cases.items():
            if isinstance(values, dict):
                text = ", ".join(f"{name} {value:,.2f}" for name, value in values.items())
                print(f"  {case}: {text}")
            else:
                print(f"  {case}: {values:.3f}")
    if asked.json:
        Path(asked.json).write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
