"""Shuffles by tasks on trio_dask, and peer to peer on dask.distributed, in one run.

    python examples/shuffles.py                              # 32 parts of 10 MB
    python examples/shuffles.py --parts 100 --memory 1GiB    # a hundred, with less memory
    python examples/shuffles.py --jobs rechunk --ways trio_dask p2p

`shuffle`, `set_index` and `merge` of data frames and `rechunk` of an array, each from so many
parts into as many, of which every one has something of every other. The ways are `trio_dask`,
which is Dask's shuffle by tasks, and with dask.distributed `tasks` and `p2p`. Every way has two
worker processes with one thread each, started anew for each job. A checksum says whether everything arrived
where it belongs. The time is that of the second of two runs, `memory` the most that the workers'
processes had at a time, shared memory of the machine included (Linux only).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: Bytes of a row: an index, a key, and three values.
_ROW_BYTES: Final = 40
_KEYS: Final = 50_000
_WAYS: Final = {"trio_dask": "tasks", "tasks": "tasks", "p2p": "p2p"}
_LOOKED_AT_S: Final = 0.1
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_META: Final = pd.DataFrame({"rows": [0], "keys": [0], "total": [0]})


# ------------------------------------------------------------ jobs


def make_part(number: int, rows: int) -> pd.DataFrame:
    """Rows with keys in no order, and values that add up exactly."""
    chance = np.random.default_rng(number)
    columns = {name: chance.integers(0, 1000, rows) for name in ("a", "b", "c")}
    return pd.DataFrame({"key": chance.integers(0, _KEYS, rows), **columns})


def sum_part(part: pd.DataFrame) -> pd.DataFrame:
    """How many rows and keys are here, and what their columns add up to."""
    keys = part.index if "key" not in part.columns else part["key"]
    total = int(part.sum().sum()) + int(keys.to_numpy() @ part["a"].to_numpy())
    return pd.DataFrame({"rows": [len(part)], "keys": [keys.nunique()], "total": [total]})


def make_chunk(rows: int, columns: int, block_info: Any = None) -> Any:
    """Numbers that tell where they are."""
    (first, _), _ = block_info[None]["array-location"]
    return (np.arange(first, first + rows) * 31)[:, None] + np.arange(columns)[None, :] * 7


def sum_chunk(chunk: Any) -> Any:
    """One number for a chunk in which no row can be in another's place."""
    return np.array([[(chunk * np.arange(1, len(chunk) + 1)[:, None]).sum()]])


def frame(parts: int, part_bytes: int) -> Any:
    """So many parts, made where they are needed."""
    rows = max(1, part_bytes // _ROW_BYTES)
    return dd.from_map(make_part, range(parts), rows=rows, meta=make_part(0, 1))


def _summed(shuffled: Any) -> int:
    """The same for all who put every key into one part."""
    sums = shuffled.map_partitions(sum_part, meta=_META).compute()
    return int(sums["total"].sum()) + int(sums["keys"].sum()) + int(sums["rows"].sum())


def shuffle(parts: int, part_bytes: int) -> int:
    """Rows of a key into one part."""
    return _summed(frame(parts, part_bytes).shuffle("key"))


def set_index(parts: int, part_bytes: int) -> int:
    """Sorted by key, with bounds that are known, so that only the shuffle is measured."""
    bounds = [each * _KEYS // parts for each in range(parts)] + [_KEYS]
    return _summed(frame(parts, part_bytes).set_index("key", divisions=bounds))


def merge(parts: int, part_bytes: int) -> int:
    """Two frames of so many parts, both too large for every worker to have them all."""
    other = dd.from_map(make_items, range(parts), parts=parts, meta=make_items(0, parts))
    return _summed(frame(parts, part_bytes).merge(other, on="key", broadcast=False))


def make_items(number: int, parts: int) -> pd.DataFrame:
    """Every key is in one of the parts, once."""
    keys = np.arange(number, _KEYS, parts)
    return pd.DataFrame({"key": keys, "d": keys % 97})


def rechunk(parts: int, part_bytes: int) -> int:
    """From rows to columns."""
    side = max(1, part_bytes // (8 * 10 * parts))
    rows, columns = 10 * parts, side * parts
    rows_each = rows // parts
    x = da.map_blocks(
        make_chunk, rows_each, columns, chunks=((rows_each,) * parts, (columns,)), dtype="int64"
    )
    turned = x.rechunk((rows, side))
    sums = turned.map_blocks(sum_chunk, chunks=(1, 1), dtype="int64").compute()
    return int((sums[0] * np.arange(1, parts + 1)).sum())


JOBS: Final[dict[str, Callable[[int, int], int]]] = {
    "shuffle": shuffle, "set_index": set_index, "merge": merge, "rechunk": rechunk,
}  # fmt: skip


# ------------------------------------------------------------ measuring


@contextmanager
def cluster(way: str, memory: str) -> Iterator[Any]:
    """A client, by whose workers Dask computes."""
    module: Any
    if way == "trio_dask":
        import trio_dask as module
    else:
        import distributed as module
    options: dict[str, Any] = (
        {"dashboard_address": None} if way == "trio_dask" else {"dashboard_address": ":0"}
    )
    methods = {"dataframe.shuffle.method": _WAYS[way], "array.rechunk.method": _WAYS[way]}
    with (
        module.LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit=memory, **options
        ) as made,
        module.Client(made) as client,
        dask.config.set(methods),
    ):
        yield client


def held_bytes() -> int:
    """What the processes below this one have of their own, and all shared memory there is.

    Looked at in tables that cost nothing to make: adding up their mappings would hold them up.
    """
    lines = Path("/proc/meminfo").read_text().splitlines()
    total = sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Shmem:"))
    waiting = _children(os.getpid())
    while waiting:
        pid = waiting.pop()
        waiting += _children(pid)
        try:
            _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
        except OSError:  # it has ended
            continue
        total += (int(resident) - int(shared)) * _PAGE_BYTES
    return total


def _children(pid: int) -> list[int]:
    found = list[int]()
    for place in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, place.read_text().split())
        except OSError:
            continue
    return found


@contextmanager
def watched() -> Iterator[list[int]]:
    """The most memory above what there was before, as the only item of a list."""
    before, most, over = held_bytes(), [0], threading.Event()

    def look() -> None:
        while not over.wait(_LOOKED_AT_S):
            most[0] = max(most[0], held_bytes() - before)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def measure(job: Callable[[], int], way: str, memory: str) -> tuple[float, int, set[int]]:
    """Seconds, bytes of memory, checksums."""
    took, sums = 0.0, set[int]()
    with watched() as most, cluster(way, memory):
        for _ in range(2):
            began = time.perf_counter()
            sums.add(job())
            took = time.perf_counter() - began
    return took, most[0], sums


def main(arguments: Sequence[str] | None = None) -> int:
    """As the arguments say; 1 if results differ."""
    ways = [
        each for each in _WAYS if each == "trio_dask" or importlib.util.find_spec("distributed")
    ]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--ways", nargs="+", choices=ways, default=ways)
    parser.add_argument("--parts", type=int, default=32)
    parser.add_argument("--part-bytes", type=int, default=10_000_000)
    parser.add_argument("--memory", default="4GiB", help="the limit of each of the two workers")
    options = parser.parse_args(arguments)
    print(f"{'':12}" + "".join(f"{way:>22}" for way in options.ways) + "   checksum", flush=True)
    good = True
    for job in options.jobs:
        print(f"{job:12}", end="", flush=True)
        checksums = set[int]()
        for way in options.ways:
            run = partial(JOBS[job], options.parts, options.part_bytes)
            took, most, sums = measure(run, way, options.memory)
            print(f"{took:10.2f} s{most / (1 << 20):6.0f} MiB", end="", flush=True)
            checksums |= sums
        print(f"   {', '.join(map(str, sorted(checksums)))}", flush=True)
        good = good and len(checksums) == 1
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
