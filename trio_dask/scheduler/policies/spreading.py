"""Who takes a copy, who lets go of one, and what moves so that all hold about as much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_dask.scheduler.policies.leaving import free_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.scheduler.core.state import Task, Worker

#: So much more or less than the others hold is even.
EVEN: Final = 0.05


def by_room(workers: Iterable[Worker], task: Task) -> list[Worker]:
    """Those that have room for the value, first who is to take and holds least."""
    able = [worker for worker in workers if free_bytes(worker) >= task.nbytes]
    return sorted(able, key=lambda worker: (worker.incoming, len(worker.held), worker.number))


def to_be_dropped(holders: Iterable[Worker], task: Task, count: int) -> list[Worker]:
    """Who of those that hold the value need not: those that are to stay and had it first keep it.

    So whoever made it has it, and not one who happened to need it: a value that is lost was lost
    with those who were to hold it.
    """
    since = {worker: place for place, worker in enumerate(task.holders or ())}
    keep_first = sorted(holders, key=lambda each: (each.draining is not None, since[each]))
    return keep_first[max(1, count) :]


def moves(tasks: Iterable[Task], workers: Iterable[Worker]) -> list[tuple[Task, Worker, Worker]]:
    """Which values go from whom to whom, so that these workers hold about as many bytes each.

    Only values of which there is one copy, large ones first, and none that would make its
    receiver one that holds too much.
    """
    staying = [worker for worker in workers if worker.alive and worker.draining is None]
    if not staying:
        return []
    held = {worker: sum(task.nbytes for task in worker.held.values()) for worker in staying}
    mean = sum(held.values()) / len(staying)
    by_holder: dict[Worker, list[Task]] = {}
    for task in tasks:
        if task.holders and len(task.holders) == 1 and task.holders[0] in held:
            by_holder.setdefault(task.holders[0], []).append(task)
    found: list[tuple[Task, Worker, Worker]] = []
    for source in sorted(by_holder, key=lambda worker: (-held[worker], worker.number)):
        for task in sorted(by_holder[source], key=lambda task: (-task.nbytes, task.tid)):
            if held[source] <= mean * (1 + EVEN):
                break
            to = min(staying, key=lambda worker: (held[worker], worker.number))
            after = held[to] + task.nbytes
            if to is source or after > mean * (1 + EVEN) or free_bytes(to) < task.nbytes:
                continue
            held[source] -= task.nbytes
            held[to] = after
            found.append((task, source, to))
    return found
