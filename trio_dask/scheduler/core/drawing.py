"""Which queues a worker may draw from, and which workers a queue may be drawn by.

There may be as many requirements as workers: what names a worker is found by that name, and
only what is new, or may be run by a worker whose window has changed, is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_dask.scheduler.core.hosts import hosts_of, is_meant, meant
from trio_dask.scheduler.core.nests import urgency

if TYPE_CHECKING:
    from trio_dask.scheduler.core.ready import ReadyQueue
    from trio_dask.scheduler.core.state import ClusterState, Requirement, Worker


#: So often in a row what is at home goes before what was submitted earlier.
_PASSED_MAX: Final = 8


def enlist(state: ClusterState, requirement: Requirement) -> None:
    """It has a ready task."""
    state.fresh[requirement] = None
    if requirement in state.restricted:
        return
    state.restricted[requirement] = None
    for name in requirement.workers:
        state.named.setdefault(name, {})[requirement] = None
    if requirement.allow_others or not requirement.workers:
        state.unnamed[requirement] = None


def delist(state: ClusterState, requirement: Requirement) -> None:
    """It has no ready task any more."""
    del state.restricted[requirement]
    state.fresh.pop(requirement, None)
    state.unnamed.pop(requirement, None)
    for name in dict.fromkeys(requirement.workers):
        found = state.named[name]
        found.pop(requirement, None)
        if not found:
            del state.named[name]


def delist_all(state: ClusterState) -> None:
    """There are no ready tasks."""
    for table in (state.restricted, state.named, state.unnamed, state.fresh):
        table.clear()


def delist_empty(state: ClusterState) -> None:
    """What was ready has been taken back meanwhile, of some."""
    for requirement in tuple(state.restricted):
        if not len(requirement.queue):
            delist(state, requirement)


def look_again(state: ClusterState) -> None:
    """Who is here has changed: of any requirement others may be those who are named."""
    state.fresh.update(state.restricted)


def worth_a_look(state: ClusterState) -> dict[Requirement, None]:
    """Those for which there may be room now that there was not at the last look."""
    found = dict.fromkeys(state.fresh)
    for worker in state.touched:
        found.update(_asking(state, worker))
    return found


def _asking(state: ClusterState, worker: Worker) -> dict[Requirement, None]:
    """Those that the worker may be named by."""
    found = dict.fromkeys(state.unnamed)
    if state.named:
        for name in (worker.name, worker.address, *hosts_of(worker)):
            found.update(state.named.get(name, ()))
    return found


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
    return [
        worker
        for name in requirement.workers
        for worker in meant(state, name)
        if worker.draining is None
    ]


def fits(requirement: Requirement, worker: Worker) -> bool:
    """Whether the worker has free what the task takes."""
    free = worker.free_resources
    return all(free.get(name, 0) >= units for name, units in requirement.resources)


def _may_run(state: ClusterState, requirement: Requirement, worker: Worker) -> bool:
    if not fits(requirement, worker):
        return False
    if not requirement.workers:
        return True
    if worker.draining is None and is_meant(state, requirement.workers, worker):
        return True
    return requirement.allow_others and not _named(state, requirement)


def best_queue(state: ClusterState, worker: Worker) -> ReadyQueue | None:
    """Of the queues that the worker may draw from, the one with the lowest rank in front."""
    return _best(drawable(state, worker))


def next_queue(worker: Worker, queues: list[ReadyQueue]) -> ReadyQueue | None:
    """Which of the queues that are `drawable` it draws from.

    Of the same priority, what uses values that are here goes before what brings new ones,
    else a program that loads much to make it small would have all of it in memory first. It
    does so a few times in a row: nothing waits for ever because others came home.
    """
    best, home = _best(queues), worker.home
    if best is home or best is None or not len(home):
        worker.passed = 0
        return best
    first, other = home.peek(), best.peek()
    passes = first is not None and other is not None and urgency(first.rank) == urgency(other.rank)
    if not passes or worker.passed >= _PASSED_MAX:
        worker.passed = 0
        return best
    worker.passed += 1
    return home


def _best(queues: list[ReadyQueue]) -> ReadyQueue | None:
    best, best_rank = None, 0
    for queue in queues:
        head = queue.peek()
        if head is not None and (best is None or head.rank < best_rank):
            best, best_rank = queue, head.rank
    return best


def drawable(state: ClusterState, worker: Worker) -> list[ReadyQueue]:
    """The queues that the worker may draw from, as far as there is something in them."""
    queues = [worker.home, state.anywhere.queue]
    if state.restricted:
        asking = _asking(state, worker)
        queues += [each.queue for each in asking if _may_run(state, each, worker)]
    return [queue for queue in queues if len(queue)]
