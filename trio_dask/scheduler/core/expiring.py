"""What becomes of tasks whose time is up.

The scheduler ends what waits here, and asks for what a worker has not begun; what runs is
stopped by its worker, which was told how much time is left. A task that several want, by its
key, goes on for those who have more time.
"""

from __future__ import annotations

import math
from heapq import heappop
from typing import TYPE_CHECKING, Final

from trio_dask.messages.ids import client_of
from trio_dask.messages.tasks import AGAIN, INTERRUPT, OVERDUE, STOPPED
from trio_dask.scheduler.core import limits, state as st
from trio_dask.scheduler.core.failures import out_of_time
from trio_dask.scheduler.core.lifecycle import KEPT, end, recall, requeue, settle, too_late, wants

if TYPE_CHECKING:
    from collections.abc import Generator

    from trio_dask.messages.tasks import Run
    from trio_dask.scheduler.core.limits import Limit
    from trio_dask.scheduler.core.state import ClusterState, Task

#: Tasks looked at between two looks at other peers.
_SLICE: Final = 1000


def expire(state: ClusterState, now: float) -> Generator[None, None, None]:
    """See who is out of time."""
    rows = 0
    while state.due and state.due[0][0] <= now:
        _, _, limit = heappop(state.due)
        for tid in range(limit.first, limit.first + limit.count) if limit.live else ():
            if state.limits.get(tid) is limit:
                _time_is_up(state, tid, limit)
            rows += 1
            if not rows % _SLICE:
                yield


def _time_is_up(state: ClusterState, tid: int, limit: Limit) -> None:
    task = state.tasks[tid]
    limits.drop(state, tid)
    others = [each for each in wants(task) if each not in (tid, KEPT)]
    if others:
        _give_up(state, task, [tid], limit)
    elif task.state in (st.WAITING, st.READY):
        end(state, task, st.FAILED, too_late(state, task, limit))
    else:
        state.late[task.tid] = limit
        if task.state == st.ASSIGNED:
            recall(task)  # what has begun does not come back: its worker stops it


def _give_up(state: ClusterState, task: Task, tids: list[int], limit: Limit) -> None:
    """Those who want it under these ids are out of time; others are not."""
    failure = too_late(state, task, limit, task.worker)
    for tid in tids:
        if tid not in wants(task):
            continue
        client = state.clients.get(client_of(tid))
        if client is not None:
            client.out.failed(tid, failure)
        if tid == task.tid:
            task.wanted = False
        else:
            del state.tasks[tid]
            if task.also:
                task.also.pop(tid, None)
    settle(state, [task])


def joined(state: ClusterState, task: Task, tid: int, limit: Limit | None) -> None:
    """Somebody else wants the task, as `tid`, and may have more time than those before."""
    if task.state not in (*st.PENDING, st.RELEASED):
        return
    before = limit_of(state, task, without=tid)
    if limit is not None:
        limits.begin(state, tid, limit)
    late = state.late.pop(task.tid, None)
    if late is not None:
        _give_up(state, task, [each for each in wants(task) if each not in (tid, KEPT)], late)
    told = late or before
    if told is not None and task.state == st.ASSIGNED and (not limit or limit.when > told.when):
        state.loosened[task.tid] = None


def limit_of(state: ClusterState, task: Task, *, without: int = KEPT) -> Limit | None:
    """The deadline of the task: that of who has the most time."""
    if not task.also:
        return state.limits.get(task.tid)
    ids = [each for each in wants(task) if each not in (KEPT, without)] or [task.tid]
    found = [state.limits.get(each) for each in ids]
    return None if None in found else max(found, key=lambda each: each.when if each else math.inf)


def add_limits(state: ClusterState, run: Run, task: Task) -> None:
    """Tell how much time is left for the task whose row was just added to `run`."""
    timeout_s = task.spec.timeout_s
    limit = state.late.get(task.tid) or limit_of(state, task)
    if limit is None and timeout_s == math.inf and not run.ways:
        return
    rows = len(run.attempts)
    if len(run.ways) < rows - 1:
        missing = rows - 1 - len(run.ways)
        run.timeouts += [math.inf] * missing
        run.deadlines += [math.inf] * missing
        run.ways += [INTERRUPT] * missing
    run.timeouts.append(timeout_s)
    run.deadlines.append(math.inf if limit is None else max(0.0, limit.when - state.now))
    run.ways.append(task.spec.way)


def on_stopped(state: ClusterState, task: Task, status: int, seconds: float) -> None:
    """The worker has stopped it: as it was told to, or as its time was up."""
    if status in (STOPPED, AGAIN):
        requeue(state, task, begun=True)  # to be cancelled; or somebody wants it after all
        return
    if status == OVERDUE:
        if task.tid in state.loosened:
            requeue(state, task)  # for those who have joined since
            return
    elif state.retried.get(task.tid, 0) < task.spec.retries:
        state.retried[task.tid] = state.retried.get(task.tid, 0) + 1
        requeue(state, task, begun=True)
        return
    state.cancelling.pop(task.tid, None)  # this came first
    limit = state.late.get(task.tid) or limit_of(state, task)
    allowed = ("deadline", limit.seconds) if limit else ("deadline", 0.0)
    if status != OVERDUE:
        allowed = "timeout", task.spec.timeout_s
    failure = out_of_time(state.key_of(task), allowed, task.worker, seconds)
    end(state, task, st.FAILED, failure)
