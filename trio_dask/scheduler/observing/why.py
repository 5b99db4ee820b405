"""Why a task is where it is, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_dask.scheduler.core import state as st
from trio_dask.scheduler.core.drawing import candidates
from trio_dask.scheduler.core.failures import unpacked

if TYPE_CHECKING:
    from trio_dask.scheduler.core.state import ClusterState, Requirement, Task

#: So many inputs are named, so deep one looks for what all waits for.
_NAMED: Final = 3
_DEPTH: Final = 20


def why(state: ClusterState, task: Task) -> list[str]:
    """Sentences, the most telling first."""
    return _BY_STATE[task.state](state, task)


def _rests(state: ClusterState, task: Task) -> list[str]:
    return ["Nobody needs its value: no client holds it, and no pending task takes it."]


def _has_failed(state: ClusterState, task: Task) -> list[str]:
    return ["It failed, or one of its inputs did; its error says how."]


def _is_cancelled(state: ClusterState, task: Task) -> list[str]:
    return [f"It was cancelled: {unpacked(task.value) or 'no reason was given'}."]


def _is_lost(state: ClusterState, task: Task) -> list[str]:
    return [f"Its value is lost: {unpacked(task.value)}."]


def _waits_for_client(state: ClusterState, task: Task) -> list[str]:
    if not state.workers:
        return ["A client brings this value, and there is no worker yet to keep it."]
    where = ", ".join(worker.name for worker in state.puts.get(task.tid, ()))
    return [f"A client is bringing this value{f' to {where}' if where else ''}."]


def _waits(state: ClusterState, task: Task) -> list[str]:
    if task.args is None:
        return _waits_for_client(state, task)
    missing = [dep for dep in task.deps if dep.state != st.DONE]
    named = ", ".join(f"{state.key_of(d)} ({st.STATE_NAMES[d.state]})" for d in missing[:_NAMED])
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    lines = [f"It waits for {_count(len(missing), 'input')}: {named}{more}."]
    deepest = task
    for _ in range(_DEPTH):
        following = next((dep for dep in deepest.deps if dep.state != st.DONE), None)
        if following is None:
            break
        deepest = following
    if deepest is not task and deepest.state != st.WAITING:
        lines.append(f"In the end that is {state.key_of(deepest)}. {why(state, deepest)[0]}")
    return lines


def _is_ready(state: ClusterState, task: Task) -> list[str]:
    requirement = task.spec.requirement
    if not state.workers:
        return ["All inputs are there, but there is no worker at all."]
    home = next((worker for worker in state.workers.values() if task.queue is worker.home), None)
    if home is not None:
        line, given = _count(len(home.home), "task"), len(home.window)
        where = f"It waits for a place at {home.name}, where its inputs are"
        return [f"{where}: {line} in line there, {given} given to it."]
    able = candidates(state, requirement)
    if not able and not requirement.open:
        return [_nobody_may(state, requirement)]
    if not able:
        return ["No worker has a process to run tasks in at the moment; they are being started."]
    waiting = len(task.queue) if task.queue is not None else 0
    slots = sum(worker.slots for worker in able)
    busy = f"{_count(slots, 'slot')} on {_count(len(able), 'worker')} that may run it"
    return [
        f"All inputs are there; {busy} have other work, with {_count(waiting, 'task')} in line.",
        "The lowest number of the order runs first: higher priority, then earlier submission.",
    ]


def _nobody_may(state: ClusterState, requirement: Requirement) -> str:
    if requirement.workers:
        here = [name for name in requirement.workers if state.find_worker(name) is not None]
        names = ", ".join(requirement.workers[:_NAMED])
        if not here and not requirement.allow_others:
            return f"Only {names} may run it, and none of these is here."
    if requirement.resources:
        needs = ", ".join(f"{name}={units:g}" for name, units in requirement.resources)
        total = {
            name: max((w.resources.get(name, 0.0) for w in state.workers.values()), default=0.0)
            for name, _ in requirement.resources
        }
        if any(total[name] < units for name, units in requirement.resources):
            return f"It needs {needs}, and no worker has that much."
        return f"It needs {needs}, and all of it is in use."
    return "The workers that may run it have no process to run tasks in at the moment."


def _is_assigned(state: ClusterState, task: Task) -> list[str]:
    worker = task.worker
    if worker is None:
        return ["It has been given to a worker."]
    before = sum(1 for each in worker.window.values() if each.rank < task.rank)
    lines = [
        f"It has been given to {worker.name}, which runs {_count(worker.slots, 'task')} at once."
    ]
    if before < worker.slots:
        lines.append("It runs, or is about to: no more than that come before it.")
    else:
        lines.append(f"{_count(before, 'task')} given to that worker come before it.")
    if task.tid in state.cancelling:
        lines.insert(0, f"It is being stopped: {state.cancelling[task.tid]}.")
    elif task.attempt in worker.recalled:
        lines.insert(0, "It has been asked back, to run elsewhere or not at all.")
    return lines


def _is_done(state: ClusterState, task: Task) -> list[str]:
    wanted = len(task.also or ()) + task.wanted
    parts = []
    if wanted:
        parts.append(f"{_count(wanted, 'future')} of clients")
    if task.needed:
        parts.append(f"{_count(task.needed, 'pending task')}")
    return [f"It is done; its value is kept for {' and '.join(parts) or 'nobody'}."]


_BY_STATE: Final = {
    st.RELEASED: _rests,
    st.WAITING: _waits,
    st.READY: _is_ready,
    st.ASSIGNED: _is_assigned,
    st.DONE: _is_done,
    st.FAILED: _has_failed,
    st.CANCELLED: _is_cancelled,
    st.LOST: _is_lost,
}


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number:,} {word}s"
