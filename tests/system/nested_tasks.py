"""Tasks that start tasks."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from trio_dask import (
    Reschedule,
    as_completed,
    fire_and_forget,
    get_client,
    get_worker,
    rejoin,
    secede,
    wait,
)


def fib(n: int) -> int:
    """By futures, in blocking code."""
    if n < 2:
        return n
    client = get_client()
    first, second = client.submit(fib, n - 1), client.submit(fib, n - 2)
    return int(first.result() + second.result())


async def async_fib(n: int) -> int:
    """The same in async code."""
    if n < 2:
        return n
    client = get_client()
    first, second = client.submit(async_fib, n - 1), client.submit(async_fib, n - 2)
    return int(await first + await second)


def down(n: int) -> int:
    """A chain of tasks, each inside the one before."""
    return 0 if n == 0 else 1 + int(get_client().submit(down, n - 1).result())


async def async_down(n: int) -> int:
    """The same in async code."""
    return 0 if n == 0 else 1 + int(await get_client().submit(async_down, n - 1))


def double(x: int) -> int:
    """A child."""
    return 2 * x


def many(count: int) -> int:
    """A parent of many."""
    client = get_client()
    return sum(client.gather(client.map(double, range(count))))


def all_ways(count: int) -> list[Any]:
    """Each way of waiting, with the client of a block, which goes on after it."""
    with get_client() as client:
        pass
    futures = client.map(double, range(count))
    done, not_done = wait(futures)
    each = sorted(value for _, value in as_completed(futures, with_results=True))
    with client.scope() as scope:
        inner = scope.submit(sum, futures)
    stored = client.scatter([1, 2, 3])
    total = client.submit(sum, stored)
    info = client.scheduler_info()["type"]
    assert type(client).__name__ == "TaskClient"
    assert client is get_client()
    assert type(client).current() is client
    return [len(done), len(not_done), each, inner.result(), total.result(), info]


def numbers(n: int) -> np.ndarray:
    """A value that stays where it was made."""
    return np.arange(n)


def gathers(n: int) -> int:
    """It gets a large value."""
    client = get_client()
    return int(client.submit(numbers, n).result()[-1])


def total_of(array: np.ndarray) -> float:
    """A child with a large argument."""
    return float(array.sum())


def passes_on(n: int) -> float:
    """It has a large argument for a child."""
    return float(get_client().submit(total_of, np.ones(n)).result())


def endless(begun: str) -> None:
    """A child that never ends."""
    Path(begun).touch()
    while True:
        time.sleep(0.01)


def waits_for_ever(begun: str) -> None:
    """Its parent."""
    get_client().submit(endless, begun).result()


async def async_waits_for_ever(begun: str) -> None:
    """The same in async code."""
    await get_client().submit(endless, begun)


def dies_once(begun: str, count: int) -> int:
    """Its process is killed while its children run; the next time it is not."""
    client = get_client()
    futures = client.map(double, range(count))
    if not Path(begun).exists():
        client.submit(double, 1).result()
        Path(begun).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return sum(client.gather(futures))


def returns_futures() -> Any:
    """What must not be."""
    return [1, {"two": get_client().submit(double, 2)}]


def leaves_work_behind(path: str) -> int:
    """Somebody else's work from now on."""
    fire_and_forget(get_client().submit(touch, path))
    return 1


def touch(path: str) -> None:
    """Be seen."""
    Path(path).touch()


def steps_aside(gate: str) -> str:
    """It waits without a slot for what only another task can do."""
    secede()
    while not Path(gate).exists():
        time.sleep(0.01)
    rejoin()
    return get_worker().key


async def async_steps_aside(gate: str) -> str:
    """The same in async code."""
    import trio

    secede()
    while True:
        if Path(gate).exists():
            break
        await trio.lowlevel.checkpoint()
    await rejoin()
    return get_worker().key


def again(marker: str) -> int:
    """Not the first time."""
    if not Path(marker).exists():
        Path(marker).touch()
        raise Reschedule
    return 7


def from_a_thread() -> int:
    """A thread of the task's own uses its client, too."""
    client = get_client()
    found: list[int] = []
    child = client.submit(double, 4)
    thread = threading.Thread(target=lambda: found.append(child.result()))
    thread.start()
    own = client.submit(double, 4).result()
    thread.join()
    return found[0] + int(own)


def fails() -> None:
    """A child that raises."""
    raise ValueError("from below")


def scope_of_failure(begun: str) -> Any:
    """A scope inside a task stops what is left in it."""
    with get_client().scope() as scope:
        scope.submit(endless, begun)
        scope.submit(fails)


def held(begun: str, gate: str) -> int:
    """A child that has the only slot until the gate is open."""
    touch(begun)
    while not Path(gate).exists():
        time.sleep(0.01)
    return 1


def impatient(begun: str, gate: str) -> int:
    """Its time for waiting is up while the child has the slot, and it opens the gate then."""
    child = get_client().submit(held, begun, gate)
    while not Path(begun).exists():
        with suppress(TimeoutError):
            child.result(timeout=0.05)
    with suppress(TimeoutError):
        child.result(timeout=0.05)
    touch(gate)
    return int(child.result() + get_client().submit(double, 4).result())


async def async_impatient(begun: str, gate: str) -> int:
    """The same in async code."""
    child = get_client().submit(held, begun, gate)
    while not Path(begun).exists():
        with suppress(TimeoutError):
            await child.result(timeout=0.05)
    with suppress(TimeoutError):
        await child.result(timeout=0.05)
    touch(gate)
    return int(await child + await get_client().submit(double, 4))


def deaf(begun: str, fifo: str) -> None:
    """A child in a call that does not end, and that nothing interrupts."""
    touch(begun)
    os.open(fifo, os.O_RDONLY)


def stops_the_deaf(begun: str, fifo: str) -> str:
    """A cancelled child does not keep its parent from going on, though it has the only slot."""
    client = get_client()
    child = client.submit(deaf, begun, fifo)
    while not Path(begun).exists():
        with suppress(TimeoutError):
            child.result(timeout=0.05)
    child.cancel()
    wait(child)
    return str(child.status)
