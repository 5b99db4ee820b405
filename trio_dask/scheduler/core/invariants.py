"""What is true between any two events, each rule a sentence in one place.

Used by tests and by the simulator; a scheduler at work does not pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.scheduler.core import state as st
from trio_dask.scheduler.core.alone import beside_alone

if TYPE_CHECKING:
    from trio_dask.scheduler.core.state import ClusterState, Task


def violations(state: ClusterState) -> list[str]:
    """Every rule that does not hold, in words."""
    found: list[str] = []

    def rule(holds: object, sentence: str, subject: object) -> None:
        if not holds:
            found.append(f"{subject}: {sentence}")

    tasks = dict.fromkeys(state.tasks.values())
    for task in tasks:
        _check_task(state, task, rule)
    _check_limits(state, rule)
    for worker in state.workers.values():
        for attempt, task in worker.window.items():
            rule(task.attempt == attempt, "a window has the task's current attempt", task)
            rule(task.worker is worker, "a task in a window knows its worker", task)
            rule(task.state == st.ASSIGNED, "a task in a window is assigned", task)
            rule(task in tasks, "a task in a window is not forgotten", task)
        for task in worker.held.values():
            rule(worker in (task.holders or ()), "who holds a value is among its holders", task)
            rule(task in tasks, "a held value belongs to a known task", task)
        making = {task.tid for task in worker.window.values()} if worker.stray else set()
        rule(worker.stray.keys() <= making, "only what is being made there is stray", worker)
        rule(worker.parked.keys() <= worker.window.keys(), "who waits is in the window", worker)
        for attempt, client in worker.nested.items():
            rule(attempt in worker.window, "a client inside a task ends with it", client)
            rule(state.clients.get(client.number) is client, "a client inside is known", client)
        loaded = len(worker.window) - len(worker.parked)
        rule(sum(worker.load.values()) == loaded, "the load counts what has a slot", worker)
        for name, units in worker.free_resources.items():
            rule(0 <= units <= worker.resources[name], "resources are never over-committed", worker)
        if state.deaths:
            rule(not beside_alone(state, worker), "what runs alone has nothing beside it", worker)
        limit = max(worker.nthreads + 1, state.settings.window_max * worker.nthreads)
        waiting = sum(each not in worker.recalled for each in worker.parked)
        held = len(worker.window) - len(worker.recalled) - waiting
        rule(held <= limit, "a window is bounded", worker)
    return found


def _check_limits(state: ClusterState, rule: object) -> None:
    assert callable(rule)
    for tid in state.limits:
        limited = state.tasks.get(tid)
        open_ = limited is not None and limited.state in (st.RELEASED, *st.PENDING)
        rule(open_, "only what has not ended has a deadline", f"{tid:x}")
    for tid in (*state.late, *state.loosened):
        limited = state.tasks.get(tid)
        rule(
            limited is not None and limited.state in (st.ASSIGNED, st.RELEASED),
            "what is late is with a worker, or at rest",
            f"{tid:x}",
        )


def _check_task(state: ClusterState, task: Task, rule: object) -> None:
    assert callable(rule)
    pending = task.state in st.PENDING
    needed = task.wanted or task.needed > 0 or bool(task.also)
    dependents = list(task.dependents or ())
    rule(
        task.needed == sum(each.state in st.PENDING for each in dependents),
        "needed counts the pending dependents",
        task,
    )
    rule(
        needed or task.dependents or task.state == st.ASSIGNED,
        "what nobody refers to is forgotten",
        task,
    )
    rule(not needed or task.state != st.RELEASED, "what is needed does not rest", task)
    rule(
        needed or task.state in (st.RELEASED, st.ASSIGNED) or task.state > st.DONE,
        "what nobody needs has no value and does not wait",
        task,
    )
    missing = sum(dep.state != st.DONE for dep in task.deps)
    if task.state == st.WAITING and task.args is not None:
        rule(task.missing == missing > 0, "a waiting task misses inputs", task)
    if task.state == st.READY:
        rule(missing == 0, "a ready task has all inputs", task)
    rule((task.queue is not None) == (task.state == st.READY), "exactly the ready are queued", task)
    if task.state == st.ASSIGNED:
        worker = task.worker
        rule(
            worker is not None and worker.alive and worker.window.get(task.attempt) is task,
            "an assigned task is in a living worker's window",
            task,
        )
    if task.state == st.DONE:
        rule(task.value is not None or task.holders, "what is done has a value somewhere", task)
        for worker in task.holders or ():
            rule(worker.held.get(task.tid) is task, "holders hold", task)
    else:
        rule(not task.holders, "only what is done has holders", task)
    for dep in task.deps:
        rule(task in (dep.dependents or ()), "inputs know their dependents", task)
        rule(state.tasks.get(dep.tid) is dep, "inputs of what is known are known", task)
        if pending:
            rule(dep.state != st.RELEASED, "inputs of what is pending are made", task)


def check(state: ClusterState) -> None:
    """Raise if a rule does not hold."""
    found = violations(state)
    assert not found, "\n".join(found)
