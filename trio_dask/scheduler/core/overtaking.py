"""A newcomer that is more urgent does not wait behind what is given out but has not begun.

It is sent over the full window, and the lowest un-begun task there is asked back: the
worker decides whether that has begun, so an inversion lasts one message flight. More urgent is
what has a higher priority, or is deeper inside of others; to have been submitted earlier
is no reason to ask anything back.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from trio_dask.scheduler.core.drawing import best_queue, candidates, worth_a_look
from trio_dask.scheduler.core.lifecycle import recall
from trio_dask.scheduler.core.nests import urgency
from trio_dask.scheduler.core.windows import NOTHING, assign, running, touch

if TYPE_CHECKING:
    from trio_dask.scheduler.core.state import ClusterState, Task, Worker


def overtake(state: ClusterState) -> None:
    """Exchange un-begun tasks in full windows for those of lower rank that wait.

    Ranks rise with time, so as a rule a look at the highest one given out is enough.
    """
    overtaken: dict[Worker, None] = {}
    head = state.anywhere.queue.peek()
    if head is not None and urgency(head.rank) < urgency(state.worst):
        overtaken.update(
            (each, None)
            for each in state.workers.values()
            if urgency(each.worst) > urgency(head.rank)
        )
    for requirement in worth_a_look(state) if state.restricted else ():
        head = requirement.queue.peek()
        if head is not None and urgency(head.rank) < urgency(state.worst):
            able = candidates(state, requirement)
            overtaken.update(
                (each, None) for each in able if urgency(each.worst) > urgency(head.rank)
            )
    for worker in state.homes:
        head = worker.home.peek()
        if head is not None and urgency(head.rank) < urgency(worker.worst):
            overtaken[worker] = None
    if overtaken:
        for worker in sorted(overtaken, key=lambda each: -each.worst):
            if state.pace.deals <= 0:
                return  # the next turn looks again
            if worker.slots:
                _exchange(state, worker)
        state.worst = max((each.worst for each in state.workers.values()), default=NOTHING)


def _exchange(state: ClusterState, worker: Worker) -> None:
    """Send over the worker's window what comes before its un-begun tasks, and ask these back."""
    victims = _lowest_unbegun(worker)
    exchanged = 0
    for victim in victims:
        queue = best_queue(state, worker)
        head = queue.peek() if queue is not None else None
        if queue is None or head is None or urgency(head.rank) >= urgency(victim.rank):
            break
        recall(victim)
        assign(state, worker, queue.pop_many(1))
        exchanged += 1
    worker.worst = max((task.rank for task in _lowest_unbegun(worker)), default=NOTHING)
    if exchanged:
        state.pace.deals -= exchanged
        touch(state, worker)


def _lowest_unbegun(worker: Worker) -> list[Task]:
    """What may not have begun, highest rank first: all but those given first, one for each slot.

    What waits without a slot has begun.
    """
    later = islice(running(worker), worker.slots, None)
    tasks = [task for task in later if task.attempt not in worker.recalled]
    return sorted(tasks, key=lambda task: -task.rank)
