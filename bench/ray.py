"""Ray, where it is installed, behind the same face as the others."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from importlib import import_module
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import psutil

from bench.clients import Client
from bench.graphs import inc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bench.graphs import Calls

_STORE_BYTES: Final = 2 << 30
#: What it calls the processes in which tasks run, in the list of processes.
_HAND: Final = "ray::"
_AGENT: Final = "Agent"


@contextmanager
def open_ray(processes: int) -> Iterator[tuple[Client, Callable[[], dict[str, list[int]]]]]:
    """A client, and the processes behind it by what they do."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nobody is told that it is measured
    ray: Any = import_module("ray")
    ray.init(
        num_cpus=processes,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=_STORE_BYTES,
    )
    try:
        yield RayClient(ray), _roles
    finally:
        ray.shutdown()


def _roles() -> dict[str, list[int]]:
    """What runs users' code, and everything else."""
    roles: dict[str, list[int]] = {"scheduler": [], "worker": []}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            name = "".join(process.cmdline()[:1])
            runs_tasks = name.startswith(_HAND) and _AGENT not in name
            roles["worker" if runs_tasks else "scheduler"].append(process.pid)
    return roles


class RayClient(Client):
    """Ray's functions. Futures in a list are no inputs to it, so lists are taken apart."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._remote: dict[Callable[..., Any], Any] = {}
        self._call = ray.remote(call_with_lists)

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Any:
        """For graphs."""
        if any(isinstance(arg, list) for arg in args):
            lengths = [len(arg) if isinstance(arg, list) else -1 for arg in args]
            flat = [each for arg in args for each in (arg if isinstance(arg, list) else [arg])]
            return self._call.remote(fn, lengths, *flat)
        remote = self._remote.get(fn)
        if remote is None:
            remote = self._remote[fn] = self._ray.remote(fn)
        return remote.remote(*args)

    def map(self, fn: Callable[..., Any], /, *iterables: Iterable[Any]) -> list[Any]:
        """For graphs."""
        return [self.submit(fn, *row) for row in zip(*iterables, strict=False)]

    def start(self, build: Callable[[Calls], list[Any]]) -> list[Any]:
        return build(self)

    def gather(self, futures: list[Any]) -> list[Any]:
        values: list[Any] = self._ray.get(futures)
        return values

    def scatter(self, values: list[Any]) -> list[Any]:
        return [self._ray.put(value) for value in values]

    def wait(self, futures: list[Any]) -> None:
        self._ray.wait(futures, num_returns=len(futures))

    def one_by_one(self, count: int, **options: Any) -> list[float]:
        seconds = []
        for number in range(count):
            began = perf_counter()
            value = self._ray.get(self.submit(inc, number))
            seconds.append(perf_counter() - began)
            assert value == number + 1
        return seconds

    def ping(self) -> None:
        self._ray.nodes()


def call_with_lists(fn: Callable[..., Any], lengths: list[int], *flat: Any) -> Any:
    """Call a function with arguments of which some are lists; -1: it is none.

    >>> call_with_lists(max, [2, -1], 3, 4, [9])
    [9]
    """
    args: list[Any] = []
    at = 0
    for length in lengths:
        args.append(flat[at] if length < 0 else list(flat[at : at + length]))
        at += max(1, length) if length else 0
    return fn(*args)
