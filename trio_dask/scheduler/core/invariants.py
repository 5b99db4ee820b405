"""What is true between any two events, each rule a sentence in one place.

Used by tests and by the simulator; a scheduler at work does not pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.scheduler.core import plugins, state as st
from trio_dask.scheduler.core.alone import beside_alone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_dask.scheduler.core.state import ClusterState, Task, Worker


def violations(state: ClusterState) -> list[str]:
    """Every rule that does not hold, in words."""
    tasks = dict.fromkeys(state.tasks.values())
    found = [f"{task}: {broken}" for task in tasks for broken in _of_task(state, task)]
    found += _of_limits(state)
    found += plugins.violations(state)
    for worker in state.workers.values():
        found += (f"{task}: {broken}" for task, broken in _of_places(worker, tasks))
        found += (f"{worker}: {broken}" for broken in _of_worker(state, worker))
        found += (f"{worker}: {broken}" for broken in _of_inside(state, worker))
    return found


def _of_places(worker: Worker, tasks: dict[Task, None]) -> Iterator[tuple[Task, str]]:
    for attempt, task in worker.window.items():
        if task.attempt != attempt:
            yield task, "a window has the task's current attempt"
        if task.worker is not worker:
            yield task, "a task in a window knows its worker"
        if task.state != st.ASSIGNED:
            yield task, "a task in a window is assigned"
        if task not in tasks:
            yield task, "a task in a window is not forgotten"
    for task in worker.held.values():
        if worker not in (task.holders or ()):
            yield task, "who holds a value is among its holders"
        if task not in tasks:
            yield task, "a held value belongs to a known task"


def _of_worker(state: ClusterState, worker: Worker) -> Iterator[str]:
    window, parked = worker.window, worker.parked
    if worker.stray and not worker.stray.keys() <= {task.tid for task in window.values()}:
        yield "only what is being made there is stray"
    if not parked.keys() <= window.keys():
        yield "who waits is in the window"
    if sum(worker.load.values()) != len(window) - len(parked):
        yield "the load counts what has a slot"
    for name, units in worker.free_resources.items():
        if not 0 <= units <= worker.resources[name]:
            yield "resources are never over-committed"
    if state.deaths and beside_alone(state, worker):
        yield "what runs alone has nothing beside it"
    limit = max(worker.nthreads + 1, state.settings.window_max * worker.nthreads)
    waiting = sum(each not in worker.recalled for each in parked)
    # Who has waited for his own tasks has a slot again, whatever was given meanwhile.
    back = sum(each not in parked and each not in worker.recalled for each in worker.nested)
    if len(window) - len(worker.recalled) - waiting > limit + back:
        yield "a window is bounded"


def _of_inside(state: ClusterState, worker: Worker) -> Iterator[str]:
    for attempt, client in worker.nested.items():
        if attempt not in worker.window:
            yield f"a client inside a task ends with it: {client}"
        if state.clients.get(client.number) is not client:
            yield f"a client inside is known: {client}"


def _of_limits(state: ClusterState) -> Iterator[str]:
    for tid in state.limits:
        limited = state.tasks.get(tid)
        if limited is None or limited.state not in (st.RELEASED, *st.PENDING):
            yield f"{tid:x}: only what has not ended has a deadline"
    for tid in (*state.late, *state.loosened):
        limited = state.tasks.get(tid)
        if limited is None or limited.state not in (st.ASSIGNED, st.RELEASED):
            yield f"{tid:x}: what is late is with a worker, or at rest"


def _of_task(state: ClusterState, task: Task) -> Iterator[str]:  # noqa: C901, PLR0912 - a list
    stands, holders, dependents = task.state, task.holders, task.dependents
    adopted, pending_dependents = state.reunion.adopted, 0
    for each in dependents or ():
        if each.state in st.PENDING and each not in adopted:
            pending_dependents += 1
    if task.needed != pending_dependents:
        yield "needed counts the pending dependents"
    pace = state.pace
    if task.wanted or task.needed > 0 or task.also:
        if stands == st.RELEASED:
            yield "what is needed does not rest"
    elif stands != st.ASSIGNED and task not in pace.unsettled:
        if not dependents:
            yield "what nobody refers to is forgotten"
        if stands != st.RELEASED and stands <= st.DONE:
            yield "what nobody needs has no value and does not wait"
    if (task.queue is not None) != (stands == st.READY):
        yield "exactly the ready are queued"
    yield from _of_inputs(state, task)
    if stands == st.ASSIGNED:
        worker = task.worker
        if worker is None or not worker.alive or worker.window.get(task.attempt) is not task:
            yield "an assigned task is in a living worker's window"
    if stands != st.DONE:
        if holders:
            yield "only what is done has holders"
        return
    if task.value is None and not holders:
        yield "what is done has a value somewhere"
    for worker in holders or ():
        if worker.held.get(task.tid) is not task:
            yield "holders hold"


def _of_inputs(state: ClusterState, task: Task) -> Iterator[str]:
    stands = task.state
    missing, pending = 0, stands in st.PENDING
    for dep in task.deps:
        missing += dep.state != st.DONE
        if task not in (dep.dependents or ()):
            yield "inputs know their dependents"
        if state.tasks.get(dep.tid) is not dep:
            yield "inputs of what is known are known"
        if pending and dep.state == st.RELEASED and task not in state.reunion.adopted:
            yield "inputs of what is pending are made"
    if stands == st.WAITING and task.args is not None:
        if task.missing != missing:
            yield "what a task misses is counted"
        elif not missing and task not in state.pace.ripe:
            yield "a waiting task misses inputs"
    if stands == st.READY and missing:
        yield "a ready task has all inputs"


def check(state: ClusterState) -> None:
    """Raise if a rule does not hold."""
    found = violations(state)
    assert not found, "\n".join(found)
