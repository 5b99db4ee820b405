"""What the systems compute: the same code for each of them, with the right result beside it.

A graph is built with `submit` and `map`, whose results are arguments of later calls, alone or in
a list. That is all that the systems have to have in common.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PRIME: Final = 1_000_003
_POLL_S: Final = 0.01


class Calls(Protocol):
    """What a graph is built with."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Any:
        """A future for one call."""

    def map(self, fn: Callable[..., Any], /, *iterables: Iterable[Any]) -> list[Any]:
        """A future for each row."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Tasks, and the values of those that are asked for."""

    tasks: int
    build: Callable[[Calls], list[Any]]
    expected: list[Any]


# ------------------------------------------------------------ what tasks do


def inc(x: int) -> int:
    """As little as a task can do."""
    return x + 1


def add(x: int, y: int) -> int:
    """Two inputs."""
    return (x + y) % _PRIME


def total(values: list[int]) -> int:
    """Many inputs."""
    return sum(values)


def text_of(number: int) -> bytes:
    """A value of a kilobyte, different for each number."""
    return b"%08d" % number * 125


def doze(number: int, seconds: float) -> int:
    """A task that takes a while and no processor."""
    time.sleep(seconds)
    return number


def hold(path: str) -> int:
    """Occupy a worker for as long as a file is there."""
    while Path(path).exists():
        time.sleep(_POLL_S)
    return 0


# ------------------------------------------------------------ graphs


def noop_map(tasks: int) -> Graph:
    """Tasks that have nothing to do with each other."""
    numbers = range(tasks)
    return Graph(tasks, lambda calls: calls.map(inc, numbers), list(range(1, tasks + 1)))


def chains(count: int, length: int) -> Graph:
    """So many chains, each of so many tasks of which one needs the one before."""

    def build(calls: Calls) -> list[Any]:
        ends = calls.map(inc, range(count))
        for _ in range(length - 1):
            ends = [calls.submit(inc, end) for end in ends]
        return ends

    return Graph(count * length, build, list(range(length, count + length)))


def tree(leaves: int) -> Graph:
    """Pairs are added until one is left; `leaves` is a power of two."""

    def build(calls: Calls) -> list[Any]:
        level = calls.map(inc, range(leaves))
        while len(level) > 1:
            level = calls.map(add, level[::2], level[1::2])
        return level

    return Graph(2 * leaves - 1, build, [leaves * (leaves + 1) // 2 % _PRIME])


def merge(inputs: int) -> Graph:
    """Many tasks, and one that takes all of their values."""

    def build(calls: Calls) -> list[Any]:
        return [calls.submit(total, calls.map(inc, range(inputs)))]

    return Graph(inputs + 1, build, [inputs * (inputs + 1) // 2])


def crossbar(width: int) -> Graph:
    """Rows and columns, and a task for each pair of them."""

    def build(calls: Calls) -> list[Any]:
        rows = calls.map(inc, range(width))
        columns = calls.map(inc, range(width))
        return [calls.submit(add, row, column) for row in rows for column in columns]

    pairs = [(row + column + 2) % _PRIME for row in range(width) for column in range(width)]
    return Graph(width * width + 2 * width, build, pairs)


def texts(count: int) -> Graph:
    """Values of a kilobyte."""
    return Graph(
        count,
        lambda calls: calls.map(text_of, range(count)),
        [text_of(number) for number in range(count)],
    )


def dozes(count: int, seconds: float) -> Graph:
    """Tasks that take a while."""
    return Graph(
        count,
        lambda calls: calls.map(doze, range(count), [seconds] * count),
        list(range(count)),
    )
