"""A worker is back: what it has is compared with what is on its books, and both are set right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.messages import reunion as words
from trio_dask.messages.fleet import Leave
from trio_dask.messages.ids import client_of
from trio_dask.messages.tasks import OK_HELD
from trio_dask.scheduler.core import copies, draining, state as st
from trio_dask.scheduler.core.lifecycle import (
    finish,
    let_go_of_inputs,
    lose_copy,
    requeue,
    settle,
)
from trio_dask.scheduler.core.windows import RESOURCE_DIGITS, touch, vacate

if TYPE_CHECKING:
    from trio_dask.messages import Message
    from trio_dask.scheduler.core.state import ClusterState, Task, Worker


def take_values(state: ClusterState, worker: Worker, messages: list[Message]) -> None:
    """What the worker holds; and what it was thought to have, but has not, is given up."""
    held: dict[int, int] = {}
    for message in messages:
        if isinstance(message, words.Holdings):
            held.update(zip(message.tids, message.nbytes, strict=True))
    attempts = _attempts(messages)
    for attempt in [each for each in worker.window if each not in attempts]:
        task = vacate(worker, attempt)
        if task is not None:
            requeue(state, task)
    worker.recalled.clear()
    worker.stray.clear()
    for tid, task in list(worker.held.items()):
        if tid not in held:
            lose_copy(state, task, worker, f"{worker.name} does not have it any more")
    for tid, nbytes in held.items():
        _find_place(state, worker, tid, nbytes)
    if state.orders or state.relays:
        copies.arrived(state, worker, [tid for tid in held if tid in worker.held])
        copies.tell_again(state, worker)


def take_attempts(state: ClusterState, worker: Worker, messages: list[Message]) -> None:
    """What the worker runs goes on; what nobody needs is to be stopped."""
    _adopt_all(state, worker, _attempts(messages))
    slots, functions = 0, list[int]()
    for message in messages:
        if isinstance(message, words.Announced):
            slots, functions = max(0, min(message.slots, worker.nthreads)), message.fids
    worker.functions = set(functions)
    state.unused_functions.update(
        dict.fromkeys(fid for fid in functions if _is_strange(state, fid))
    )
    worker.told = slots
    worker.away = worker.peer in state.sessions.away
    worker.slots = worker.usable_slots
    touch(state, worker)


def take_leave(state: ClusterState, worker: Worker, messages: list[Message]) -> None:
    """It may be about to leave; then what it was told about that is told again."""
    for message in messages:
        if isinstance(message, Leave):
            before = worker.draining
            if before is not None:
                draining.begin_again(worker, before)
            draining.on_leave(state, worker, message)


def _attempts(messages: list[Message]) -> dict[int, tuple[int, int]]:
    found: dict[int, tuple[int, int]] = {}
    for message in messages:
        if isinstance(message, words.Attempts):
            rows = zip(message.tids, message.begun, strict=True)
            found.update(zip(message.attempts, rows, strict=True))
    return found


def _is_strange(state: ClusterState, fid: int) -> bool:
    """Whether no client has such a function."""
    client = state.clients.get(client_of(fid))
    return client is None or fid not in client.functions


def _find_place(state: ClusterState, worker: Worker, tid: int, nbytes: int) -> None:
    """The worker holds this value: it is what a task waits for, a copy, or of no use."""
    task = state.tasks.get(tid)
    if task is None or task.tid != tid:
        worker.out.free(tid)
    elif worker.held.get(tid) is task:
        pass
    elif task.state in (st.WAITING, st.READY):
        if task.queue is not None:
            task.queue.discard(task)
        task.state = st.WAITING
        state.puts.pop(tid, None)
        task.nbytes = max(0, nbytes)
        finish(state, task, None, worker)
        if state.relays:
            copies.stored(state, task)
    elif task.state == st.DONE and task.holders is not None:
        task.holders.append(worker)
        worker.held[tid] = task
    elif task.state == st.ASSIGNED and task.worker is worker:
        worker.stray[tid] = None
    else:
        worker.out.free(tid)


def _adopt_all(state: ClusterState, worker: Worker, attempts: dict[int, tuple[int, int]]) -> None:
    """Attempts that go on there; those that nobody needs are to be stopped."""
    stale: dict[int, int] = {}
    freed: list[Task] = []
    for attempt, (tid, begun) in attempts.items():
        if attempt not in worker.window:
            task = state.tasks.get(tid)
            if task is None or task.tid != tid or not _may_go_on(worker, task, begun=bool(begun)):
                stale[attempt] = tid
            else:
                freed += _adopt(state, worker, attempt, task)
    settle(state, freed)
    if stale:
        disown(state, worker, stale)


def disown(state: ClusterState, worker: Worker, stale: dict[int, int]) -> None:
    """Nobody counts on these attempts, by task, any more: they are to be stopped."""
    worker.out.add(words.Disown(list(stale)))
    lasting = worker.out.lasting
    said = 0 if lasting is None else lasting.said + len(worker.out.messages)
    _, before = state.reunion.disowned.get(worker.peer, (0, {}))
    state.reunion.disowned[worker.peer] = said, before | stale


def give_up(state: ClusterState, task: Task) -> None:
    """Nobody counts on the attempt of this task any more: it is to be stopped."""
    worker = task.worker
    if worker is not None and vacate(worker, task.attempt) is not None:
        disown(state, worker, {task.attempt: task.tid})
        touch(state, worker)


def _may_go_on(worker: Worker, task: Task, *, begun: bool) -> bool:
    """Whether the task is to be done, and can be there."""
    if task.state not in (st.WAITING, st.READY) or task.spec.function is None:
        return False
    if not begun and any(dep.state != st.DONE for dep in task.deps):
        return False
    free = worker.free_resources
    return all(free.get(name, 0) >= units for name, units in task.spec.requirement.resources)


def _adopt(state: ClusterState, worker: Worker, attempt: int, task: Task) -> list[Task]:
    """The attempt is the task's own; inputs that nothing else needs are returned."""
    freed: list[Task] = []
    if any(dep.state != st.DONE for dep in task.deps):
        freed = let_go_of_inputs(task)  # it has them, wherever they came from
        state.reunion.adopted[task] = None
    elif task.queue is not None:
        task.queue.discard(task)
    task.state = st.READY
    task.state = st.ASSIGNED
    task.attempt, task.worker = attempt, worker
    worker.window[attempt] = task
    function = task.spec.function
    assert function is not None
    worker.load[function.prefix] = worker.load.get(function.prefix, 0) + 1
    for name, units in task.spec.requirement.resources:
        worker.free_resources[name] = round(worker.free_resources[name] - units, RESOURCE_DIGITS)
    worker.worst = max(worker.worst, task.rank)
    state.worst = max(state.worst, worker.worst)
    return freed


def free_disowned(state: ClusterState, worker: Worker, attempt: int, status: int) -> None:
    """An attempt that nobody needs has made a value before the worker was told: drop that.

    It may be there twice: an attempt that counts may have made it, or be about to.
    """
    _, tids = state.reunion.disowned.get(worker.peer, (0, {}))
    tid = tids.get(attempt)
    if tid is None or status != OK_HELD or tid in worker.held:
        return
    task = state.tasks.get(tid)
    if task is not None and task.tid == tid and task.worker is worker:
        worker.stray[tid] = None
    else:
        worker.out.free(tid)


def confirmed(state: ClusterState, peer: int, heard: int) -> None:
    """The worker has heard so much: of what it was told to stop it will not speak any more."""
    said, _ = state.reunion.disowned.get(peer, (heard + 1, {}))
    if heard >= said:
        del state.reunion.disowned[peer]
