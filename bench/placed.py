"""How well work is placed, for real: the graphs of `puzzles` on eight processes, and beside them distributed's.

A task sleeps for as long as it is said to take, so that eight of them need no eight cores, and notes
where it was and when; its value is an array, of a tenth of the bytes it is said to have. From the notes of all tasks
follows what was moved, and held, whatever ran them:

    python -m bench.placed                                   # all, on what is installed
    python -m bench.placed --puzzles tree stencil --ways trio_dask
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.puzzles import PUZZLES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.puzzles import Puzzle

_WAYS: Final = {
    "trio_dask": ("trio_dask", {}),
    "distributed": ("distributed", {}),
    "queueing off": ("distributed", {"distributed.scheduler.worker-saturation": "inf"}),
}
#: A value has so many bytes of those that its puzzle says.
_BYTES_SHARE: Final = 0.1
_POLL_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Note:
    """Where a task ran, and when, in seconds of a clock that all processes share."""

    at: int
    place: int
    began_s: float
    ended_s: float


@dataclass(frozen=True, slots=True)
class Result:
    """How a puzzle was solved."""

    makespan_s: float
    bound_s: float
    moved: float  # of the bytes of all values
    peak: float  # the same: of those held at a time, copies included


def work(at: int, costs: tuple[float, int], slow: float, notes: str, *_inputs: Any) -> Any:
    """A task. The first process that begins one in a directory of notes is the slow one."""
    import numpy as np

    (seconds, nbytes), began_s = costs, time.monotonic()
    if slow > 1:
        mark = Path(notes, "slow")
        try:
            with mark.open("x") as file:
                file.write(str(os.getpid()))
        except FileExistsError:
            while not (first := mark.read_text()):
                time.sleep(_POLL_S)
            slow = slow if first == str(os.getpid()) else 1
    time.sleep(seconds * slow)
    value = np.ones(nbytes, np.uint8)
    note = json.dumps([at, os.getpid(), began_s, time.monotonic()])
    with Path(notes, f"{os.getpid()}.notes").open("a") as file:
        file.write(note + "\n")
    return value


def result(puzzle: Puzzle, notes: Iterable[Note], makespan_s: float) -> Result:
    """What follows from all notes."""
    of = {note.at: note for note in notes}
    assert len(of) == len(puzzle.pieces), "not every task was run"
    made, moved = sum(piece.nbytes for piece in puzzle.pieces), 0
    last_use = {at: note.ended_s for at, note in of.items()}
    came: dict[tuple[int, int], float] = {}  # a value in another place: since when
    for at, piece in enumerate(puzzle.pieces):
        for dep in piece.deps:
            last_use[dep] = max(last_use[dep], of[at].ended_s)
            if of[dep].place != of[at].place:
                key = dep, of[at].place
                came[key] = min(came.get(key, of[at].began_s), of[at].began_s)
    changes = [(since, dep) for (dep, _), since in came.items()]
    changes += [(note.ended_s, at) for at, note in of.items()]
    steps = [(when, puzzle.pieces[at].nbytes) for when, at in changes]
    steps += [(last_use[at], -puzzle.pieces[at].nbytes) for _, at in changes]
    held = peak = 0
    for _, nbytes in sorted(steps, key=lambda step: (step[0], -step[1])):
        held += nbytes
        peak = max(peak, held)
    moved = sum(puzzle.pieces[dep].nbytes for dep, _ in came)
    return Result(makespan_s, puzzle.bound_s(), moved / made, peak / made)


def solve(package: str, puzzle: Puzzle) -> Result:
    """Solve it on a cluster of its own."""
    module: Any = import_module(package)
    slow = max(puzzle.paces)
    workers = len(puzzle.paces) - len(puzzle.late)
    quiet: dict[str, Any] = {} if package == "trio_dask" else {"dashboard_address": ":0"}
    with (
        tempfile.TemporaryDirectory() as notes,
        module.LocalCluster(n_workers=workers, threads_per_worker=1, **quiet) as cluster,
        module.Client(cluster) as client,
    ):
        client.wait_for_workers(workers)
        began_s = time.monotonic()
        came_s: list[float] = []
        helper = threading.Thread(target=_come_late, args=(cluster, client, puzzle, came_s))
        if puzzle.late:
            helper.start()
        futures: list[Any] = []
        needed = {dep for piece in puzzle.pieces for dep in piece.deps}
        for at, piece in enumerate(puzzle.pieces):
            costs = piece.seconds, int(piece.nbytes * _BYTES_SHARE)
            inputs = (futures[dep] for dep in piece.deps)
            futures.append(client.submit(work, at, costs, slow, notes, *inputs, pure=False))
        wanted = [each for at, each in enumerate(futures) if at not in needed]
        del futures
        module.wait(wanted)
        makespan_s = time.monotonic() - began_s
        if puzzle.late:
            helper.join()
            puzzle = replace(puzzle, late=dict.fromkeys(puzzle.late, came_s[0] - began_s))
        lines = [
            line for path in Path(notes).glob("*.notes") for line in path.read_text().splitlines()
        ]
        return result(puzzle, (Note(*json.loads(line)) for line in lines), makespan_s)


def _come_late(cluster: Any, client: Any, puzzle: Puzzle, came_s: list[float]) -> None:
    time.sleep(max(puzzle.late.values()))
    cluster.scale(len(puzzle.paces))
    client.wait_for_workers(len(puzzle.paces))
    came_s.append(time.monotonic())


def main() -> None:
    """Print a line for each puzzle and way, in turns."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.placed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    ways = [way for way, (package, _) in _WAYS.items() if importlib.util.find_spec(package)]
    parser.add_argument("--puzzles", nargs="+", choices=PUZZLES, default=[*PUZZLES])
    parser.add_argument("--ways", nargs="+", choices=ways, default=ways)
    chosen = parser.parse_args()
    print("| | | times the bound | moved, of all bytes | held at most, of all bytes |")
    print("|---|---|---|---|---|")
    for name in chosen.puzzles:
        for way in chosen.ways:
            package, settings = _WAYS[way]
            if settings:
                import_module("dask").config.set(settings)
            elif package == "distributed":
                import_module("dask").config.set({"distributed.scheduler.worker-saturation": 1.1})
            out = solve(package, PUZZLES[name]())
            print(
                f"| {name} | {way} | {out.makespan_s / out.bound_s:.2f} "
                f"| {100 * out.moved:.0f} % | {100 * out.peak:.0f} % |",
                flush=True,
            )


if __name__ == "__main__":
    main()
