"""Jobs with Dask's collections, the same on three schedulers: threads, trio_dask, dask.distributed.

    python examples/collections_workloads.py                    # all of it, and a table
    python examples/collections_workloads.py --jobs wordcount   # one job
    python examples/collections_workloads.py --schedulers threads trio_dask

Each job gives a checksum, which has to be the same everywhere. Each runs twice on each
scheduler; the better time counts, without that of starting the cluster.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.delayed import delayed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORKERS: Final = 2
RUNS: Final = 2
#: Whether jobs are to have little to do, to see that they work.
SMALL = False


def make_parquet(folder: Path) -> None:
    """A table of sales, in files."""
    files, rows = (3, 1_000) if SMALL else (8, 200_000)
    chance = np.random.default_rng(7)
    for number in range(files):
        pd.DataFrame(
            {
                "shop": chance.integers(0, 50, rows),
                "item": chance.integers(0, 1000, rows),
                "price": chance.integers(1, 10_000, rows) / 100,
            }
        ).to_parquet(folder / f"sales-{number}.parquet")


def groupby(folder: Path) -> float:
    """Totals and means by shop, over parquet files."""
    sales = dd.read_parquet(folder)
    found = sales.groupby("shop").price.agg(["sum", "mean", "count"]).compute()
    return float(found["sum"].round(2).sum() + found["count"].sum())


def merge(folder: Path) -> float:
    """A shuffle: prices joined with a table of items, by item."""
    sales = dd.read_parquet(folder)[["item", "price"]].partitions[:2]
    items = dd.from_pandas(
        pd.DataFrame({"item": range(1000), "weight": [row % 13 for row in range(1000)]}),
        npartitions=3,
    )
    joined = sales.merge(items, on="item", how="inner", broadcast=False)
    return float((joined.price * joined.weight).sum().compute().round(2))


def climatology(_: Path) -> float:
    """Deviations from the mean of each month, of twenty years of a small globe."""
    years, rows, columns = (2, 6, 12) if SMALL else (20, 60, 120)
    days = da.random.default_rng(3).normal(
        size=(365 * years, rows, columns), chunks=(365, rows, columns)
    )
    months = days.reshape(years, 365, rows, columns)[:, :360]
    months = months.reshape(years, 12, 30, rows, columns)
    means = months.mean(axis=(0, 2), keepdims=True)
    return float(np.round((months - means).std().compute(), 6))


def overlap(_: Path) -> float:
    """A blur of a large image, whose chunks look at their neighbours."""
    size = 400 if SMALL else 4000
    image = da.random.default_rng(5).integers(0, 256, size=(size, size), chunks=size // 8)
    image = image.astype("f4")

    def blur(block: Any) -> Any:
        out = block.copy()
        for axis in (0, 1):
            out = (np.roll(out, 1, axis) + out + np.roll(out, -1, axis)) / 3
        return out

    return float(np.round(image.map_overlap(blur, depth=2, boundary="reflect").mean().compute(), 3))


def kmeans(_: Path) -> float:
    """Ten steps of Lloyd's algorithm, on points that stay on the cluster."""
    count = 8_000 if SMALL else 400_000
    points = da.random.default_rng(11).normal(size=(count, 4), chunks=(count // 8, 4)).persist()
    centers = np.linspace(-1, 1, 8)[:, None] * np.ones(4)

    def part(block: Any, centers: Any) -> Any:
        nearest = ((block[:, None] - centers[None]) ** 2).sum(axis=2).argmin(axis=1)
        sums = np.stack([block[nearest == row].sum(axis=0) for row in range(len(centers))])
        return sums, np.bincount(nearest, minlength=len(centers))

    for _step in range(2 if SMALL else 10):
        parts = [delayed(part)(block, centers) for block in points.to_delayed().ravel()]
        found = dask.compute(*parts)
        sums, counts = sum(each[0] for each in found), sum(each[1] for each in found)
        centers = sums / np.maximum(counts, 1)[:, None]
    return float(np.round(centers.sum(), 6))


def wordcount(_: Path) -> float:
    """How often words appear in many short lines."""
    lines = db.from_sequence(
        (f"word{n % 97} word{n % 31} and word{n % 7}" for n in range(600 if SMALL else 60_000)),
        npartitions=4 if SMALL else 16,
    )
    counts = dict(lines.str.split().flatten().frequencies().compute())
    return float(sum(len(word) * count for word, count in counts.items()))


def many_tasks(_: Path) -> float:
    """Ten thousand chunks with next to nothing to do."""
    size = 100 if SMALL else 1000
    return float(da.ones((size, size), chunks=(10, 10)).map_blocks(lambda b: b + 1).sum().compute())


JOBS: Final[dict[str, Callable[[Path], float]]] = {
    job.__name__: job
    for job in (groupby, merge, climatology, overlap, kmeans, wordcount, many_tasks)
}


@contextmanager
def scheduler(name: str) -> Iterator[Any]:
    """While it lasts, Dask computes with this one, which is given: None for threads."""
    if name == "threads":
        with dask.config.set({"scheduler": "threads", "dataframe.shuffle.method": "tasks"}):
            yield None
        return
    options: dict[str, Any] = {"n_workers": WORKERS, "threads_per_worker": 1}
    if name == "trio_dask":
        from trio_dask import Client
    else:
        from distributed import Client

        options["dashboard_address"] = None
    with Client(**options) as client:
        client.wait_for_workers(WORKERS)
        yield client


def measure(names: list[str], schedulers: list[str], folder: Path) -> bool:
    """Run all, and print a table. False if a checksum differs."""
    times: dict[str, dict[str, float]] = {name: {} for name in names}
    sums: dict[str, set[float]] = {name: set() for name in names}
    for each in schedulers:
        with scheduler(each):
            for name in names:
                for _ in range(RUNS):
                    began = time.perf_counter()
                    sums[name].add(JOBS[name](folder))
                    took = time.perf_counter() - began
                    times[name][each] = min(took, times[name].get(each, took))
    print(f"{'':14}" + "".join(f"{each:>14}" for each in schedulers) + "   checksum")
    for name in names:
        row = "".join(f"{times[name][each]:13.2f}s" for each in schedulers)
        print(f"{name:14}{row}   {', '.join(map(str, sorted(sums[name])))}")
    return all(len(found) == 1 for found in sums.values())


def main() -> int:
    """As the arguments say."""
    known = ["threads", "trio_dask"]
    if importlib.util.find_spec("distributed") is not None:
        known.append("distributed")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--schedulers", nargs="+", choices=known, default=known)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_parquet(Path(folder))
        return 0 if measure(options.jobs, options.schedulers, Path(folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
