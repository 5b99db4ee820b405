"""Tasks with processes of their own, on real clusters."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
import trio
import trio.lowlevel

from tests.system.conftest import PATIENCE_S, open_cluster
from tests.system.test_cancelling import Gate, begin, hold, inc, loop, stubborn
from trio_dask import AsyncClient, Client, KilledWorker, TaskTimeout, get_client, get_worker
from trio_dask.errors import TaskError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.system.conftest import Cluster


@pytest.fixture(scope="module", params=[1, 2])
def worker(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of one worker with so many slots."""
    with open_cluster() as opened:
        opened.workers(1, "--nthreads", str(request.param))
        yield opened


@pytest.fixture
def client(worker: Cluster) -> Iterator[Client]:
    """A client of it."""
    with Client(worker.address, config=worker.config) as made:
        yield made


@pytest.fixture
def gate(tmp_path: Any) -> Gate:
    """Where a task says that it has begun."""
    return Gate(tmp_path / "gate")


def pid(*_: object) -> int:
    """Which process runs it."""
    return os.getpid()


async def pid_later() -> int:
    """The same, of a coroutine."""
    await trio.lowlevel.checkpoint()
    return os.getpid()


def spoil() -> int:
    """What nobody wants in the process of others."""
    os.environ["SPOILT"] = "yes"
    os.chdir("/")
    threading.Thread(target=time.sleep, args=(1000,), daemon=False).start()
    return os.getpid()


def is_spoilt() -> bool:
    """Whether it is."""
    return "SPOILT" in os.environ


def wait_for_the_end(*numbers: int) -> None:
    """Until these processes have ended, where they are there at all."""
    for number in numbers:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(number).wait(PATIENCE_S)


def test_each_has_a_process_that_nobody_else_has(client: Client) -> None:
    """And that ends with it, whatever it has started there."""
    shared = client.submit(pid).result()
    own = client.gather(client.map(pid, range(5), executor="process"))
    own.append(client.submit(pid_later, executor="process").result())
    own.append(client.submit(spoil, executor="process").result())
    assert len({*own, shared}) == 8
    wait_for_the_end(*own)
    assert client.submit(is_spoilt).result() is False
    assert client.submit(pid).result() == shared


def numbers(count: int) -> np.ndarray[Any, Any]:
    """Many."""
    return np.arange(count)


def total(*parts: Any) -> int:
    """All of them."""
    return int(sum(np.asarray(each).sum() for each in parts))


def test_values_go_in_and_out(client: Client) -> None:
    """Small, large, in lists, from the client and from other tasks; they outlive the process."""
    large = client.submit(numbers, 300_000, executor="process")
    middle = client.submit(lambda: [os.urandom(100) for _ in range(100)], executor="process")
    here = client.submit(numbers, 200_000)
    brought = client.scatter(np.ones(100_000))
    sums = [
        client.submit(total, large, here, brought, 5, executor=each) for each in ("process", None)
    ]
    expected = sum(range(300_000)) + sum(range(200_000)) + 100_005
    assert client.gather(sums) == [expected] * 2
    assert client.submit(len, middle, executor="process").result() == len(middle.result()) == 100


def test_what_cannot_leave(client: Client) -> None:
    """Neither a result nor an input that cannot be pickled; both say so, and nothing is lost."""
    with pytest.raises(TaskError, match="cannot be pickled, and the process that has made it"):
        client.submit(threading.Lock, executor="process").result()
    lock = client.submit(threading.Lock)
    with pytest.raises(TaskError, match="stays where it was made, as it cannot be pickled"):
        client.submit(type, lock, executor="process").result()
    assert client.submit(str, lock).result().startswith("<unlocked")


@pytest.mark.parametrize(
    ("fn", "way"),
    [(loop, "interrupt"), (hold, "interrupt"), (stubborn, "interrupt"), (loop, "kill")],
)
def test_it_is_cancelled_and_nobody_else_notices(
    client: Client, gate: Gate, fn: Callable[[str], Any], way: Any
) -> None:
    """Its process alone ends for it."""
    shared = client.submit(pid).result()
    future = client.submit(fn, gate.path, on_cancel=way, executor="process")
    gate.wait()
    future.cancel()
    assert future.status == "cancelled"
    assert client.submit(pid).result() == shared
    assert isinstance(
        client.submit(fn, os.devnull, executor="process", timeout=0.2).exception(), TaskTimeout
    )
    assert client.submit(pid).result() == shared


def test_it_takes_a_slot(worker: Cluster, client: Client, gate: Gate, tmp_path: Any) -> None:
    """Beside it runs what the others leave room for, and no more; while it waits, all of it."""
    slots = client.ncores()[next(iter(client.ncores()))]
    busy = client.submit(hold_politely, gate.path, str(tmp_path / "end"), executor="process")
    gate.wait()
    others = [client.submit(inc, number) for number in range(5)]
    if slots == 1:
        looked = client.submit(inc, 1, timeout=30, deadline=0.3)
        assert isinstance(looked.exception(), TaskTimeout)  # it had no slot
        assert not any(each.done() for each in others)
    (tmp_path / "end").touch()
    assert client.gather([busy, *others]) == [None, 1, 2, 3, 4, 5]


def hold_politely(gate: str, end: str) -> None:
    """Until it is told."""
    begin(gate)
    while not os.path.exists(end):  # noqa: PTH110 - as short as can be
        time.sleep(0.001)  # the body of a task


def asks_others(depth: int) -> list[int]:
    """It has a client, and waits for what that runs, on the same slots."""
    found = [os.getpid()]
    if depth:
        inner = get_client()
        found += inner.submit(
            asks_others, depth - 1, executor="process" if depth % 2 else None
        ).result()
    print("depth", depth, get_worker().nthreads)  # noqa: T201 - to be heard
    return found


def test_it_starts_tasks_and_waits_for_them(client: Client) -> None:
    """Also where there is one slot."""
    future = client.submit(asks_others, 4, executor="process")
    found = future.result()
    assert len(set(found)) == 4  # two of them run where all others do
    assert future.logs()
    assert client.submit(inc, 1).result() == 2


def die() -> None:
    """Not by an exception."""
    os._exit(7)


def test_its_death_is_its_own(client: Client) -> None:
    """What it shares with nobody it costs nobody."""
    shared = client.submit(pid).result()
    with pytest.raises(KilledWorker, match="exited with code 7"):
        client.submit(die, executor="process").result()
    assert client.submit(pid).result() == shared


def test_the_process_of_the_others_dies_beside_it(
    client: Client, gate: Gate, tmp_path: Any
) -> None:
    """It goes on; and so do they, in another."""
    shared = client.submit(pid).result()
    busy = client.submit(hold_politely, gate.path, str(tmp_path / "end"), executor="process")
    gate.wait()
    psutil.Process(shared).kill()
    wait_for_the_end(shared)
    (tmp_path / "end").touch()
    assert busy.result() is None
    assert client.submit(pid).result() != shared
    assert client.gather(client.map(inc, range(20))) == list(range(1, 21))


def test_a_worker_that_leaves_lets_it_end(tmp_path: Any, gate: Gate) -> None:
    """What it has made goes to another worker; of its processes nothing is left."""
    with open_cluster() as cluster:
        first = cluster.workers(1, "--nthreads", "1", "--name", "first")
        with Client(cluster.address, config=cluster.config) as client:
            busy = client.submit(
                hold_politely, gate.path, str(tmp_path / "end"), executor="process"
            )
            gate.wait()
            waiting = client.submit(pid, executor="process", priority=-1)
            cluster.workers(1, "--name", "second")
            processes = first.children()
            assert len(processes) == 2
            done = threading.Thread(target=client.retire_workers, args=(["first"],))
            done.start()
            assert waiting.result() > 0
            (tmp_path / "end").touch()
            assert busy.result() is None
            done.join()
            assert first.wait() == 0
            wait_for_the_end(*(each.pid for each in processes))


async def test_an_async_client_can(worker: Cluster) -> None:
    """The same option; a call that is given up ends its process."""
    async with AsyncClient(worker.address, config=worker.config) as client:
        assert await client.submit(inc, 1, executor="process") == 2
        shared = await client.submit(pid)
        with trio.move_on_after(0.3) as scope:
            await client.call(loop, os.devnull, executor="process")
        assert scope.cancelled_caught
        assert await client.submit(pid) == shared
