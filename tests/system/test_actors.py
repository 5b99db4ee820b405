"""Actors over real processes that are killed: none is made again, and no call is done twice."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.test_reunion import scheduler_again
from trio_dask import AsyncClient, DataLost, get_worker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Cluster

CALLS = 100


class Diary:
    """Writes down what it is told, so that what it did outlives it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lines = 0

    def where(self) -> tuple[str, int]:
        """Its worker, and its process."""
        return get_worker().name, os.getpid()

    def note(self, number: int) -> int:
        """One more line; how many there are."""
        self.lines += 1
        with open(self.path, "a", encoding="utf-8") as file:  # noqa: PTH123
            file.write(f"{number}\n")
        return self.lines


def noted(path: Path) -> list[int]:
    """What is in a diary, in order."""
    return [int(line) for line in path.read_text(encoding="utf-8").split()]


async def outcomes(calls: list[Any]) -> tuple[list[int], int]:
    """The values of those that were done, and how many were not as the actor was lost."""
    values, lost = list[int](), 0
    for call in calls:
        try:
            values.append(await call)
        except DataLost:
            lost += 1
    return values, lost


@pytest.mark.parametrize("who", ["runner", "worker"])
async def test_killed_in_the_middle_of_many_calls(
    cluster: Cluster, tmp_path: Path, who: str
) -> None:
    """What was done is the beginning of what was asked, each once; the rest is told; others live."""
    commands = [cluster.workers(1, "--nthreads", "1", "--name", name) for name in ("a", "b")]
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        diaries: list[Any] = [
            await client.submit(Diary, str(tmp_path / name), actor=True, workers=name)
            for name in ("a", "b")
        ]
        (name, pid), (other, _) = [await each.where() for each in diaries]
        assert (name, other) == ("a", "b")
        calls = [diaries[0].note(number) for number in range(CALLS)]
        theirs = [diaries[1].note(number) for number in range(CALLS)]
        await calls[20]
        victim = pid if who == "runner" else commands[0].process.pid
        os.kill(victim, signal.SIGKILL)
        values, lost = await outcomes(calls)
        assert values == list(range(1, len(values) + 1))
        assert lost == CALLS - len(values)
        done = noted(tmp_path / "a")
        assert done == list(range(len(done)))
        assert len(values) <= len(done) <= len(values) + 1, "one may have died with its answer"
        assert await client.gather(theirs) == list(range(1, CALLS + 1))
        assert noted(tmp_path / "b") == list(range(CALLS))
        with pytest.raises(DataLost, match="Diary-"):
            await diaries[0].note(-1)
        again: Any = await client.submit(Diary, str(tmp_path / "new"), actor=True)
        assert await again.note(7) == 1


async def test_the_scheduler_is_killed_in_the_middle_of_many_calls(
    cluster: Cluster, tmp_path: Path
) -> None:
    """The actor lives on; each call is done, in order, and once."""
    worker = cluster.workers(2, "--nthreads", "1")
    path = tmp_path / "diary"
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        diary: Any = await client.submit(Diary, str(path), actor=True)
        for _ in range(2):
            before = await diary.lines
            calls = [diary.note(number) for number in range(before, before + CALLS)]
            await calls[20]
            cluster.scheduler.end(signal.SIGKILL)
            scheduler_again(cluster)
            assert await client.gather(calls) == list(range(before + 1, before + CALLS + 1))
        assert noted(path) == list(range(2 * CALLS))
    assert worker.end() == 0
