"""From the queues into the windows: late binding, by priority, in batches.

Each worker has a window of attempts: a task more than it has slots, but for the last
tasks, and beyond that as much as is expected to keep it busy for a horizon. So short tasks
travel in large batches and long ones stay here, where they can still go anywhere.
The least loaded worker draws next, from all queues it may draw from, lowest rank
first. The work for each task does not depend on how many workers there are.
"""

from __future__ import annotations

from heapq import heappop
from typing import TYPE_CHECKING, Final

from trio_dask.scheduler.core.alone import place_alone
from trio_dask.scheduler.core.drawing import (
    candidates,
    delist,
    drawable,
    look_again,
    next_queue,
    worth_a_look,
)
from trio_dask.scheduler.core.overtaking import overtake
from trio_dask.scheduler.core.windows import assign, busy, touch
from trio_dask.scheduler.policies.placement import time_room_s, worth_a_message

if TYPE_CHECKING:
    from trio_dask.scheduler.core.ready import ReadyQueue
    from trio_dask.scheduler.core.state import ClusterState, Task, Worker


#: So many tasks cost as much as the message that they are in.
_MESSAGE: Final = 16


def _least_loaded(state: ClusterState) -> Worker | None:
    heap = state.by_load
    while heap:
        _, stamp, worker = heap[0]
        if stamp == worker.stamp and worker.alive and worker.slots:
            return worker
        heappop(heap)
    return None


def dispatch(state: ClusterState) -> None:
    """Fill the windows, as far as a turn goes."""
    pace = state.pace
    pace.undealt = False
    if state.alone or state.kept:
        place_alone(state)
    if state.restricted:
        _dispatch_restricted(state)
    # What waits for its home does not wait behind another there while somebody has nothing to do.
    ahead = 0 if state.homes and _is_idle(_least_loaded(state)) else 1
    _fill_from_homes(state, ahead)
    queue = state.anywhere.queue
    while len(queue) and pace.deals > 0:
        least = _least_loaded(state)
        if least is None:
            break
        if not _fill(state, least, _share(state, queue), _ahead(queue, least, len(state.workers))):
            heappop(state.by_load)  # full: it comes back when its window changes
    if state.homes:
        _fill_from_homes(state, ahead)  # what was more urgent is out of their way now
        _relieve_homes(state)
        if not ahead:
            _fill_from_homes(state)
    overtake(state)
    state.fresh.clear()
    state.touched.clear()
    if pace.deals <= 0:
        pace.undealt = True
        look_again(state)


def _ahead(queue: ReadyQueue, worker: Worker, workers: int) -> int:
    """How many the worker gets beyond its slots, however long they are: one, if enough remain.

    The last ones wait here, for the first slot that is free anywhere, where there are others.
    """
    return int(workers == 1 or len(queue) > workers * worker.slots)


def _is_idle(worker: Worker | None) -> bool:
    return worker is not None and not busy(worker)


def _fill_from_homes(state: ClusterState, ahead: int = 1) -> None:
    for worker in tuple(state.homes):
        if state.pace.deals <= 0:
            return
        if worker.alive and worker.slots:
            _fill(state, worker, len(worker.home), ahead)
        if not len(worker.home):
            del state.homes[worker]


def _dispatch_restricted(state: ClusterState) -> None:
    for requirement in worth_a_look(state):
        given = 1
        while given and len(requirement.queue) and state.pace.deals > 0:
            able = sorted(candidates(state, requirement), key=state.load_s)
            queue = requirement.queue
            given = sum(
                _fill(state, each, _share(state, queue), _ahead(queue, each, len(able)))
                for each in able
            )
        if not len(requirement.queue) and requirement in state.restricted:
            delist(state, requirement)


def _share(state: ClusterState, queue: ReadyQueue) -> int:
    """How many of the queue one worker takes at a time, so that few tasks spread.

    Where there are more workers than the scheduler can keep busy with tasks as short as these,
    some get more instead of each a few.
    """
    even = len(queue) // max(1, len(state.workers))
    head = queue.peek()
    if head is None or head.spec.function is None:
        return max(1, even)
    return worth_a_message(
        len(queue), even, head.spec.function.prefix.estimate_s(), state.settings.estimate_min_s
    )


def _fill(state: ClusterState, worker: Worker, share: int, ahead: int = 1) -> int:
    """Give the worker up to `share` tasks, as far as its window has room; how many it got.

    There is always room for a task for each slot, and for so many `ahead`.
    """
    settings, pace = state.settings, state.pace
    given = busy(worker)
    least = worker.slots + ahead - given
    time_s = time_room_s(worker, settings)
    most = min(share, settings.window_max * worker.slots - given, pace.deals)
    total = 0
    while most > 0 and (least > 0 or time_s > 0):
        if state.restricted or len(worker.home):
            queues = drawable(state, worker)
            if len(queues) == 1 and not worker.resources:
                tasks = _pop_for(state, queues[0], (least, time_s, most))
            else:
                queue = next_queue(worker, queues)
                tasks = queue.pop_many(1) if queue is not None else []
        else:
            tasks = _pop_for(state, state.anywhere.queue, (least, time_s, most))
        if not tasks:
            break
        for task in tasks:
            function = task.spec.function
            estimate = function.prefix.estimate_s() if function else -1.0
            time_s -= max(estimate, settings.estimate_min_s) if estimate >= 0 else time_s
        least -= len(tasks)
        most -= len(tasks)
        total += len(tasks)
        assign(state, worker, tasks)
    if total:
        pace.deals -= total + _MESSAGE
        touch(state, worker)
    return total


def _pop_for(state: ClusterState, queue: ReadyQueue, room: tuple[int, float, int]) -> list[Task]:
    """Tasks from the queue that fit the room, judged by the first one's estimate."""
    least, time_s, most = room
    head = queue.peek()
    if head is None or head.spec.function is None:
        return []
    prefix = head.spec.function.prefix
    estimate = prefix.estimate_s()
    count = max(least, 1)
    if estimate >= 0 and time_s > 0:
        count = max(count, int(time_s / max(estimate, state.settings.estimate_min_s)))
    tasks = queue.pop_many(min(count, most))
    for index, task in enumerate(tasks):
        if index and task.spec is not head.spec and task.spec.function.prefix is not prefix:  # type: ignore[union-attr]
            return _fitting(state, queue, tasks, (least, time_s))
    return tasks


def _fitting(
    state: ClusterState, queue: ReadyQueue, tasks: list[Task], room: tuple[int, float]
) -> list[Task]:
    """As many of these different tasks as fit, each judged by its own estimate."""
    least, time_s = room
    for index, task in enumerate(tasks):
        if index >= max(least, 1) and time_s <= 0:
            queue.push_sorted(tasks[index:])
            return tasks[:index]
        function = task.spec.function
        estimate = function.prefix.estimate_s() if function else -1.0
        time_s -= max(estimate, state.settings.estimate_min_s) if estimate >= 0 else time_s
    return tasks


def _relieve_homes(state: ClusterState) -> None:
    """Idle workers take from the longest home queue what would wait longer than its inputs move."""
    while True:
        thief = _least_loaded(state)
        if thief is None or busy(thief) >= thief.slots or state.pace.deals <= 0:
            return
        victim = max(state.homes, key=lambda worker: len(worker.home), default=None)
        task = victim.home.pop_last() if victim is not None else None
        if task is None or victim is None:
            return
        bound = state.pinned and any(dep.tid in state.pinned for dep in task.deps)
        if victim is thief or bound or not state.worth_moving(task, victim, thief, state.settings):
            victim.home.push(task)
            return
        if not len(victim.home):
            del state.homes[victim]
        assign(state, thief, [task])
        state.pace.deals -= 1 + _MESSAGE
        touch(state, thief)
