"""Which queues a worker may draw from, and which workers a queue may be drawn by."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio_dask.scheduler.core.ready import ReadyQueue
    from trio_dask.scheduler.core.state import ClusterState, Requirement, Worker


def candidates(state: ClusterState, requirement: Requirement) -> list[Worker]:
    """Workers that may run such a task now."""
    named = named_workers(state, requirement)
    return [worker for worker in named if worker.slots and fits(requirement, worker)]


def named_workers(state: ClusterState, requirement: Requirement) -> list[Worker]:
    """Workers that are asked for, or all where any will do."""
    named = _named(state, requirement)
    if not named and (requirement.allow_others or not requirement.workers):
        named = list(state.workers.values())
    return list(dict.fromkeys(named))


def _named(state: ClusterState, requirement: Requirement) -> list[Worker]:
    """The workers that it names, as far as they are here to stay."""
    named = map(state.find_worker, requirement.workers)
    return [worker for worker in named if worker is not None and worker.draining is None]


def fits(requirement: Requirement, worker: Worker) -> bool:
    """Whether the worker has free what the task takes."""
    free = worker.free_resources
    return all(free.get(name, 0) >= units for name, units in requirement.resources)


def _may_run(state: ClusterState, requirement: Requirement, worker: Worker) -> bool:
    if not fits(requirement, worker):
        return False
    if not requirement.workers:
        return True
    named = _named(state, requirement)
    return worker in named or (not named and requirement.allow_others)


def best_queue(state: ClusterState, worker: Worker) -> ReadyQueue | None:
    """Of the queues that the worker may draw from, the one with the lowest rank in front."""
    queues = [worker.home, state.anywhere.queue]
    queues += [each.queue for each in state.restricted if _may_run(state, each, worker)]
    best, best_rank = None, 0
    for queue in queues:
        head = queue.peek()
        if head is not None and (best is None or head.rank < best_rank):
            best, best_rank = queue, head.rank
    return best
