"""What the cluster keeps outlives its scheduler."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import trio

from tests.system.test_reunion import array, scheduler_again, total
from trio_dask import (
    AsyncClient,
    AsyncEvent,
    AsyncLock,
    AsyncQueue,
    AsyncSemaphore,
    AsyncVariable,
)

if TYPE_CHECKING:
    from tests.system.conftest import Cluster


async def _publish(cluster: Cluster) -> None:
    """A client leaves a large value and a small one to the cluster, and leaves."""
    async with AsyncClient(cluster.address, config=cluster.config) as gone:
        held, small = gone.submit(array, 3), gone.submit(total, 3, 4)
        await gone.gather([held, small])
        await gone.publish_dataset({"held": held, "small": small}, name="data")


async def _keep(client: AsyncClient) -> None:
    """Something of each kind."""
    for number in range(20):
        await AsyncQueue("q", client=client).put(number)
    await AsyncVariable("v", client=client).set({"future": client.submit(array, 2)})
    await AsyncEvent("e", client=client).set()
    await client.set_metadata(["a", "b"], 7)


async def _find(client: AsyncClient) -> None:
    """All of it, but the first five that were taken out of the queue."""
    queue = AsyncQueue("q", client=client)
    assert [await queue.get() for _ in range(15)] == list(range(5, 20))
    assert await queue.qsize() == 0
    found = await AsyncVariable("v", client=client).get()
    assert (await found["future"])[0] == 2
    data = await client.get_dataset("data")
    assert ((await data["held"])[0], await data["small"]) == (3, 7)
    assert await AsyncEvent("e", client=client).is_set()
    assert await client.get_metadata(["a", "b"]) == 7
    await client.unpublish_dataset("data")
    assert await client.list_datasets() == ()


async def test_the_scheduler_is_killed_and_all_of_it_is_there(cluster: Cluster) -> None:
    """Queues in order, values with futures of clients that are gone, what is listened to."""
    worker = cluster.workers(2, "--nthreads", "1")
    await _publish(cluster)
    async with (
        AsyncClient(cluster.address, config=cluster.config) as client,
        AsyncClient(cluster.address, config=cluster.config) as other,
    ):
        await _keep(client)
        queue = AsyncQueue("q", client=other)
        assert [await queue.get() for _ in range(5)] == list(range(5))
        heard = trio.Event()
        await other.subscribe_topic("t", lambda _: heard.set())
        cluster.scheduler.end(signal.SIGKILL)
        scheduler_again(cluster)
        await _find(other)
        await client.log_event("t", "said")
        await heard.wait()
    assert worker.end() == 0


async def test_the_scheduler_is_killed_while_locks_are_held(cluster: Cluster) -> None:
    """They are held; who waits for one, or for something in a queue, goes on waiting until it is there."""
    worker = cluster.workers(1, "--nthreads", "1")
    came = list[str]()
    async with (
        AsyncClient(cluster.address, config=cluster.config) as client,
        AsyncClient(cluster.address, config=cluster.config) as other,
    ):
        lock, leases = AsyncLock("x", client=client), AsyncSemaphore(2, "s", client=client)
        await lock.acquire()
        await leases.acquire()
        async with trio.open_nursery() as nursery:

            async def wait_for_the_lock() -> None:
                async with AsyncLock("x", client=other):
                    came.append("lock")

            async def wait_for_something() -> None:
                came.append(await AsyncQueue("later", client=other).get())

            nursery.start_soon(wait_for_the_lock)
            nursery.start_soon(wait_for_something)
            while True:
                if (await client.coordination())["locks"]["x"]["waiting"]:
                    break
            cluster.scheduler.end(signal.SIGKILL)
            scheduler_again(cluster)
            assert await leases.get_value() == 1
            assert await lock.locked()
            assert came == []
            await lock.release()
            await AsyncQueue("later", client=client).put("something")
    assert sorted(came) == ["lock", "something"]
    assert worker.end() == 0
