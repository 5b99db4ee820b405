"""Whether what happened can be explained: each task ran once more for each death that cost its value."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bench.chaos.jobs import Run


@dataclass(frozen=True, slots=True)
class Death:
    """A process that was killed, or let go, at a time."""

    pid: int
    at: float
    why: str


def unexplained(runs: Mapping[int, list[Run]], deaths: Iterable[Death]) -> list[str]:
    """Runs after which a task ran again though nothing that it left behind had died."""
    died = {death.pid: death.at for death in deaths}
    found = []
    for label, all_runs in sorted(runs.items()):
        ordered = sorted(all_runs, key=lambda run: run.ended)
        for run, following in itertools.pairwise(ordered):
            lost_at = min(died.get(run.pid, _NEVER), died.get(run.worker_pid, _NEVER))
            if lost_at > following.ended:
                found.append(
                    f"task {label} ran in process {run.pid} of worker process {run.worker_pid}, and again "
                    f"{following.ended - run.ended:.3f} s later in {following.pid}, "
                    f"but neither process had died"
                )
    return found


_NEVER = float("inf")


def missing(labels: Iterable[int], runs: Mapping[int, list[Run]]) -> list[str]:
    """Tasks with a result that never ran."""
    return [f"task {label} has a result, and never ran" for label in labels if not runs.get(label)]
