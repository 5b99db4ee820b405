"""Locks, semaphores, events, queues and variables, on a whole cluster in this process."""

from __future__ import annotations

import os
import pickle
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from trio_dask import (
    AsyncClient,
    AsyncEvent,
    AsyncFuture,
    AsyncLock,
    AsyncMultiLock,
    AsyncQueue,
    AsyncSemaphore,
    AsyncVariable,
    Client,
    Event,
    LocalCluster,
    Lock,
    MultiLock,
    Queue,
    Semaphore,
    SubmitError,
    Variable,
    get_client,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 30.0
#: Of what is expected not to happen.
SHORT_S = 0.05


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Two workers with two slots each, in threads."""
    with LocalCluster(2, 2, processes=False, dashboard_address=None) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    """A client, after whose test nothing is held."""
    with Client(cluster) as client:
        yield client
        page = client.coordination()
        left = {kind: names for kind, names in page.items() if names}
        assert not left


def test_both_kinds_have_the_same_methods() -> None:
    """Who knows one knows the other."""
    pairs = [
        (Lock, AsyncLock), (MultiLock, AsyncMultiLock), (Semaphore, AsyncSemaphore),
        (Event, AsyncEvent), (Queue, AsyncQueue), (Variable, AsyncVariable),
    ]  # fmt: skip
    for here, there in pairs:
        names = [{n for n in dir(kind) if not n.startswith("_")} for kind in (here, there)]
        assert names[0] == names[1]


def count_up(number: int, counter: str, lock: Any) -> int:
    """Nobody else is in here; a file is what all tasks share, wherever they are."""
    with lock:
        before = int(Path(counter).read_text())
        Path(counter).write_text("-1")
        assert before >= 0
        Path(counter).write_text(str(before + 1))
    return number


@pytest.mark.parametrize("lock", [Lock("here"), MultiLock(["here", "there"]), Semaphore(1, "s")])
def test_one_at_a_time(client: Client, lock: Any, tmp_path: Path) -> None:
    """More tasks want it than there are slots, and all get it; it is an argument like others."""
    counter = tmp_path / "counter"
    counter.write_text("0")
    futures = client.map(count_up, range(40), counter=str(counter), lock=lock)
    with lock:
        assert 0 <= int(counter.read_text()) <= 40
    assert client.gather(futures) == list(range(40))
    assert counter.read_text() == "40"


def test_a_lock_is_not_had_twice(client: Client) -> None:
    """Nor given back twice; whoever does not wait is told at once."""
    one, other = Lock("mine"), Lock("mine")
    assert one.acquire()
    assert other.locked()
    assert not other.acquire(blocking=False)
    assert not other.acquire(timeout=SHORT_S)
    with pytest.raises(ValueError, match="takes no timeout"):
        other.acquire(blocking=False, timeout=1)
    with pytest.raises(RuntimeError, match="is not held here"):
        other.release()
    one.release()
    with pytest.raises(RuntimeError, match="is not held here"):
        one.release()
    assert other.acquire(timeout=timedelta(seconds=PATIENCE_S))  # type: ignore[arg-type]
    other.release()
    assert not one.locked()
    copy = pickle.loads(pickle.dumps(Lock(("a", 1))))
    assert copy.name == "('a', 1)"
    assert Lock().name != Lock().name
    assert repr(copy) == "<Lock: ('a', 1)>"


def test_some_of_several_locks(client: Client) -> None:
    """As many as one needs; the others are free."""
    locks = MultiLock(["a", "b", "c"])
    with Lock("a"):
        assert not locks.acquire(timeout=SHORT_S)
        assert locks.acquire(num_locks=2)
        assert Lock("b").locked()
        locks.release()
    with pytest.raises(ValueError, match="num_locks=4"):
        locks.acquire(num_locks=4)
    with pytest.raises(ValueError, match="list of names"):
        MultiLock("abc")
    with pytest.raises(ValueError, match="list of names"):
        MultiLock([])


def test_a_semaphore_counts(client: Client) -> None:
    """Threads of one client are as many as tasks of several."""
    semaphore = Semaphore(2, "s")
    with semaphore, semaphore:
        assert semaphore.get_value() == 2
        assert not semaphore.acquire(timeout=SHORT_S)
        with pytest.raises(ValueError, match="max_leases=2, not 3"):
            Semaphore(3, "s").acquire()
    with pytest.raises(RuntimeError, match="is not held here"):
        semaphore.release()
    with pytest.raises(ValueError, match="max_leases=0"):
        Semaphore(0)
    assert semaphore.acquire()
    assert semaphore.release()
    assert semaphore.acquire()
    semaphore.close()
    assert semaphore.get_value() == 0


def wait_for(event: Event) -> bool:
    """A task that waits; its slot is free meanwhile."""
    return event.wait(PATIENCE_S)


def set_it(event: Event) -> None:
    """A task for which others wait."""
    event.set()


def test_an_event(client: Client) -> None:
    """More wait for it than there are slots, and the one that sets it comes last."""
    event = Event("started")
    assert not event.wait(SHORT_S)
    waiting = client.map(wait_for, [event] * 10)
    client.submit(set_it, event).result()
    assert client.gather(waiting) == [True] * 10
    assert event.is_set()
    event.clear()
    assert not event.is_set()


def produce(queue: Queue, count: int) -> None:
    """Futures of tasks of its own, which go on without it."""
    client = get_client()
    for number in range(count):
        queue.put({"square": client.submit(pow, number, 2)})


def consume(queue: Queue) -> int:
    """The value of one of them."""
    return int(queue.get(PATIENCE_S)["square"].result(PATIENCE_S))


def double(number: int) -> int:
    """A task."""
    return 2 * number


@pytest.mark.parametrize("key", ["of-two", None])
def test_a_future_that_others_had_first_is_handed_over(
    client: Client, cluster: LocalCluster, key: str | None
) -> None:
    """By who has it from a queue, or has submitted its key, too: the first one's id is another."""
    with Client(cluster) as other:
        first = client.submit(double, 4, key=key)
        client.flush()
        second: Any = other.submit(double, 4, key=key)
        if key is None:
            Queue("to-other", client=client).put(first)
            second = Queue("to-other", client=other).get()
        third = other.submit(double, 5)
        Queue("back", client=other).put([third, {"a": second}, second, third])
        Variable("back", client=other).set(second)
        other.publish_dataset(second, name=f"back-{key}")
        a, b, c, d = Queue("back", client=client).get()
        assert client.gather([a, b, c, d]) == [10, {"a": 8}, 8, 10]
        assert Variable("back", client=client).get().result() == 8
        assert client.get_dataset(f"back-{key}").result() == 8
        client.unpublish_dataset(f"back-{key}")
        Variable("back", client=client).delete()


def test_a_queue_of_futures(client: Client) -> None:
    """They are made in one task, which has ended by then, and used in others."""
    queue = Queue("squares")
    client.submit(produce, queue, 6).result()
    assert queue.qsize() == 6
    assert sum(client.gather(client.map(consume, [queue] * 5))) == 0 + 1 + 4 + 9 + 16
    last = queue.get()["square"]
    assert last.result() == 25
    assert last.key.startswith("pow-")
    assert last.client is client


def test_a_queue_has_bounds_and_batches(client: Client) -> None:
    """Who waits in vain is told for what."""
    queue = Queue("q", maxsize=2)
    queue.put(1)
    queue.put(None)
    with pytest.raises(TimeoutError, match=r"there was no room within 0\.05 s"):
        queue.put(3, timeout=SHORT_S)
    assert queue.get(batch=True) == [1, None]
    assert queue.get(batch=True) == []
    for limit in (SHORT_S, "50ms", timedelta(milliseconds=50)):
        with pytest.raises(TimeoutError, match=r"nothing came within 0\.05 s"):
            queue.get(timeout=limit)  # type: ignore[arg-type]
    thread = threading.Thread(target=lambda: list(map(queue.put, range(5))))
    thread.start()
    assert queue.get(batch=5, timeout=PATIENCE_S) == list(range(5))
    thread.join()
    assert queue.get(batch=0) == []
    for wrong in (-1, 1.5):
        with pytest.raises(ValueError, match="batch="):
            queue.get(batch=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="maxsize=-1"):
        Queue(maxsize=-1)
    with pytest.raises(SubmitError, match="scatter it"):
        queue.put(bytes(1 << 21))
    with pytest.raises(SubmitError):
        queue.put(threading.Lock())
    assert pickle.loads(pickle.dumps(queue)).maxsize == 2
    queue.close()


def test_a_variable(client: Client, cluster: LocalCluster) -> None:
    """Its future keeps the task for whoever reads it, also when who has set it is gone."""
    variable = Variable("v")
    with pytest.raises(TimeoutError, match=r"it had no value within 0\.05 s"):
        variable.get(timeout=SHORT_S)
    with Client(cluster) as other:
        Variable("v", client=other).set([other.submit(pow, 3, 3)])
    assert variable.get()[0].result() == 27
    variable.set("text", timeout=PATIENCE_S)
    assert variable.get() == "text"
    variable.delete()
    with pytest.raises(TypeError, match="AsyncVariable needs a AsyncClient"):
        AsyncVariable("v", client=client)._find(AsyncClient)


def test_what_a_client_held_is_free_when_it_leaves(
    client: Client, cluster: LocalCluster, tmp_path: Path
) -> None:
    """And an item that it was given and has not read is not lost."""
    counter = tmp_path / "counter"
    counter.write_text("0")
    with Client(cluster) as other:
        assert Lock("x", client=other).acquire()
        page = client.coordination()["locks"]["x"]
        assert page["held"][0]["who"] == other.live.core.name
        waiting = client.submit(count_up, 1, str(counter), lock=Lock("x"))
    assert waiting.result(PATIENCE_S) == 1


# ---------------------------------------------------------------- async


async def awaits(number: int) -> int:
    """A coroutine as a task."""
    async with AsyncSemaphore(2, "s"), AsyncLock("a"):
        await AsyncQueue("q").put(number)
    await AsyncEvent("go").wait()
    return number


@pytest.mark.anyio
async def test_all_of_them_awaited(cluster: LocalCluster) -> None:
    """On both loops, from the client and from coroutines in tasks."""
    async with AsyncClient(cluster) as client:
        futures: list[AsyncFuture[int]] = client.map(awaits, range(8))
        queue = await AsyncQueue("q")  # as programs for Dask do, without need
        got = [await queue.get(PATIENCE_S) for _ in range(8)]
        assert sorted(got) == list(range(8))
        await AsyncEvent("go").set()
        assert await client.gather(futures) == list(range(8))
        await AsyncEvent("go").clear()
        async with AsyncMultiLock(["a", "b"]) as locks:
            assert await AsyncLock("b").locked()
            assert not await AsyncLock("b").acquire(timeout=SHORT_S)
            assert not await locks.acquire(blocking=False)
        variable = await AsyncVariable("v")
        await variable.set(client.submit(pow, 2, 2))
        assert await (await variable.get()) == 4
        await variable.delete()
        with pytest.raises(TimeoutError):
            await queue.get(SHORT_S)
        page = await client.coordination()
        assert not {kind: names for kind, names in page.items() if names}


@pytest.mark.anyio
async def test_who_is_cancelled_while_he_waits_waits_no_more(cluster: LocalCluster) -> None:
    """Neither a lock nor an item is given to one who is not there; if it was, it comes back."""
    async with AsyncClient(cluster) as client:
        lock, queue = AsyncLock("a"), AsyncQueue("q")
        async with lock:
            for waits in (AsyncLock("a").acquire, queue.get, AsyncEvent("e").wait):
                with anyio.move_on_after(SHORT_S) as scope:
                    await waits()
                assert scope.cancelled_caught
            await queue.put("item")
        assert await AsyncLock("a").acquire(timeout=PATIENCE_S) is True
        page = await client.coordination()
        assert page["locks"]["a"]["held_count"] == 1
        assert page["locks"]["a"]["waiting_count"] == 0
        assert await queue.get(PATIENCE_S) == "item"


# ---------------------------------------------------------------- deaths


def die_with(lock: Lock, path: str) -> None:
    """The first time it dies while it holds the lock."""
    with lock:
        if not Path(path).exists():
            Path(path).touch()
            os.kill(os.getpid(), 9)


@pytest.mark.processes
def test_a_lock_of_a_process_that_is_killed(tmp_path: Any) -> None:
    """It goes to the next one, and the task runs again."""
    with Client(n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
        lock = Lock("deadly")
        with lock:
            futures = client.map(die_with, [lock] * 3, path=str(tmp_path / "died"))
            client.flush()
        client.gather(futures)
        assert lock.acquire(timeout=PATIENCE_S)
        assert client.coordination()["locks"]["deadly"]["waiting"] == []
