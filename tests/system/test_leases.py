"""Locks and semaphores over real processes that are killed while they hold them."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.system.test_reunion import scheduler_again
from trio_dask import AsyncClient, AsyncLock, AsyncSemaphore, KilledWorker, Lock, Semaphore

if TYPE_CHECKING:
    from tests.system.conftest import Cluster

PATIENCE_S = 30.0
TASKS = 60


def hold(directory: str, holder: Any, places: int, number: int) -> int:
    """A task that fails if more than `places` are in here; what dies lets go of its place at once.

    Each is in the order in which it came: the system's own locks say who is here.
    """
    with holder, ExitStack() as stack:
        for place in range(places):
            file = stack.enter_context(open(f"{directory}/{place}", "w", encoding="utf-8"))  # noqa: PTH123
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
        else:
            msg = f"more than {places} hold it"
            raise AssertionError(msg)
        Path(directory, f"pid-{os.getpid()}").touch()
        time.sleep(0.005)
    return number


def hold_for_ever(holder: Any, path: str) -> None:
    """A task that says who it is, and lets go of nothing."""
    holder.acquire()
    Path(path).write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(1e6)


async def pid_in(path: Path) -> int:
    """The process that has written who it is."""
    while True:
        if path.exists() and (text := path.read_text(encoding="utf-8")):
            return int(text)
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("kind", ["lock", "semaphore"])
async def test_never_too_many_whoever_is_killed(
    cluster: Cluster, tmp_path: Path, kind: str
) -> None:
    """Processes for tasks, workers and the scheduler die while tasks hold it, and wait for it."""
    victims = [cluster.workers(2, "--nthreads", "2") for _ in range(2)]
    async with AsyncClient(cluster.address, config=cluster.config) as client:
        holder, places = (Lock("x"), 1) if kind == "lock" else (Semaphore(2, "x"), 2)
        calls = client.map(hold, *zip(*[(str(tmp_path), holder, places)] * TASKS, strict=True),
                           range(TASKS), retries=5)  # fmt: skip
        await calls[5]
        os.kill(victims[0].children()[0].pid, signal.SIGKILL)
        await calls[15]
        victims[0].end(signal.SIGKILL)
        await calls[25]
        cluster.scheduler.end(signal.SIGKILL)
        scheduler_again(cluster)
        await calls[35]
        os.kill(victims[1].children()[0].pid, signal.SIGKILL)
        assert await client.gather(calls) == list(range(TASKS))
        page = await client.coordination()
        assert page[f"{kind}s"].get("x", {"held": []})["held"] == []


@pytest.mark.parametrize("who", ["runner", "worker"])
@pytest.mark.parametrize("kind", ["lock", "semaphore"])
async def test_who_waits_gets_it_in_turn_when_its_holder_is_killed(
    cluster: Cluster, tmp_path: Path, kind: str, who: str
) -> None:
    """First come, first served, whichever client it is."""
    worker = cluster.workers(1, "--nthreads", "1")
    came: list[int] = []
    async with (
        AsyncClient(cluster.address, config=cluster.config) as one,
        AsyncClient(cluster.address, config=cluster.config) as two,
    ):
        held = Lock("x") if kind == "lock" else Semaphore(1, "x")
        holder = one.submit(hold_for_ever, held, str(tmp_path / "pid"), key="holder")
        pid = await pid_in(tmp_path / "pid")

        async def wait_in_line(number: int, client: AsyncClient) -> None:
            mine = (
                AsyncLock("x", client=client)
                if kind == "lock"
                else AsyncSemaphore(1, "x", client=client)
            )
            async with mine:
                came.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(wait_in_line, number, (one, two)[number % 2])
                while True:
                    waiting = (await one.coordination())[f"{kind}s"]["x"]["waiting"]
                    if len(waiting) > number:
                        break
            assert came == []
            os.kill(pid if who == "runner" else worker.process.pid, signal.SIGKILL)
        assert came == list(range(6))
        await holder.cancel()


async def test_what_a_task_held_when_it_is_given_up_is_free(
    cluster: Cluster, tmp_path: Path
) -> None:
    """It dies each time that it has it, until it does not run any more."""
    cluster.workers(1, "--nthreads", "1")

    def die_with(holder: Any) -> None:
        holder.acquire()
        os.kill(os.getpid(), signal.SIGKILL)

    async with AsyncClient(cluster.address, config=cluster.config) as client:
        future = client.submit(die_with, Lock("x"))
        with pytest.raises(KilledWorker):
            await future
        assert await AsyncLock("x", client=client).acquire(timeout=PATIENCE_S)
