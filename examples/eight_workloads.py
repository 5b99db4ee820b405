"""Realistic jobs on three schedulers, threads, trio_dask and dask.distributed, in one run.

    python examples/eight_workloads.py                    # all of it, and a table
    python examples/eight_workloads.py --jobs sweep       # one job
    python examples/eight_workloads.py --small            # in a few seconds

Those with Dask's collections are in `collections_workloads.py`, the others, of programs that submit
by themselves, in `program_workloads.py` and `web_service.py`. Each gives a checksum, which has to
be the same everywhere. Schedulers take turns, so that what else the machine does is the same for
all. Each job runs twice on each of them, and up to ten times if it is short; the best time counts,
without that of starting the cluster.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import collections_workloads
import dask
from collections_workloads import JOBS, make_parquet, scheduler
from program_workloads import PROGRAMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

RUNS: Final = 2
#: What is short is disturbed most, so it is tried again for so long, and at most so often.
_TRIED_S: Final = 2.0
_RUNS_MAX: Final = 10
ALL: Final = (
    "groupby", "climatology_xarray", "overlap", "kmeans", "wordcount", "sweep", "search", "service",
)  # fmt: skip


@contextmanager
def turn(where: str, client: Any) -> Iterator[None]:
    """While it lasts, Dask computes there, and shuffles as it does there by default."""
    way = "p2p" if where == "distributed" else "tasks"
    with dask.config.set({"scheduler": client or where, "dataframe.shuffle.method": way}):
        yield


def measure(
    names: Sequence[str], schedulers: Sequence[str], folder: Path, *, small: bool, runs: int = RUNS
) -> dict[str, dict[str, tuple[float, set[float]]]]:
    """By job and scheduler, the best time, and all checksums there were."""
    found: dict[str, dict[str, tuple[float, set[float]]]] = {}
    with ExitStack() as stack:
        clients = {where: stack.enter_context(scheduler(where)) for where in schedulers}
        for name in names:
            times: dict[str, list[float]] = {where: [] for where in schedulers}
            sums: dict[str, set[float]] = {where: set() for where in schedulers}
            while any(_goes_on(took, runs) for took in times.values()):
                for where, client in clients.items():
                    job: Callable[[], float] = (
                        partial(PROGRAMS[name], where, client, small=small)
                        if name in PROGRAMS
                        else partial(JOBS[name], folder)
                    )
                    with turn(where, client):
                        began = time.perf_counter()
                        sums[where].add(job())
                        times[where].append(time.perf_counter() - began)
            found[name] = {where: (min(times[where]), sums[where]) for where in schedulers}
    return found


def _goes_on(took: Sequence[float], runs: int) -> bool:
    """Whether a job is to be run again after it took so long."""
    return len(took) < runs or (runs > 1 and sum(took) < _TRIED_S and len(took) < _RUNS_MAX)


def show(found: dict[str, dict[str, Any]], schedulers: Sequence[str]) -> bool:
    """A table. False if a checksum differs."""
    print(f"{'':20}" + "".join(f"{each:>14}" for each in schedulers) + "   checksum")
    good = True
    for name, row in found.items():
        sums = set().union(*(each[1] for each in row.values()))
        times = "".join(f"{row[each][0]:13.2f}s" for each in schedulers)
        print(f"{name:20}{times}   {', '.join(map(str, sorted(sums)))}")
        good = good and len(sums) == 1
    return good


def main() -> int:
    """As the arguments say."""
    known = ["threads", "trio_dask"]
    if importlib.util.find_spec("distributed") is not None:
        known.append("distributed")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--jobs", nargs="+", choices=sorted({*JOBS, *PROGRAMS}), default=ALL)
    parser.add_argument("--schedulers", nargs="+", choices=known, default=known)
    parser.add_argument("--small", action="store_true", help="little to do, to see that it works")
    options = parser.parse_args()
    collections_workloads.SMALL = options.small
    with tempfile.TemporaryDirectory() as folder:
        make_parquet(Path(folder))
        found = measure(options.jobs, options.schedulers, Path(folder), small=options.small)
    return 0 if show(found, options.schedulers) else 1


if __name__ == "__main__":
    sys.exit(main())
