"""What a client leaves behind that is killed: real processes, SIGKILL, nothing said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from tests.system.conftest import open_cluster
from trio_dask import (
    AsyncClient,
    AsyncEvent,
    AsyncLock,
    AsyncQueue,
    AsyncSemaphore,
    AsyncVariable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.conftest import Cluster

pytestmark = pytest.mark.processes

PATIENCE_S = 60.0

#: It leaves futures that nobody else has, holds what can be held, and waits for an item.
_SCRIPT = """
import sys
from trio_dask import Client, Event, Lock, Queue, Semaphore, Variable, get_client

def large(number):
    return bytes([number]) * 1_000_000

def late(number):
    Event("go").wait()
    return number + 1

client = Client(sys.argv[1])
box = Queue("box")
for number in range(3):
    box.put({"large": client.submit(large, number), "number": number})
box.put(client.submit(late, 6))
best = Variable("best")
best.set("first")
best.set([client.submit(large, 9), "of the dead"])
assert Lock("lock").acquire()
assert Semaphore(1, "seat").acquire()
print("ready", flush=True)
Queue("never").get()
"""


@contextmanager
def victim(cluster: Cluster) -> Iterator[subprocess.Popen[str]]:
    """A client in a process of its own, that waits for something by now."""
    with subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, cluster.address],
        env={**os.environ, "TRIO_DASK_TOKEN": cluster.token},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster that does not wait long for clients to come back, and has a worker with two slots."""
    monkeypatch.setenv("TRIO_DASK_SCHEDULER__RECONNECT", "1s")
    with open_cluster() as cluster:
        cluster.workers(1, "--nthreads", "2")
        yield cluster


async def _until_it_waits(client: AsyncClient, name: str) -> None:
    """The victim is in line for an item."""
    while not (await client.coordination())["queues"].get(name, {}).get("getting"):
        pass  # each question is a round trip


async def test_what_a_killed_client_has_left_is_there(hasty: Cluster) -> None:
    """Items whose futures only the queue holds, also unfinished ones, and a variable; locks are free."""
    async with AsyncClient(hasty.address, config=hasty.config) as client:
        with trio.fail_after(PATIENCE_S), victim(hasty) as process:
            await _until_it_waits(client, "never")
            assert await AsyncLock("lock", client=client).locked()
            process.send_signal(signal.SIGKILL)
            process.wait(PATIENCE_S)
            # In line for these the dead are before us, until they are given up.
            async with AsyncLock("lock", client=client):
                pass
            seat = AsyncSemaphore(1, "seat", client=client)
            assert await seat.acquire()
            await seat.release()
            box = AsyncQueue("box", client=client)
            for number in range(3):
                item = await box.get()
                assert item["number"] == number
                assert await item["large"] == bytes([number]) * 1_000_000
            unfinished = await box.get()
            assert unfinished.status == "pending"
            await AsyncEvent("go", client=client).set()
            assert await unfinished == 7
            value, text = await AsyncVariable("best", client=client).get()
            assert (await value)[:1] == bytes([9])
            assert text == "of the dead"
            held = await client.coordination()
            assert not held["locks"]
            assert not held["semaphores"]


async def test_an_item_on_its_way_to_a_killed_client_is_not_lost(hasty: Cluster) -> None:
    """It was given to one who waited, and stood still, and died: the next one gets it, once, in order."""
    async with AsyncClient(hasty.address, config=hasty.config) as client:
        with trio.fail_after(PATIENCE_S), victim(hasty) as process:
            await _until_it_waits(client, "never")
            process.send_signal(signal.SIGSTOP)
            never = AsyncQueue("never", client=client)
            await never.put(client.submit(pow, 2, 3))
            await never.put("second")
            assert await never.qsize() == 1  # the first is the victim's
            process.send_signal(signal.SIGKILL)
            process.wait(PATIENCE_S)
            while await never.qsize() < 2:
                pass
            assert await (await never.get()) == 8
            assert await never.get() == "second"
            assert await never.qsize() == 0
            with pytest.raises(TimeoutError):
                await never.get(timeout=0.01)
