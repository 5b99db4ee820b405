"""Who leaves when nobody is named, what moves first, and to whom."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.scheduler.core.state import Task, Worker

#: Workers are filled up to this share of their limit: their tasks need memory, too.
FULL: Final = 0.8


def move_order(task: Task) -> tuple[bool, int]:
    """By which values leave a worker: what cannot be made again first, then what is small."""
    return task.args is not None, task.nbytes


def free_bytes(worker: Worker) -> float:
    """How much the worker may be told to copy; without a memory limit, anything."""
    if not worker.memory_limit:
        return math.inf
    return FULL * worker.memory_limit - used_bytes(worker) - worker.incoming


def used_bytes(worker: Worker) -> int:
    """What the worker has last said to use: its runner, and the values beside it."""
    used = _count(worker.metrics.get("memory"))
    if used:
        return used
    runner = worker.metrics.get("runner")
    return _count(worker.metrics.get("store_bytes")) + _count(
        runner.get("rss") if isinstance(runner, dict) else 0
    )


def _count(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0


def workers_to_close(
    workers: Iterable[Worker], *, n: int | None, minimum: int, memory_ratio: float | None
) -> list[Worker]:
    """Workers that may go: `n` of them, or those that are idle and whose memory is not needed.

    Those that hold least go first, of those the youngest. At least `minimum` stay; without
    `n` as many as have together `memory_ratio` times the memory of all values.
    """
    staying = [worker for worker in workers if worker.draining is None]
    most = len(staying) - minimum if n is None else min(n, len(staying) - minimum)
    limit = sum(worker.memory_limit for worker in staying)
    values = {worker: sum(task.nbytes for task in worker.held.values()) for worker in staying}
    needed = sum(values.values()) * (2.0 if memory_ratio is None else memory_ratio)
    closing: list[Worker] = []
    for worker in sorted(staying, key=lambda each: (len(each.window), values[each], -each.number)):
        limit -= worker.memory_limit
        unneeded = not worker.window and limit >= needed
        if len(closing) >= most or not (n is not None or unneeded):
            break
        closing.append(worker)
    return closing
