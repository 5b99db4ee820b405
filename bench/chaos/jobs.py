"""Work whose results and side effects are known: graphs of tasks that leave a line for each run."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import random
    from pathlib import Path

_PRIME: Final = (1 << 61) - 1


@dataclass(frozen=True, slots=True)
class Job:
    """A task: what it adds to its inputs, how long it takes, how large its value is."""

    label: int
    inputs: tuple[int, ...]
    seconds: float
    size: int  # of the array that it returns; 0: a number


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a task that came to its end, as it noted it."""

    label: int
    pid: int
    worker_pid: int
    began: float
    ended: float


def run(job: Job, notes: str, *inputs: Any) -> Any:
    """The body of a task."""
    began = time.monotonic()
    time.sleep(job.seconds)
    total = value_of(
        job, [int(each[0]) if isinstance(each, np.ndarray) else each for each in inputs]
    )
    line = f"{job.label} {os.getpid()} {os.getppid()} {began:.6f} {time.monotonic():.6f}\n"
    fd = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, line.encode())  # one call: lines of several processes do not mix
    finally:
        os.close(fd)
    return np.full(job.size, total) if job.size else total


def value_of(job: Job, inputs: list[int]) -> int:
    """What it returns, or what its array is full of."""
    total = job.label * 2_654_435_761
    for each in inputs:
        total = (total * 31 + each) % _PRIME
    return total % _PRIME


def graph(chance: random.Random, first: int) -> list[Job]:
    """Some jobs, each after its inputs: wide, deep, or mixed."""
    count, shape = chance.choice((50, 150, 300)), chance.choice(("wide", "deep", "mixed"))
    jobs: list[Job] = []
    for number in range(count):
        reach = {"wide": 0, "deep": 1, "mixed": chance.choice((0, 1, 2, 3))}[shape]
        near = 1 if shape == "deep" else 40
        known = [job.label for job in jobs[-near:]]
        jobs.append(
            Job(
                label=first + number,
                inputs=tuple(chance.sample(known, min(reach, len(known)))),
                seconds=chance.choice((0.0, 0.0, 0.002, 0.01, 0.03)),
                size=chance.choice((0, 0, 0, 2_000, 50_000)),
            )
        )
    return jobs


def expected(jobs: list[Job]) -> dict[int, int]:
    """What each comes to."""
    found: dict[int, int] = {}
    for job in jobs:
        found[job.label] = value_of(job, [found[each] for each in job.inputs])
    return found


def runs_in(notes: Path) -> dict[int, list[Run]]:
    """All runs that ended, by label, in the order of their ends."""
    found: dict[int, list[Run]] = defaultdict(list)
    for line in notes.read_text().splitlines() if notes.exists() else ():
        label, pid, worker, began, ended = line.split()
        found[int(label)].append(Run(int(label), int(pid), int(worker), float(began), float(ended)))
    return found
