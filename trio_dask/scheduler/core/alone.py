"""Tasks that run alone on their worker: those whose process was killed for want of memory.

A worker is *kept* for such a task: it is given nothing more, what it has not begun is
asked back, and when nothing runs there any more the task goes there. Until it has ended
the worker counts as one without slots, so that nothing else is placed there. Tasks that
wait for others have no slot, and do not count: it may be this one that they wait for. And
when it waits itself the worker is not kept any longer, as it may wait for what will run there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from trio_dask.scheduler.core.drawing import best_queue, fits, named_workers
from trio_dask.scheduler.core.lifecycle import recall
from trio_dask.scheduler.core.windows import assign, busy, touch

if TYPE_CHECKING:
    from trio_dask.scheduler.core.state import ClusterState, Requirement, Task, Worker

#: Which workers may run a task: what it requires, and, if its inputs are bound to one, which.
Place: TypeAlias = "tuple[Requirement, Worker | None]"


def place_alone(state: ClusterState) -> None:
    """Keep workers for the tasks that run alone, and send these to where nothing runs any more."""
    for worker in tuple(state.kept):
        if not _is_kept_well(state, worker):
            release(state, worker)
    for place in tuple(state.alone):
        while _place_first(state, place):
            pass
        if not len(state.alone[place]):
            del state.alone[place]


def beside_alone(state: ClusterState, worker: Worker) -> list[int]:
    """Attempts that are where one is that runs alone, and should not be.

    But for those that wait, or have waited, for others; and where that one has.
    """
    waited = worker.nested.keys() | worker.parked.keys()
    found: list[int] = []
    for attempt, task in worker.window.items():
        if state.runs_alone(task) and attempt not in waited:
            beside = worker.window.keys() - {attempt}
            found += sorted(each for each in beside if each > attempt or each not in waited)
    return found


def release(state: ClusterState, worker: Worker) -> None:
    """The worker is not kept any more."""
    worker.kept = None
    state.kept.pop(worker, None)
    worker.slots = worker.usable_slots
    touch(state, worker)


def _is_kept_well(state: ClusterState, worker: Worker) -> bool:
    """Whether its task is there, or is the next one that waits for such a worker."""
    task = worker.kept
    if task is None or not worker.alive or worker.draining is not None:
        return False
    if task.worker is worker:
        return task.attempt not in worker.parked
    queue = task.queue if task.queue in state.alone.values() else None
    waits = queue is not None and queue.peek() is task  # the first of them goes first
    there = worker.told > 0 and not worker.away
    return waits and there and not _is_outranked(state, worker, task)


def _is_outranked(state: ClusterState, worker: Worker, task: Task) -> bool:
    """Whether something of higher priority waits that the worker may run."""
    queue = best_queue(state, worker)
    head = queue.peek() if queue is not None else None
    return head is not None and head.rank < task.rank


def _place_first(state: ClusterState, place: Place) -> bool:
    """Place the first that waits there; whether the next one is to be looked at."""
    queue = state.alone[place]
    task = queue.peek()
    if task is None:
        return False
    keeper = next((worker for worker in state.kept if worker.kept is task), None)
    able = [
        worker
        for worker in _able(state, place)
        if worker.kept in (None, task) and not _is_outranked(state, worker, task)
    ]
    empty = next((each for each in able if not busy(each) and fits(place[0], each)), None)
    if empty is None:
        if keeper is None and able:
            _keep(state, min(able, key=state.load_s), task)
        return False
    if keeper is not None and keeper is not empty:
        release(state, keeper)
    queue.pop()
    _keep(state, empty, task)
    assign(state, empty, [task])
    touch(state, empty)
    return True


def _able(state: ClusterState, place: Place) -> list[Worker]:
    """Workers that may run it once nothing else does; those with less to do first."""
    requirement, bound = place
    found = named_workers(state, requirement) if bound is None else [bound]
    found = [
        worker for worker in found if worker.alive and not worker.away and worker.draining is None
    ]
    return [
        worker
        for worker in sorted(found, key=state.load_s)
        if worker.told
        and all(worker.resources.get(name, 0) >= units for name, units in requirement.resources)
    ]


def _keep(state: ClusterState, worker: Worker, task: Task) -> None:
    """Keep the worker for the task, and ask back what it has not begun."""
    worker.kept = task
    state.kept[worker] = None
    worker.slots = 0
    for attempt, each in tuple(worker.window.items()):
        if attempt in worker.parked:
            continue
        bound = state.pinned and any(dep.tid in state.pinned for dep in each.deps)
        recall(each, elsewhere=not bound)
    touch(state, worker)
