"""Where values and tasks are, and failed tasks that run again, as clients ask for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from trio_dask import AsyncClient, Client, LocalCluster, wait

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Two workers in this process."""
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False) as made:
        yield made


def read(path: str) -> str:
    """Fails until there is such a file."""
    return Path(path).read_text(encoding="utf-8")


def shout(text: str) -> str:
    """Needs what failed."""
    return text.upper()


def opens(path: str) -> int:
    """Wait until somebody writes."""
    with open(path, "rb") as gate:  # noqa: PTH123 - as short as can be
        return len(gate.read())


def test_a_failed_task_runs_again(cluster: LocalCluster, tmp_path: Path) -> None:
    """When what was missing is there: with what it failed over, and what else failed alike if asked."""
    path = tmp_path / "later"
    with Client(cluster) as client:
        text = client.submit(read, str(path))
        loud, other = client.submit(shout, text), client.submit(shout, text)
        wait([text, loud, other])
        assert [each.status for each in (text, loud, other)] == ["error"] * 3
        path.write_text("here", encoding="utf-8")
        client.retry(loud)
        assert other.status == "error"
        assert (text.result(), loud.result()) == ("here", "HERE")
        other.retry()
        assert other.result() == "HERE"
        client.retry([text, {"a": loud}])  # which have values: nothing happens
        assert loud.result() == "HERE"


def test_it_may_fail_again(cluster: LocalCluster, tmp_path: Path) -> None:
    """And again."""
    with Client(cluster) as client:
        text = client.submit(read, str(tmp_path / "never"))
        for _ in range(3):
            with pytest.raises(FileNotFoundError):
                text.result()
            text.retry()


def test_where_values_and_tasks_are(cluster: LocalCluster, tmp_path: Path) -> None:
    """By worker; and how large, by function and by key."""
    gate = str(tmp_path / "gate")
    os.mkfifo(gate)
    with Client(cluster) as client:
        large, small = client.submit(np.ones, 100_000), client.submit(len, "abc")
        wait([large, small])
        running = client.submit(opens, gate, key="waits")
        [holder] = [address for address, keys in client.has_what().items() if large.key in keys]
        assert client.has_what(holder) == {holder: (large.key,)}
        assert client.ncores() == client.nthreads() == dict.fromkeys(client.has_what(), 1)
        assert client.nthreads(holder) == client.ncores([holder]) == {holder: 1}
        assert client.nthreads([]) == {}
        assert client.who_has()[large.key] == [holder]
        client.rebalance(workers=[])
        assert client.who_has(large) == {large.key: [holder]}
        assert list(client.scheduler_info(n_workers=1)["workers"]) == list(client.nthreads())[:1]
        assert sorted(client.processing().values()) == [(), ("waits",)]
        sizes = client.nbytes()
        assert sizes.keys() == {"ones", "len"}
        assert sizes["ones"] >= 800_000
        assert client.nbytes(large, summary=False) == {large.key: sizes["ones"]}
        assert client.nbytes([small.key, running]) == {"len": sizes["len"]}
        stored = client.scatter(bytes(1 << 20))
        held = [key for keys in client.has_what().values() for key in keys]
        assert stored.key in held  # the cluster's key is that of the future
        assert client.nbytes(stored, summary=False)[stored.key] > 1 << 20
        stored.release()
        with pytest.raises(ValueError, match="there is no worker 'nobody'"):
            client.processing("nobody")
        Path(gate).write_bytes(b"go")
        assert running.result() == 2


@pytest.mark.anyio
async def test_the_same_in_async_code(cluster: LocalCluster, tmp_path: Path) -> None:
    """The same names."""
    path = tmp_path / "later"
    async with AsyncClient(cluster.scheduler_address) as client:
        text = client.submit(read, str(path))
        with pytest.raises(FileNotFoundError):
            await text
        path.write_text("here", encoding="utf-8")
        await text.retry()
        assert await text == "here"
        await client.retry([text])
        assert set(await client.has_what()) == set(await client.processing())
        assert await client.nbytes(text) == {"read": (await client.nbytes())["read"]}
        assert await client.ncores() == await client.nthreads()
