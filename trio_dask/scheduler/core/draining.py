"""Workers that are to leave: no new tasks, and what only they hold moves to others first.

A worker says that it is to leave (`Leave`), or is told so for a client that retires it. What
it has not begun comes back by itself. Values of which no copy is with a worker that stays are
copied, a bounded amount at a time: what only a client can bring again goes first, then what is
small. When nothing holds it here any more it is told `Farewell`. Where nobody is left to take
anything that is at once, and says how much is left behind.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from trio_dask.messages.fleet import Dismiss, Farewell
from trio_dask.scheduler.core import copies, mirroring
from trio_dask.scheduler.core.chronicle import WORKER, note
from trio_dask.scheduler.core.drawing import look_again
from trio_dask.scheduler.core.lifecycle import make_ready
from trio_dask.scheduler.core.putting import replace_puts
from trio_dask.scheduler.core.windows import touch
from trio_dask.scheduler.policies.leaving import free_bytes, move_order

if TYPE_CHECKING:
    from trio_dask.messages.fleet import Leave, Uncopied
    from trio_dask.messages.ids import TaskId
    from trio_dask.scheduler.core.retiring import Retirement
    from trio_dask.scheduler.core.state import ClusterState, Task, Worker

#: So much is under way from one worker; more waits until that has arrived.
UNDERWAY_BYTES_MAX: Final = 64 << 20
UNDERWAY_MAX: Final = 256
#: So many receivers in a row may fail to fetch a value before it stays where it is.
TRIES_MAX: Final = 3


@dataclass(slots=True, eq=False)
class Draining:
    """A worker that is to leave, and what has still to leave it first."""

    reason: str
    goes: bool  # it is told to go when it may; else who retired it sees to that
    waiting: deque[Task] = field(default_factory=deque)  # to be copied, in order
    moving: dict[TaskId, tuple[Task, Worker]] = field(default_factory=dict)  # and to whom
    underway_bytes: int = 0
    tried: dict[TaskId, list[Worker]] = field(default_factory=dict)  # who could not fetch it
    stuck: dict[Task, None] = field(default_factory=dict)  # cannot leave
    stale: bool = True  # there may be more to be copied than is on the list
    moved: int = 0
    moved_bytes: int = 0
    over: bool = False  # it may go
    asked: list[Retirement] = field(default_factory=list)  # who waits for it

    def forget(self) -> None:
        """There is nothing to be moved any more."""
        self.waiting.clear()
        self.moving.clear()
        self.tried.clear()
        self.stuck.clear()
        self.underway_bytes = 0

    @property
    def status(self) -> str:
        """How far that is, in a word."""
        if not self.over:
            return "draining"
        return "closing" if self.goes else "retired"


# ---------------------------------------------------------------- beginning


def on_leave(state: ClusterState, worker: Worker, message: Leave) -> None:
    """The worker is to leave; what only it holds is moved while it waits."""
    draining = begin(state, worker, message.reason, goes=True)
    if message.at_once and not draining.over:
        _finish(state, worker, draining)


def dismiss(state: ClusterState, worker: Worker, reason: str, *, goes: bool) -> Draining:
    """A worker that does not know it yet is to leave."""
    if worker.draining is None:
        worker.out.add(Dismiss(reason))
    return begin(state, worker, reason, goes=goes)


def begin(state: ClusterState, worker: Worker, reason: str, *, goes: bool) -> Draining:
    """Give the worker nothing more, and let what waits for it wait for others."""
    draining = worker.draining
    if draining is not None:
        if goes and not draining.goes:
            draining.goes = True
            if draining.over:
                _say_farewell(worker, draining)
        return draining
    draining = worker.draining = Draining(reason, goes)
    state.draining[worker] = draining
    mirroring.unsettle(state)
    note(state, WORKER, worker.name, f"is to leave: {reason}")
    worker.slots = 0
    touch(state, worker)
    look_again(state)
    state.homes.pop(worker, None)
    for task in worker.home.pop_many(len(worker.home)):
        make_ready(state, task)
    replace_puts(state, worker)
    _take_back(state, worker)
    return draining


def begin_again(worker: Worker, draining: Draining) -> None:
    """A worker that is to leave has lost what it was told of that, and has told what it has."""
    draining.stale = True
    if draining.over and draining.goes:
        _say_farewell(worker, draining)


def _take_back(state: ClusterState, receiver: Worker) -> None:
    """What was to be copied to this one has to go elsewhere."""
    for worker, draining in state.draining.items():
        if worker is receiver:
            continue
        draining.stale = True  # what it holds may have been counted on
        for tid in [tid for tid, (_, to) in draining.moving.items() if to is receiver]:
            _arrive(draining, tid)


def gone(state: ClusterState, worker: Worker) -> None:
    """A worker has left, or is lost: one that was to, or one that was to take values."""
    draining = worker.draining
    if draining is not None:
        state.draining.pop(worker, None)
        for asked in draining.asked:
            asked.done(state, worker)
    _take_back(state, worker)


# ---------------------------------------------------------------- copies


def arrived(state: ClusterState, receiver: Worker, tids: list[TaskId]) -> None:
    """A worker holds copies of these."""
    for draining in state.draining.values():
        for tid in tids if draining.moving else ():
            if tid in draining.moving and draining.moving[tid][1] is receiver:
                task = _arrive(draining, tid)
                draining.moved += 1
                draining.moved_bytes += task.nbytes
    if receiver.draining is not None:
        receiver.draining.stale = True


def on_uncopied(state: ClusterState, receiver: Worker, message: Uncopied) -> None:
    """A worker could not fetch what it was told to copy."""
    if state.orders or state.relays:
        copies.failed(state, receiver, message)
    for tid, failure in zip(message.tids, message.failures, strict=True):
        task = state.tasks.get(tid)
        if failure and task is not None and task.tid == tid and task.holders:
            state.pinned[tid] = failure
        for draining in state.draining.values():
            if tid not in draining.moving:
                continue
            task, to = draining.moving[tid]
            if to is not receiver:
                continue
            _arrive(draining, tid)
            tried = draining.tried.setdefault(tid, [])
            tried.append(receiver)
            if failure or len(tried) >= TRIES_MAX:
                draining.stuck[task] = None
            else:
                draining.waiting.append(task)


def _arrive(draining: Draining, tid: TaskId) -> Task:
    task, _ = draining.moving.pop(tid)
    draining.underway_bytes -= task.nbytes
    return task


def _stays(worker: Worker) -> bool:
    return worker.alive and worker.draining is None


def _is_only_here(state: ClusterState, task: Task) -> bool:
    """Whether no copy of the value is with a worker that stays."""
    return bool(task.holders) and not any(map(_stays, task.holders or ()))


def left_behind(state: ClusterState, worker: Worker) -> list[Task]:
    """What nobody who stays holds, if the worker goes now."""
    return [task for task in worker.held.values() if _is_only_here(state, task)]


def _refill(state: ClusterState, worker: Worker, draining: Draining) -> None:
    """Look through all that the worker holds for what has to be copied."""
    draining.stale = False
    found = [
        task
        for task in left_behind(state, worker)
        if task.tid not in draining.moving
        and task not in draining.stuck
        and task.tid not in state.pinned
    ]
    draining.waiting = deque(sorted(found, key=move_order))


# ---------------------------------------------------------------- whenever something has happened


def pump(state: ClusterState) -> None:
    """Order the next copies, and let go of those whom nothing holds any more."""
    receivers = [worker for worker in state.workers.values() if worker.draining is None]
    for worker, draining in state.draining.items():
        if draining.over:
            continue
        if draining.stale:
            _refill(state, worker, draining)
        if receivers:
            _order(state, draining, receivers)
        empty = not (worker.window or draining.moving or draining.waiting)
        if empty or not receivers:
            _finish(state, worker, draining)


def _order(state: ClusterState, draining: Draining, receivers: list[Worker]) -> None:
    waiting, moving = draining.waiting, draining.moving
    while waiting:
        full = draining.underway_bytes >= UNDERWAY_BYTES_MAX or len(moving) >= UNDERWAY_MAX
        task = waiting[0]
        if not _is_only_here(state, task):
            waiting.popleft()  # not needed any more, or somebody has fetched it
            continue
        to = None if full else _receiver(task, receivers, draining.tried.get(task.tid, []))
        if to is None:
            break
        waiting.popleft()
        moving[task.tid] = task, to
        draining.underway_bytes += task.nbytes
        to.incoming += task.nbytes
        to.out.copy(task)


def _receiver(task: Task, receivers: list[Worker], tried: list[Worker]) -> Worker | None:
    """Who is to take the value: of those that have room the one that is to take least so far."""
    best: Worker | None = None
    untried = [worker for worker in receivers if worker not in tried] if tried else receivers
    for worker in untried or receivers:
        less = best is None or (worker.incoming, len(worker.held)) < (
            best.incoming, len(best.held),
        )  # fmt: skip
        if less and free_bytes(worker) >= task.nbytes:
            best = worker
    return best


def _finish(state: ClusterState, worker: Worker, draining: Draining) -> None:
    draining.over = True
    draining.waiting.clear()
    draining.tried.clear()
    draining.stuck = dict.fromkeys(left_behind(state, worker))
    if draining.goes:
        _say_farewell(worker, draining)
    else:
        for asked in draining.asked:
            asked.done(state, worker)


def _say_farewell(worker: Worker, draining: Draining) -> None:
    left = draining.stuck
    lost = sum(task.args is None for task in left)
    worker.out.add(Farewell(draining.moved, draining.moved_bytes, len(left), lost))
