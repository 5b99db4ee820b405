"""How the cost of a task grows with all there is, and how long the scheduler is deaf.

In processor time of a scheduler whose workers are played; see `bench.crowd`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench import blocks, growth
from bench.systems import PROCESSES

if TYPE_CHECKING:
    from bench.crowd import Crowd
    from bench.turn import Turn

_CROWD: Final = 1_000
_SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)


def measure_crowd(turn: Turn) -> dict[str, float]:
    """What a task costs the scheduler of very many workers, against that of two."""
    tasks = turn.scale.many // 5
    few, many = (_cost(growth.grown("plain", tasks, each), tasks) for each in (PROCESSES, _CROWD))
    return {
        "tasks": float(tasks),
        f"{PROCESSES} workers CPU µs/task": few,
        f"{_CROWD:,} workers CPU µs/task": many,
        f"cost against {PROCESSES} workers": many / few,
    }


def measure_growth(turn: Turn) -> dict[str, float]:
    """Maps of all sizes; and tasks of all kinds with one worker, and with very many."""
    figures = {}
    for size in _SIZES:
        if size <= turn.scale.many:
            figures[f"{size:,} plain, CPU µs/task"] = _cost(growth.grown("plain", size, 1), size)
    for shape in growth.SHAPES:
        for workers in (1, _CROWD) if shape != "one chain" else (1,):
            crowd = growth.grown(shape, turn.scale.grown, workers)
            name = f"{shape}, {workers:,} workers" if workers > 1 else f"{shape}, 1 worker"
            figures[f"{name}, CPU µs/task"] = _cost(crowd, turn.scale.grown)
            figures[f"{name}, longest turn, CPU ms"] = crowd.longest_s * 1e3
    return figures


def measure_blocks(turn: Turn) -> dict[str, float]:
    """What concerns very many tasks at once."""
    figures = {"tasks": float(turn.scale.at_once)}
    for name, play in blocks.BLOCKS.items():
        crowd = play(turn.scale.at_once)
        figures[f"{name}, CPU µs/task"] = _cost(crowd, turn.scale.at_once)
        figures[f"{name}, longest turn, CPU ms"] = crowd.longest_s * 1e3
    return figures


def _cost(crowd: Crowd, tasks: int) -> float:
    return crowd.seconds / tasks * 1e6
