"""What is measured of a running system: throughput with CPU by role, and round trips."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import anyio

from bench.clusters import cpu_by_role, inc, our_roles

if TYPE_CHECKING:
    from trio_dask.client import AsyncClient


def median(values: list[float]) -> float:
    """The middle one."""
    return sorted(values)[len(values) // 2]


def quantile(values: list[float], share: float) -> float:
    """The one below which that share lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def our_map(client: AsyncClient, tasks: int) -> dict[str, float]:
    """A map of no-ops, gathered and checked: tasks a second, CPU µs per task by role."""
    roles = our_roles()
    before = cpu_by_role(roles)
    began = time.perf_counter()
    futures = client.map(inc, range(tasks))
    results = await client.gather(futures)
    seconds = time.perf_counter() - began
    after = cpu_by_role(roles)
    assert results == list(range(1, tasks + 1))
    figures = {"tasks/s": tasks / seconds}
    for role, used in after.items():
        figures[f"{role} CPU µs/task"] = (used - before[role]) / tasks * 1e6
    return figures


async def our_latency(client: AsyncClient, count: int) -> dict[str, float]:
    """Submit, await, repeat: milliseconds."""
    times = []
    for number in range(count):
        began = time.perf_counter()
        assert await client.submit(inc, number) == number + 1
        times.append((time.perf_counter() - began) * 1e3)
    return {"p50 ms": quantile(times, 0.5), "p99 ms": quantile(times, 0.99)}


async def our_memory(client: AsyncClient, tasks: int) -> dict[str, float]:
    """Many tasks at once: the scheduler's memory per task at its height, and after release."""
    scheduler = our_roles()["scheduler"][0]
    before = scheduler.memory_info().rss
    began = time.perf_counter()
    futures = client.map(inc, range(tasks))
    await client.flush()
    height = scheduler.memory_info().rss
    results = await client.gather(futures)
    seconds = time.perf_counter() - began
    assert results[-1] == tasks
    height = max(height, scheduler.memory_info().rss)
    del futures, results
    await client.flush()
    await anyio.sleep(2)  # memory is given back at the scheduler's next tick
    after = scheduler.memory_info().rss
    return {
        "tasks/s": tasks / seconds,
        "bytes per task": (height - before) / tasks,
        "returned %": 100 * (height - after) / max(1, height - before),
    }


def distributed_map(client: Any, tasks: int) -> dict[str, float]:
    """The same map on dask.distributed."""
    began = time.perf_counter()
    futures = client.map(inc, range(tasks), pure=False)
    results = client.gather(futures)
    seconds = time.perf_counter() - began
    assert results == list(range(1, tasks + 1))
    return {"tasks/s": tasks / seconds}


def distributed_latency(client: Any, count: int) -> dict[str, float]:
    """The same round trips on dask.distributed."""
    times = []
    for number in range(count):
        began = time.perf_counter()
        assert client.submit(inc, number, pure=False).result() == number + 1
        times.append((time.perf_counter() - began) * 1e3)
    return {"p50 ms": quantile(times, 0.5), "p99 ms": quantile(times, 0.99)}
