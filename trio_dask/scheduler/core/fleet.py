"""Workers come and go; work that waits behind a long task goes elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_dask.scheduler.core import (
    copies,
    draining,
    hosts,
    lingering,
    membership,
    mirroring,
    plugins,
    restarting,
    sessions,
    state as st,
)
from trio_dask.scheduler.core.brief import MEMORY_MAX, NTHREADS_MAX, is_brief
from trio_dask.scheduler.core.drawing import candidates, look_again
from trio_dask.scheduler.core.intake import SLICE, is_amount
from trio_dask.scheduler.core.lifecycle import lose_copy, make_ready, recall, requeue
from trio_dask.scheduler.core.nests import part_with_numbers
from trio_dask.scheduler.core.outbox import WorkerOutbox
from trio_dask.scheduler.core.putting import place_waiting, replace_puts
from trio_dask.scheduler.core.questions import answer_waiting
from trio_dask.scheduler.core.windows import busy, touch, vacate

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from trio_dask.messages.session import RegisterWorker
    from trio_dask.scheduler.core.state import ClusterState, Requirement, Task, Worker

#: Where nothing has ended for so long nothing is about to, whatever is expected: what is expected
#: of a task grows while it runs, so that it would never be late.
_LONG_S: Final = 0.5


def refusal(state: ClusterState, message: RegisterWorker) -> str | None:
    """Why this worker cannot join, or None if it can."""
    if not 1 <= message.nthreads <= NTHREADS_MAX:
        return f"nthreads must be at least 1 and at most {NTHREADS_MAX}, not {message.nthreads}"
    if not (0 <= message.memory_limit <= MEMORY_MAX and is_brief(message.info)):
        return "what it says of itself is too large"
    if message.name in state.worker_names:
        return f"there is already a worker named {message.name!r}"
    if message.address in state.workers:
        return f"there is already a worker at {message.address}"
    if not message.address or any(map(str.isspace, message.address)):
        return f"{message.address!r} is not an address"
    return _odd_resources(message.resources)


def _odd_resources(resources: dict[str, Any]) -> str | None:
    if not is_brief(resources):
        return "its resources are too many"
    for name, units in resources.items():
        if not is_amount(units):
            return f"resource {name!r} cannot be {units!r}"
    return None


def worker_joined(state: ClusterState, peer: int, message: RegisterWorker, now: float) -> Worker:
    """A worker that can take work."""
    state.workers_ever += 1
    out = WorkerOutbox(peer, state.dirty)
    out.add(membership.welcome(state, state.workers_ever))
    worker = st.Worker(out, state.workers_ever, message.name, message.address)
    worker.nthreads = worker.told = worker.slots = message.nthreads
    worker.memory_limit = message.memory_limit
    worker.resources = {name: float(units) for name, units in message.resources.items()}
    worker.free_resources = dict(worker.resources)
    worker.info = message.info
    worker.last_seen = worker.last_done = now
    worker.parting = state.parting
    state.workers[worker.address] = worker
    state.worker_names[worker.name] = worker
    hosts.joined(state, worker)
    if not message.cluster:  # else it says first what it has
        plugins.joined(state, worker)
    mirroring.unsettle(state)
    touch(state, worker)
    look_again(state)
    place_waiting(state)
    answer_waiting(state)
    return worker


def worker_again(state: ClusterState, worker: Worker, peer: int, now: float) -> Worker:
    """A worker whose conversation broke off begins another; its books are as they were."""
    state.peers.pop(worker.peer, None)
    state.dirty.pop(worker.peer, None)
    sessions.end(state.sessions, worker.peer)
    worker.peer, worker.out = peer, WorkerOutbox(peer, state.dirty)
    worker.out.add(membership.welcome(state, worker.number))
    worker.last_seen = worker.last_done = now
    mirroring.worker_gone(state, worker)
    return worker


def worker_lost(state: ClusterState, worker: Worker, reason: str) -> Generator[None, None, None]:
    """A worker is gone: its attempts and values are made up for elsewhere."""
    worker.alive = False
    worker.slots = worker.told = 0
    state.workers.pop(worker.address, None)
    state.worker_names.pop(worker.name, None)
    hosts.gone(state, worker)
    state.homes.pop(worker, None)
    part_with_numbers(state, worker)
    if state.draining:
        draining.gone(state, worker)
    if state.renewals:
        restarting.gone(state, worker)
    plugins.gone(state, worker)
    mirroring.worker_gone(state, worker)
    lingering.gone(state, worker)
    copies.gone(state, worker)
    touch(state, worker)
    look_again(state)
    replace_puts(state, worker)
    for attempt in list(worker.window):
        task = vacate(worker, attempt)
        if task is not None:
            requeue(state, task)
    why = f"its only holder {worker.name} ({worker.address}) left: {reason}"
    for row, task in enumerate(list(worker.held.values())):
        lose_copy(state, task, worker, why)
        if row % SLICE == SLICE - 1:
            yield
    while len(worker.home):
        for task in worker.home.pop_many(SLICE):
            make_ready(state, task)
        if len(worker.home):
            yield


def relieve(state: ClusterState, now: float) -> None:
    """Recall what waits behind long tasks, if a slot is free elsewhere and nothing else wants it."""
    if state.mirrors.lingering:
        lingering.expire(state, now)
    if len(state.anywhere.queue):
        return
    free = {each: each.slots - busy(each) for each in state.workers.values()}
    idle = _Idle(state, {each: count for each, count in free.items() if count > 0})
    horizon = state.settings.window_horizon_s
    for worker in state.workers.values() if idle.free else ():
        waited = now - worker.last_done
        leaves = worker.draining is not None or worker.kept is not None
        if busy(worker) <= worker.slots or leaves or waited < horizon:
            continue
        estimate = max((prefix.estimate_s() for prefix in worker.load), default=0.0)
        late = waited >= 4 * estimate
        if late or waited >= _LONG_S:
            _recall_unbegun(state, worker, idle, late=late)


class _Idle:
    """Free slots by worker, and who of these may run what not everybody may."""

    def __init__(self, state: ClusterState, free: dict[Worker, int]) -> None:
        self._state = state
        self.free = free
        self._able: dict[Requirement, list[Worker]] = {}

    def one_for(self, task: Task) -> Worker | None:
        """A worker with a free slot for it."""
        requirement = task.spec.requirement
        if requirement.open:
            return next(iter(self.free), None)
        able = self._able.get(requirement)
        if able is None:
            able = self._able[requirement] = candidates(self._state, requirement)
        return next((each for each in able if each in self.free), None)

    def take(self, worker: Worker) -> None:
        """One slot less."""
        self.free[worker] -= 1
        if not self.free[worker]:
            del self.free[worker]


def _recall_unbegun(state: ClusterState, worker: Worker, idle: _Idle, *, late: bool) -> None:
    """As many as there are free slots; where nothing is late yet, what is worth moving."""
    given = (item for item in worker.window.items() if item[0] not in worker.parked)
    attempts = sorted(given, key=lambda item: item[1].rank)
    for _, task in attempts[worker.slots :]:
        if not idle.free:
            return
        if state.pinned and any(dep.tid in state.pinned for dep in task.deps):
            continue
        thief = idle.one_for(task)
        if thief is not None and (late or state.worth_moving(task, worker, thief, state.settings)):
            recall(task, elsewhere=True)
            idle.take(thief)


def overdue(state: ClusterState, now: float) -> list[Worker]:
    """Workers that have not been heard of for too long."""
    limit = now - state.settings.worker_ttl_s
    return [worker for worker in state.workers.values() if worker.last_seen < limit]
