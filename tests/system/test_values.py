"""Large values: they outlive the processes that made them, and leave nothing behind."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import re
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from trio_dask.client import AsyncClient

if TYPE_CHECKING:
    from tests.system.conftest import Cluster, Command

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory files are Linux's")

MIB = 1 << 20
PATIENCE_S = 20.0


def noted(path: str, x: int, size: int) -> np.ndarray:
    """A large value; that it was made is noted in a file."""
    with Path(path).open("a", encoding="ascii") as file:
        file.write(f"{x}\n")
    return np.full(size, x, "u1")


def changed(array: np.ndarray) -> int:
    """The sum, of an input that is then changed."""
    total = int(array.sum(dtype="u8"))
    array[:] = 0
    return total


async def test_what_was_made_is_not_made_again(cluster: Cluster, tmp_path: Path) -> None:
    """All runners are killed: large results are there, unchanged by those who changed them."""
    log = str(tmp_path / "made")
    workers = cluster.workers(2, "--nthreads", "1")
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        held = client.map(noted, [log] * 8, range(8), size=2 * MIB)
        sums = [x * 2 * MIB for x in range(8)]
        assert await client.gather(client.map(changed, held)) == sums
        for pid in {child.pid for child in workers.children()}:
            os.kill(pid, signal.SIGKILL)
        again = client.map(changed, held, pure=False)
        assert await client.gather(again) == sums
        for x, array in enumerate(await client.gather(held)):
            assert (array == x).all()
            array[:] = 99
    assert sorted(Path(log).read_text(encoding="ascii").split()) == list("01234567")


def copied(array: np.ndarray) -> int:
    """Memory of this process that is in no file, with the copies that were made of files.

    Not what only this process has mapped: that is whoever reads first.
    """
    assert int(array.sum(dtype="u8")) >= 0
    rollup = Path("/proc/self/smaps_rollup").read_text(encoding="ascii")
    kilobytes = rollup.partition("Anonymous:")[2].split()[0]
    return 1024 * int(kilobytes)


def memory_files(workers: Command, nbytes: int) -> set[int]:
    """Which memory files of so many bytes the worker process and its runners have."""
    found = set()
    for pid in (workers.process.pid, *(child.pid for child in workers.children())):
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if "trio-dask-value" in str(each.readlink()) and each.stat().st_size >= nbytes:
                    found.add(each.stat().st_ino)
    return found


async def test_readers_share_memory(cluster: Cluster, tmp_path: Path) -> None:
    """An array that eight processes read is there once."""
    workers = cluster.workers(8, "--nthreads", "1")
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        array = client.submit(noted, str(tmp_path / "made"), 1, 64 * MIB)
        await array
        places = await client.nthreads()
        sizes = [client.submit(copied, array, workers=[each]) for each in places]
        assert len(sizes) == 8
        assert max(await client.gather(sizes)) < 64 * MIB
        assert len(memory_files(workers, 64 * MIB)) == 1


def value_files(workers: Command) -> list[str]:
    """Descriptors of values in the worker process and its runners."""
    found = []
    for pid in (workers.process.pid, *(child.pid for child in workers.children())):
        with contextlib.suppress(FileNotFoundError, PermissionError):
            for each in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):
                    link = str(each.readlink())
                    if "trio-dask-value" in link or re.search("/trio-dask-worker-[^/]+/", link):
                        found.append(f"{pid} {each.name} {link}")
    return found


@pytest.mark.parametrize(
    ("seed", "steps", "memory"),
    [
        (1, 150, "0"),
        (2, 60, "80MB"),
        *(pytest.param(seed, 1000, "80MB", marks=pytest.mark.nightly) for seed in (2, 3)),
    ],
)
async def test_nothing_is_left_after_anything(
    cluster: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    steps: int,
    memory: str,
) -> None:
    """Values are made, put, used, fetched, let go of, and runners killed, at random.

    With little memory there is room for a few of them, and the others are in files.
    """
    monkeypatch.setenv("TRIO_DASK_WORKER__POOL_BYTES_MAX", "0")  # a pool is kept on purpose
    monkeypatch.setenv("TRIO_DASK_WORKER__RESTART_DELAY", "10ms")
    for name, share in {"TERMINATE": "never", "PAUSE": "never", "TARGET": "0.02"}.items():
        monkeypatch.setenv(f"TRIO_DASK_WORKER__MEMORY__{name}", share)
    scratch = tmp_path / "scratch"
    workers = cluster.workers(
        2, "--nthreads", "2", "--memory-limit", memory, "--local-directory", str(scratch)
    )
    chance = random.Random(seed)
    log = str(tmp_path / "made")
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        held: list[tuple[int, Any]] = []
        future: Any = None
        for step in range(steps):
            x = step % 251
            what = chance.choices(range(6), (8, 3, 6, 3, 6, 1 if held else 0))[0]
            if what == 0:
                size = chance.randrange(MIB, 3 * MIB)
                held.append((x, client.submit(noted, log, x, size, pure=False)))
            elif what == 1:
                held.append((x, await client.scatter(np.full(MIB, x, "u1"))))
            elif what == 2 and held:
                x, future = chance.choice(held)
                assert await client.submit(changed, future, pure=False) % max(1, x) == 0
            elif what == 3 and held:
                x, future = chance.choice(held)
                assert (await future == x).all()
            elif what == 4 and held:
                del held[chance.randrange(len(held))]
            elif what == 5 and (there := workers.children()):  # none while all begin anew
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chance.choice(there).pid, signal.SIGKILL)
        del future, held
        deadline = time.monotonic() + PATIENCE_S
        places = await client.nthreads()
        while left := value_files(workers):
            assert time.monotonic() < deadline, left
            # Errors of an import may refer to the frame that had the value, in a cycle.
            collect = [client.submit(gc.collect, pure=False, workers=[each]) for each in places]
            await client.gather(collect)
    assert not [path for path in scratch.rglob("*") if path.is_file()]
    assert memory == "0" or workers.wait_for("values go to files")
    assert workers.end() == 0
