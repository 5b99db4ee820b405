"""Deadlines in side tables: nothing of this exists for tasks that have none.

A deadline is of whoever wants a task, under the id by which he does. All tasks of a submission
have the same one, so there is one `Limit` for them, and one entry in the heap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from trio_dask.scheduler.core.state import ClusterState, Task

#: So many entries of the heap may be of no use before it is made anew.
_STALE_MAX: Final = 64


@dataclass(slots=True, eq=False)
class Limit:
    """The deadline of the tasks of one submission."""

    when: float
    seconds: float  # as it was asked for, when that was
    first: int
    count: int
    live: int = 0  # of the tasks, those for which it still counts


def limit_for(
    state: ClusterState, first: int, count: int, left_s: float, *, asked_s: float
) -> Limit:
    """A limit for tasks that are about to be made; `complete` says that they are."""
    if len(state.due) > 2 * len(state.limits) + _STALE_MAX:
        state.due = [entry for entry in state.due if entry[2].live]
        heapify(state.due)
    limit = Limit(state.now + left_s, asked_s, first, count, live=1)
    heappush(state.due, (limit.when, first, limit))
    return limit


def complete(limit: Limit) -> None:
    """All tasks that it is for have been made."""
    limit.live -= 1


def begin(state: ClusterState, tid: int, limit: Limit) -> None:
    """The task is wanted under this id until then."""
    state.limits[tid] = limit
    limit.live += 1


def drop(state: ClusterState, tid: int) -> None:
    """There is nobody any more who wants it under this id by a certain time."""
    limit = state.limits.pop(tid, None)
    if limit is not None:
        limit.live -= 1


def drop_all(state: ClusterState, task: Task) -> None:
    """The task has come to an end, or is forgotten: no limit counts for it any more."""
    drop(state, task.tid)
    for tid in task.also or ():
        drop(state, tid)
    state.late.pop(task.tid, None)
    state.loosened.pop(task.tid, None)


def due_at(state: ClusterState) -> float:
    """When the next limit is over; `inf` if there is none."""
    due = state.due
    while due and not due[0][2].live:
        heappop(due)
    return due[0][0] if due else math.inf
