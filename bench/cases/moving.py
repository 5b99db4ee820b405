"""Large values between a client and the workers of its own host."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.graphs import Calls
    from bench.turn import Turn

#: The first ones are not counted: memory is found, connections are made.
_COLD: Final = 2
#: A value that is as large as those that are shared are at least.
_SMALL: Final = 1 << 20


def made(number: int, nbytes: int) -> Any:
    """A large array."""
    import numpy as np

    return np.full(nbytes // 8, number, "u8")


def first_of(array: Any) -> int:
    """A byte of it."""
    return int(array[0])


def summed(array: Any) -> int:
    """What is in it."""
    return int(array.sum())


def measure(turn: Turn) -> dict[str, float]:
    """Gather one that is computed, read all of it, and scatter one; the best of some.

    The best, as memory is what limits it, and whoever else uses the machine's. Nothing is kept
    from one to the next, so that what a system keeps warm is used again.
    """
    client, nbytes = turn.running.client, turn.scale.large
    gathered, read, scattered = [], [], []
    for number in range(1, _COLD + turn.scale.moves + 1):
        futures = client.start(_calls(made, number, nbytes))
        client.wait(futures)
        began = perf_counter()
        [array] = client.gather(futures)
        gathered.append(perf_counter() - began)
        assert summed(array) == number * (nbytes // 8), "wrong values"
        read.append(perf_counter() - began)
        del array, futures
        array = made(number, nbytes)
        began = perf_counter()
        futures = client.scatter([array])
        scattered.append(perf_counter() - began)
        sums = client.start(_calls(summed, *futures))
        assert client.gather(sums) == [number * (nbytes // 8)], "wrong values"
        del array, futures, sums
    return {
        "gathered GB/s": _rate(nbytes, gathered),
        "gathered and summed up GB/s": _rate(nbytes, read),
        "scattered GB/s": _rate(nbytes, scattered),
        "task that reads no value ms": _first_byte(turn, 0),
        "task that reads a byte of 1 MiB ms": _first_byte(turn, _SMALL),
        "task that reads a byte of all of it ms": _first_byte(turn, nbytes),
    }


def _first_byte(turn: Turn, nbytes: int) -> float:
    """Until a task has given the first byte of a value that is with a worker; the best of some.

    Of none it is the task alone.
    """
    client = turn.running.client
    seconds = []
    array = made(7, nbytes)
    for number in range(turn.scale.touches):
        array[:1] = number  # another value: equal ones may be the same one to a system
        futures = client.scatter([array]) if nbytes else [[number]]
        began = perf_counter()
        assert client.gather(client.start(_calls(first_of, *futures))) == [number], "wrong values"
        seconds.append(perf_counter() - began)
        del futures
    return 1e3 * min(seconds)


def _calls(fn: Callable[..., Any], *args: Any) -> Callable[[Calls], list[Any]]:
    return lambda calls: [calls.submit(fn, *args)]


def _rate(nbytes: int, seconds: list[float]) -> float:
    return nbytes / min(seconds[_COLD:]) / 1e9
