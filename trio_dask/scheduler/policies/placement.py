"""Which worker a task suits, and how much a worker is given ahead of time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from trio_dask.scheduler.core.settings import CoreSettings
    from trio_dask.scheduler.core.state import Task, Worker

#: What a task of an unknown kind counts as when workers' loads are compared, seconds.
UNKNOWN_S: Final = 0.1
#: Where nobody holds this share of the inputs, a worker is as good a home as another that holds
#: hardly more: nearly all has to be moved in any case.
_MOST: Final = 0.3
_NEARLY: Final = 0.5
#: What it takes the scheduler to give a worker something and to hear of it, sockets included, seconds.
MESSAGE_S: Final = 50e-6


def home_of(task: Task) -> Worker | None:
    """The worker that holds most of the task's inputs, in bytes; None if none holds any.

    Inputs that travel with the task are everywhere at once and do not count.
    """
    deps = task.deps
    if len(deps) == 1:
        holders = deps[0].holders
        return _least(holders) if holders else None
    held: dict[Worker, int] = {}
    total = 0
    for dep in deps:
        if dep.holders:
            nbytes = dep.nbytes + 1
            total += nbytes
            for worker in dep.holders:
                held[worker] = held.get(worker, 0) + nbytes
    best = None
    for worker, nbytes in held.items():
        if _stays(worker) and (best is None or nbytes > held[best]):
            best = worker
    if best is None or held[best] >= total * _MOST:
        return best
    enough = held[best] * _NEARLY
    near = [each for each, nbytes in held.items() if nbytes >= enough and _stays(each)]
    return min(near, key=_wait_s)


def _least(holders: list[Worker]) -> Worker | None:
    best = None
    for worker in holders:
        if _stays(worker) and (best is None or len(worker.window) < len(best.window)):
            best = worker
    return best


def _wait_s(worker: Worker) -> float:
    """About how long what comes to the worker now has to wait there, seconds."""
    return (load_s(worker) + UNKNOWN_S * len(worker.home)) / max(1, worker.slots)


def _stays(worker: Worker) -> bool:
    """Whether what goes to the worker is not about to leave with it."""
    return worker.alive and worker.draining is None


def load_s(worker: Worker) -> float:
    """The estimated running time of everything in a worker's window, seconds."""
    total = 0.0
    for prefix, count in worker.load.items():
        estimate = prefix.estimate_s()
        total += count * (estimate if estimate >= 0 else UNKNOWN_S)
    return total


def worth_a_message(count: int, even: int, estimate_s: float, least_s: float) -> int:
    """How many of `count` tasks that take this long a worker is given, where each could have `even`.

    Given out `n` at a time they cost the scheduler ``count / n`` messages, and a worker ``n`` times
    their length: the sum of both is least where neither is more than the other. An estimate below
    zero is none; `least_s` is the shortest that is believed.

    >>> worth_a_message(4000, 4, 10e-6, 1e-6), worth_a_message(4000, 4, 1.0, 1e-6)
    (141, 4)
    """
    if estimate_s < 0:
        return max(1, even)
    return max(1, even, int(math.sqrt(MESSAGE_S * count / max(estimate_s, least_s))))


def time_room_s(worker: Worker, settings: CoreSettings) -> float:
    """How much more estimated running time fits into a worker's window, seconds.

    Zero when something of unknown length is in it: then only the slots count.
    """
    room = worker.slots * settings.window_horizon_s
    for prefix, count in worker.load.items():
        estimate = prefix.estimate_s()
        if estimate < 0:
            return 0.0
        room -= count * max(estimate, settings.estimate_min_s)
    return room


def worth_moving(task: Task, home: Worker, idle: Worker, settings: CoreSettings) -> bool:
    """Whether a task that waits for its home would start sooner with `idle`, which does nothing.

    What neither of them holds has to be moved in any case.
    """
    more = 0
    for dep in task.deps:
        holders = dep.holders
        if holders:
            more += dep.nbytes * ((home in holders) - (idle in holders))
    move_s = more / settings.bandwidth + 0.001
    return load_s(home) / max(1, home.slots) > move_s or not home.slots
