"""A newcomer of higher priority does not wait behind what is given out but has not begun.

It is sent over the full window, and the lowest un-begun task there is asked back: the
worker decides whether that has begun, so an inversion lasts one message flight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.scheduler.core.lifecycle import recall
from trio_dask.scheduler.core.windows import NOTHING, assign, touch

if TYPE_CHECKING:
    from trio_dask.scheduler.core.state import ClusterState, Task, Worker


def overtake(state: ClusterState) -> None:
    """Exchange un-begun tasks in full windows for those of lower rank in the general queue.

    Ranks rise with time, so as a rule a look at the highest one given out is enough.
    """
    queue = state.anywhere.queue
    head = queue.peek()
    if head is None or head.rank > state.worst:
        return
    overtaken = [each for each in state.workers.values() if each.slots and each.worst > head.rank]
    for worker in sorted(overtaken, key=lambda each: -each.worst):
        victims = _lowest_unbegun(worker)
        taken: list[Task] = []
        for victim in victims:
            head = queue.peek()
            if head is None or head.rank >= victim.rank:
                break
            taken += queue.pop_many(1)
            recall(victim)
        left = victims[len(taken) :]
        worker.worst = left[0].rank if left else NOTHING
        if taken:
            assign(state, worker, taken)
            touch(state, worker)
    state.worst = max((each.worst for each in state.workers.values()), default=state.worst)


def _lowest_unbegun(worker: Worker) -> list[Task]:
    """What may not have begun: all but as many as it has slots, highest rank first."""
    tasks = sorted(worker.window.values(), key=lambda task: task.rank)
    unbegun = [task for task in tasks[worker.slots :] if task.attempt not in worker.recalled]
    return unbegun[::-1]
