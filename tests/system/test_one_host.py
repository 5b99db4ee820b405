"""Large values between processes of one host: their memory is shared, and nobody notices."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import numpy as np
import pytest

from trio_dask import AsyncClient, Client
from trio_dask.comm import near
from trio_dask.errors import RemoteProtocolError
from trio_dask.store import Arrivals

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.conftest import Cluster

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(sys.platform != "linux", reason="memory files are Linux's"),
]

MIB = 1 << 20


def made(x: int, size: int) -> np.ndarray:
    """A large value."""
    return np.full(size, x, "u1")


def summed(array: np.ndarray) -> int:
    """What is in it."""
    return int(array.sum(dtype="u8"))


def shared_there(array: np.ndarray) -> int:
    """How many memory files the process has mapped in which this is."""
    assert array.nbytes
    return mapped()


def mapped() -> int:
    """So many memory files of ours this process has mapped."""
    maps = Path("/proc/self/maps").read_text(encoding="ascii")
    return maps.count("/memfd:trio-dask-value")


def opened() -> int:
    """So many descriptors of them it has."""
    found = 0
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that looks
            found += "trio-dask-value" in str(each.readlink())
    return found


def test_gathered_arrays_are_everybodys_own(shared: Cluster) -> None:
    """They are mapped, not copied; who changes one changes nobody else's."""
    with Client(shared.address, config=shared.config) as client:
        future = client.submit(made, 3, 4 * MIB)
        before = mapped()
        one, other = future.result(), client.gather([future])[0]
        assert mapped() == before + 2
        one[:] = 9
        assert (other == 3).all()
        assert client.submit(summed, future).result() == 12 * MIB
        del one
        third = future.result()
        assert (third == 3).all()
        del third, other
        assert mapped() == before


def test_nobody_writes_where_a_client_reads(shared: Cluster) -> None:
    """Values are made anew and anew; the memory of one that is still read is left alone."""
    with Client(shared.address, config=shared.config) as client:
        kept = client.submit(made, 1, 4 * MIB).result()
        for x in range(2, 12):
            assert client.submit(summed, client.submit(made, x, 4 * MIB)).result() == x * 4 * MIB
        assert (kept == 1).all()


def test_what_is_scattered_is_what_it_was(shared: Cluster) -> None:
    """Memory is written again when all readers are done, and not before."""
    with Client(shared.address, config=shared.config) as client:
        array = made(1, 4 * MIB)
        futures = []
        for x in range(1, 6):
            array[:] = x
            futures.append(client.scatter(array))
        array[:] = 0
        assert client.gather(client.map(summed, futures)) == [x * 4 * MIB for x in range(1, 6)]
        assert all((each == x).all() for x, each in enumerate(client.gather(futures), 1))
        assert mapped() == 5
        del futures
        for x in range(20):  # there are no more than two at a time
            array[:] = x
            future = client.scatter(array)
            assert client.submit(summed, future).result() == x * 4 * MIB
        assert mapped() < 15
    gc.collect()
    assert (mapped(), opened()) == (0, 0)


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_on_both_loops(shared: Cluster, backend: str) -> None:
    """The client that is awaited does the same; many values are under way at a time."""

    async def use() -> None:
        async with AsyncClient(shared.address, config=shared.config) as client:
            arrays = [made(x, 2 * MIB) for x in range(20)]
            futures = await client.scatter(arrays)
            before = mapped()
            values = await client.gather(futures)
            assert mapped() == before + 20
            assert all((each == x).all() for x, each in enumerate(values))
            values[3][:] = 0
            assert await client.submit(summed, futures[3]) == 3 * 2 * MIB
            small = await client.scatter([b"x" * 100_000, b"y" * 100_000])
            assert await client.gather(small) == [b"x" * 100_000, b"y" * 100_000]

    anyio.run(use, backend=backend)
    gc.collect()
    assert (mapped(), opened()) == (0, 0)


def test_workers_of_two_processes_hand_values_over(shared: Cluster) -> None:
    """Where one has made it, another maps it; what it was is there when its maker is gone."""
    other = shared.workers(1, "--nthreads", "1", "--name", "other")
    with Client(shared.address, config=shared.config) as client:
        future = client.submit(made, 5, 4 * MIB, workers="other", allow_other_workers=False)
        sums = [
            client.submit(summed, future, pure=False, workers=[each]) for each in client.nthreads()
        ]
        assert client.gather(sums) == [20 * MIB] * 3
        other.end()
        assert client.submit(summed, future, pure=False).result() == 20 * MIB
        assert (future.result() == 5).all()


def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "reach_near", lambda *_: None)
    for each in ("trio_dask.comm.dialing", "trio_dask.comm.anyio_dialing"):
        monkeypatch.setattr(f"{each}.reach_near", lambda *_: None)


def _too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    def adopt(_self: Any, _nbytes: int) -> Any:
        raise RemoteProtocolError("a descriptor did not arrive")

    monkeypatch.setattr(Arrivals, "adopt", adopt)


def _no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trio_dask.comm.lending.TAKES_MAX", 0)


@pytest.mark.parametrize("how", [_elsewhere, _too_many, _no_room])
def test_where_descriptors_do_not_get_through_bytes_do(
    shared: Cluster, monkeypatch: pytest.MonkeyPatch, how: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """From another host, or where there are too many descriptors: the values are the same."""
    how(monkeypatch)
    with Client(shared.address, config=shared.config) as client:
        futures = client.map(made, range(4), [2 * MIB] * 4)
        assert all((each == x).all() for x, each in enumerate(client.gather(futures)))
        scattered = client.scatter(made(7, 2 * MIB))
        assert client.submit(summed, scattered).result() == 14 * MIB
        assert (scattered.result() == 7).all()
        if how is _elsewhere:  # the worker has read it to where its tasks read it
            assert client.submit(shared_there, scattered).result() >= 1
        assert mapped() <= 1  # what was scattered, where only that gets through


def test_a_child_that_was_forked_still_sees_its_array(shared: Cluster) -> None:
    """Its parent lets go of it, and its memory is not written again all the same."""
    with Client(shared.address, config=shared.config) as client:
        array = client.submit(made, 1, 4 * MIB).result()
        go, told = os.pipe(), os.pipe()
        child = os.fork()
        if not child:
            os.read(go[0], 1)
            os.write(told[1], b"y" if (array == 1).all() else b"n")
            os._exit(0)
        del array
        for x in range(2, 8):
            assert client.submit(summed, client.submit(made, x, 4 * MIB)).result() == x * 4 * MIB
        os.write(go[1], b".")
        assert os.read(told[0], 1) == b"y"
        os.waitpid(child, 0)
        for each in (*go, *told):
            os.close(each)
