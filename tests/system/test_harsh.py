"""Values where a system lacks what they are made for, and values that are not as most are."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from trio_dask.client import AsyncClient

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Cluster

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(sys.platform != "linux", reason="memory files are Linux's"),
]

MIB = 1 << 20
#: Starts what follows where there is a disk of 16 MiB at /mnt, which nobody else sees.
SMALL_DISK = [
    "unshare",
    "-rm",
    "sh",
    "-c",
    'mount -t tmpfs -o size=16m none /mnt && exec "$@"',
    "-",
]


def part(x: int, size: int) -> np.ndarray:
    """A large value."""
    return np.full(size, x % 256, "u1")


def summed(array: np.ndarray) -> int:
    """What is in it."""
    return int(array.sum(dtype="u8"))


@pytest.fixture
def _small_disk() -> None:
    if not shutil.which("unshare") or subprocess.run([*SMALL_DISK, "true"], check=False).returncode:
        pytest.skip("no disks can be made here")


@pytest.mark.usefixtures("_small_disk")
async def test_a_full_disk(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written stays in memory, and the log says so; everything goes on."""
    shares = {"TARGET": "0.05", "SPILL": "0.5", "PAUSE": "never", "TERMINATE": "never"}
    for name, share in shares.items():
        monkeypatch.setenv(f"TRIO_DASK_WORKER__MEMORY__{name}", share)
    options = ("--nthreads", "1", "--memory-limit", "400MB", "--local-directory", "/mnt")
    workers = cluster.workers(1, *options, wrapper=SMALL_DISK)
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        made = client.map(part, range(100), size=MIB)
        assert await client.gather(client.map(summed, made)) == [x * MIB for x in range(100)]
        workers.wait_for("so they stay in memory: No space left on device")
        assert all((each == x).all() for x, each in enumerate(await client.gather(made)))
    assert workers.end() == 0


async def test_without_memory_files(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values are in unlinked files, and outlive their makers there as well."""
    (tmp_path / "sitecustomize.py").write_text("import os\ndel os.memfd_create\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    workers = [cluster.workers(1, "--nthreads", "1", "--name", name) for name in ("one", "other")]
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        made = client.map(part, range(20), size=2 * MIB, workers=["one"])
        for name in ("one", "other"):
            sums = client.map(summed, made, workers=[name], pure=False)
            assert await client.gather(sums) == [x * 2 * MIB for x in range(20)]
        pids = {child.pid for child in workers[0].children()}
        for child in workers[0].children():
            child.kill()
        sums = client.map(summed, made, workers=["one"], pure=False)
        assert await client.gather(sums) == [x * 2 * MIB for x in range(20)]
        assert pids.isdisjoint(child.pid for child in workers[0].children())
        assert all((each == x).all() for x, each in enumerate(await client.gather(made)))
        sent = await client.scatter(part(5, 2 * MIB))
        assert await client.submit(summed, sent) == 10 * MIB


def unusual() -> dict[str, Any]:
    """Values of all kinds that arrays come in."""
    base = np.arange(1_000_000.0).reshape(1000, 1000)
    fixed = base.copy()
    fixed.flags.writeable = False
    rows = np.zeros(100_000, [("a", "i4"), ("b", "f8"), ("c", "U3")])
    return {
        "nothing": np.zeros(0),
        "no rows": np.zeros((5, 0, 3), "M8[s]"),
        "scalar": np.array(3.5),
        "objects": np.array([1, "a", None, {"x": 1}], object),
        "many objects": np.array([str(x) for x in range(100_000)], object),
        "arrays in objects": np.array([base, None], object),
        "every other one": base[::2, ::3],
        "turned": base.T,
        "backwards": base[::-1, ::-1],
        "the same again": np.broadcast_to(np.arange(1000.0), (1000, 1000)),
        "fixed": fixed,
        "columns first": np.asfortranarray(base),
        "records": rows,
        "other order": base.astype(">f8"),
        "masked": np.ma.masked_array(base, base > 7),
        "views": memoryview(bytearray(2 * MIB))[::2],
        "several": [base, base],
    }


def alike(one: Any, other: Any) -> bool:
    """Whether they are the same, in what they are, too."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return all(map(alike, one, other))
    if not isinstance(one, np.ndarray):
        return bool(one == other)
    if (one.shape, one.dtype, one.flags.writeable or one.base is not None) != (
        other.shape, other.dtype, other.flags.writeable or one.base is not None,
    ):  # fmt: skip
        return False
    if one.dtype == object:
        return all(map(alike, one.flat, other.flat))
    return bool(np.array_equal(np.asarray(one), np.asarray(other)))


async def test_unusual_arrays(cluster: Cluster) -> None:
    """Scattered, as arguments, as results, and from worker to worker they are what they were."""
    for name in ("one", "other"):
        cluster.workers(1, "--nthreads", "1", "--name", name)
    values = unusual()

    def same(value: Any) -> Any:
        return value

    async with AsyncClient(cluster.address, config=cluster.config) as client:
        sent = await client.scatter(values)
        there = {
            name: client.submit(same, future, workers=["one"]) for name, future in sent.items()
        }
        back = {name: client.submit(same, each, workers=["other"]) for name, each in there.items()}
        given = {name: client.submit(same, value, pure=False) for name, value in values.items()}
        for futures in (sent, there, back, given):
            found = await client.gather(futures)
            assert [name for name in values if not alike(values[name], found[name])] == []
