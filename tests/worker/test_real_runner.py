"""Workers with the real runner: in processes, and in threads of this one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import psutil
import pytest
import trio

from tests.worker.fake_scheduler import KEYS, Talk, fake_scheduler, settings
from trio_dask.deploy.threads import thread_host
from trio_dask.messages.payload import pack, pack_function, unpack
from trio_dask.messages.tasks import (
    ERROR,
    OK_HELD,
    OK_INLINE,
    Done,
    Functions,
    Run,
    RunnerDied,
    Running,
    Slots,
)
from trio_dask.worker import ProcessHost, WorkerHandle, run_worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trio_dask.worker import RunnerHost

pytestmark = [pytest.mark.network, pytest.mark.processes]


def _flat(payload: object) -> bytes:
    return b"".join(map(bytes, payload)) if isinstance(payload, list) else bytes(payload)  # type: ignore[call-overload]


class Boss:
    """Has functions called."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.attempt = 0

    async def call(self, function: Callable[..., object], *args: object) -> Done:
        """Run it once; how it ended."""
        self.start(function, *args)
        return await self.talk.hear(Done)

    def start(self, function: Callable[..., object], *args: object) -> None:
        """Have it run."""
        self.attempt += 1
        n, fid = self.attempt, 100 + self.attempt
        blob = _flat(pack((args, {})))
        self.talk.say(Functions([fid], ["f"], [pack_function(function)]))
        self.talk.say(Run([n], [1000 + n], [fid], [n], [blob], [], [], [], [], [], []))


@pytest.mark.parametrize("host", [ProcessHost(), thread_host], ids=["processes", "threads"])
async def test_the_real_runner(tmp_path: Path, host: RunnerHost) -> None:
    """Small values, large ones, errors, and a clean end."""
    threads = set(threading.enumerate())
    async with fake_scheduler() as scheduler, trio.open_nursery() as nursery:

        async def run(*, task_status: trio.TaskStatus[WorkerHandle]) -> None:
            await run_worker(
                settings(tmp_path), scheduler.address, KEYS, runner_host=host,
                task_status=task_status,
            )  # fmt: skip

        await nursery.start(run)
        boss = Boss(scheduler.talks["w-0"])
        done = await boss.call(divmod, 17, 5)
        assert done.statuses == [OK_INLINE]
        assert unpack(done.values[0]) == (3, 2)
        assert (await boss.call(bytes, 1 << 20)).statuses == [OK_HELD]
        assert (await boss.call(divmod, 1, 0)).statuses == [ERROR]
        pid = await boss.call(os.getpid)
        assert (unpack(pid.values[0]) == os.getpid()) == (host is thread_host)
        nursery.cancel_scope.cancel()
    assert psutil.Process().children() == []
    for each in set(threading.enumerate()) - threads:
        if not each.name.startswith("Trio"):  # those linger for some seconds
            await trio.to_thread.run_sync(each.join, 5)
            assert not each.is_alive()


async def test_what_a_process_for_tasks_begins_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One seed for all of them, and libraries that start no threads, unless the worker has others."""
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    names = ("PYTHONHASHSEED", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    async with fake_scheduler() as scheduler, trio.open_nursery() as nursery:
        config = settings(tmp_path, nworkers=2)
        nursery.start_soon(run_worker, config, scheduler.address, KEYS)
        await scheduler.wait_for(2)
        found: list[object] = []
        for talk in scheduler.talks.values():
            boss = Boss(talk)
            variables = await boss.call(lambda: [os.environ.get(name) for name in names])
            assert unpack(variables.values[0]) == ["0", "1", "3"]
            done = await boss.call(hash, "text")
            found.append(unpack(done.values[0]))
        assert found[0] == found[1]
        nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_the_real_runner_is_killed_while_it_works(tmp_path: Path) -> None:
    """It tells on its board what it was doing, and its successor works."""
    async with fake_scheduler() as scheduler, trio.open_nursery() as nursery:
        config = settings(tmp_path, nworkers=1)
        nursery.start_soon(run_worker, config, scheduler.address, KEYS)
        await scheduler.wait_for(1)
        talk = scheduler.talks["w"]
        boss = Boss(talk)
        boss.start(time.sleep, 60)
        boss.start(time.sleep, 0)
        assert (await talk.hear(Running)).attempts == [1]
        psutil.Process().children()[0].kill()
        died = await talk.hear(RunnerDied)
        assert (died.running, died.queued) == ([1], [2])
        began = trio.current_time()
        assert (await talk.hear(Slots)).nthreads == 1
        assert trio.current_time() - began < 3
        assert (await boss.call(divmod, 17, 5)).statuses == [OK_INLINE]
        nursery.cancel_scope.cancel()
    assert psutil.Process().children() == []


def test_a_worker_process_knows_nothing_of_pickles() -> None:
    """What opens users' values and errors is not even loaded."""
    code = "import sys, trio_dask.worker; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(out.stdout.split())
    assert not loaded & {"cloudpickle", "trio_dask.runner", "trio_dask.messages.payload"}
