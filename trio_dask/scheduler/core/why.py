"""Why a task is where it is, in words and as facts.

Read from the tables when somebody asks, so it costs nothing until then; what could be long is
cut: a million tasks in line are counted, not named.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from trio_dask.scheduler.core import state as st
from trio_dask.scheduler.core.coordination_page import awaited
from trio_dask.scheduler.core.drawing import candidates
from trio_dask.scheduler.core.failures import packed
from trio_dask.scheduler.core.hosts import meant
from trio_dask.scheduler.core.lacking import NO_PROCESS, NOT_ASKED_FOR, nearest
from trio_dask.scheduler.core.why_over import (
    NAMED,
    Why,
    count,
    failure_line,
    has_failed,
    is_cancelled,
    is_done,
    is_lost,
    named,
    rests,
    spent,
)
from trio_dask.scheduler.core.windows import busy, running

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.scheduler.core.state import ClusterState, Requirement, Task, Worker

#: So deep one looks for what all waits for.
_DEPTH: Final = 1000
#: Of what a task has submitted, so many are looked at.
_CHILDREN_MAX: Final = 10_000


def why(state: ClusterState, task: Task) -> list[str]:
    """The sentences alone."""
    return explain(state, task).lines


def explain(state: ClusterState, task: Task) -> Why:
    """Why the task is where it is."""
    return _BY_STATE[task.state](state, task)


def answer(state: ClusterState, params: dict[str, Any]) -> dict[str, Any]:
    """The answer to a client that asks by its own id, or by key."""
    tid, key = params.get("tid"), params.get("key")
    task = state.tasks.get(tid) if type(tid) is int else None
    if task is None and type(key) is str:
        task = state.task_with_key(key)
    if task is None:
        found, name, where = _is_unknown(state, str(key or tid)), str(key or tid), "unknown"
    else:
        found, name = explain(state, task), state.key_of(task)
        where = st.STATE_NAMES[task.state]
    # What users' errors say is opaque, in event logs, too: it travels as bytes.
    facts = dict(found.facts)
    error = packed(facts.pop("error", ""))
    lines = [packed(line) for line in found.lines]
    return {"key": name, "state": where, "lines": lines, "facts": facts, "error": error}


def _is_unknown(state: ClusterState, key: str) -> Why:
    line = (
        f"The scheduler does not know {key}: it was never submitted to this cluster, or it is "
        "forgotten, as nobody wants it any more or the cluster was restarted."
    )
    lines = [line]
    for failed in reversed(state.failures):
        if failed.key == key:
            lines.append(f"It failed before: {failure_line(failed.why)}.")
            return Why(lines, {"phase": "unknown", "failed": True})
    return Why(lines, {"phase": "unknown", "failed": False})


# ---------------------------------------------------------------- waiting for inputs


def _waits_for_client(state: ClusterState, task: Task) -> Why:
    facts: dict[str, Any] = {"phase": "awaited"}
    if not state.workers:
        return Why(["A client brings this value, and there is no worker yet to keep it."], facts)
    where = state.puts.get(task.tid)
    if where is not None:
        return Why([f"A client is bringing this value to {where.name}."], facts)
    asked = next((put.workers for _, put in state.waiting_puts if task.tid in put.tids), None)
    if asked is None:
        return Why(["A client is bringing this value."], facts)
    facts["asked_for"] = list(asked[:NAMED])
    here = list(dict.fromkeys(worker for name in asked for worker in meant(state, name)))
    if asked and not here:
        names = named(worker.name for worker in state.workers.values())
        line = f"Only {named(asked)} may keep this value, and none of these is here: {names}."
        return Why([line], facts)
    leaving = named(worker.name for worker in here or state.workers.values())
    return Why([f"A client brings this value; all who may keep it are to leave: {leaving}."], facts)


def _waits(state: ClusterState, task: Task) -> Why:
    if task.args is None:
        return _waits_for_client(state, task)
    missing = [dep for dep in task.deps if dep.state != st.DONE]
    names = named([f"{state.key_of(d)} ({st.STATE_NAMES[d.state]})" for d in missing])
    lines = [f"It waits for {count(len(missing), 'input')}: {names}."]
    states = Counter(st.STATE_NAMES[dep.state] for dep in missing)
    facts: dict[str, Any] = {
        "phase": "inputs",
        "missing": len(missing),
        "of": len(task.deps),
        "inputs": [state.key_of(dep) for dep in missing[:NAMED]],
        "states": dict(states),
    }
    if len(states) > 1:
        lines[0] = lines[0][:-1] + f"; {', '.join(f'{n} {name}' for name, n in states.items())}."
    deepest, depth = task, 0
    for depth in range(_DEPTH):  # noqa: B007 - how deep it was is told
        following = next((dep for dep in deepest.deps if dep.state != st.DONE), None)
        if following is None:
            break
        deepest = following
    if deepest.state != st.WAITING or deepest.args is None:
        behind = explain(state, deepest)
        far = f", {depth} inputs further back" if depth > 1 else ""
        lines.append(f"In the end that is {state.key_of(deepest)}{far}. {behind.lines[0]}")
        facts |= {"root": state.key_of(deepest), "depth": depth, "root_facts": behind.facts}
    return Why(lines, facts)


# ---------------------------------------------------------------- waiting for a place


def _is_ready(state: ClusterState, task: Task) -> Why:
    requirement = task.spec.requirement
    if not state.workers:
        line = "All inputs are there, but there is no worker at all."
        return Why([line], {"phase": "no workers"})
    for (_, bound), queue in state.alone.items():
        if task.queue is queue:
            return _is_to_run_alone(state, task, bound)
    home = next((worker for worker in state.workers.values() if task.queue is worker.home), None)
    if home is not None:
        return _waits_at_home(state, task, home)
    able = candidates(state, requirement)
    if not able:
        return _nobody_may(state, requirement)
    ahead, exact = task.queue.ahead_of(task) if task.queue is not None else (0, True)
    waiting = len(task.queue) if task.queue is not None else 0
    slots = sum(worker.slots for worker in able)
    places = f"{count(slots, 'slot')} on {count(len(able), 'worker')} that may run it"
    lines = [
        f"All inputs are there; {places} have other work, with {count(waiting, 'task')} in line."
    ]
    before = count(ahead, "task") if exact else f"at least {count(ahead, 'task')}"
    first = task.queue.peek() if task.queue is not None else None
    if ahead and first is not None:
        lines.append(f"{before} of these come before it; the first is {state.key_of(first)}.")
    lines.append(f"What these workers have: {_loads(able)}.")
    lines.append("Higher priority runs first, then what was submitted earlier.")
    facts = {
        "phase": "queued",
        "ahead": ahead,
        "in_line": waiting,
        "slots": slots,
        "workers": [worker.name for worker in able[:NAMED]],
    }
    return Why(lines, facts)


def _loads(workers: Iterable[Worker]) -> str:
    loads: Counter[str] = Counter()
    for worker in workers:
        for prefix, number in worker.load.items():
            loads[prefix.name] += number
    return named([f"{name} ({number:,})" for name, number in loads.most_common()]) or "nothing yet"


def _waits_at_home(state: ClusterState, task: Task, home: Worker) -> Why:
    line, given = count(len(home.home), "task"), len(home.window)
    where = f"It waits for a place at {home.name}, where its inputs are"
    lines = [f"{where}: {line} in line there, {given} given to it."]
    stuck = [dep for dep in task.deps if dep.tid in state.pinned]
    if stuck:
        lines.append(
            f"It cannot run elsewhere: {named([state.key_of(dep) for dep in stuck])} cannot leave "
            "that worker, as it cannot be pickled."
        )
    if home.draining is not None:
        lines.append(f"{home.name} is to leave; what is there moves first.")
    ahead, _ = home.home.ahead_of(task)
    facts = {"phase": "at home", "worker": home.name, "ahead": ahead, "in_line": len(home.home)}
    return Why(lines, facts)


def _is_to_run_alone(state: ClusterState, task: Task, bound: Worker | None) -> Why:
    lines = [
        "Its process was killed for want of memory, so it runs once more, with nothing beside it."
    ]
    kept = next((worker for worker in state.kept if worker.kept is task), None)
    if kept is not None:
        lines.append(f"{kept.name} is kept for it, and has {count(busy(kept), 'task')} to end.")
    elif bound is not None:
        lines.append(f"It has to be {bound.name}, where its inputs are, and that is not empty yet.")
    else:
        lines.append("No worker is empty yet.")
    return Why(lines, {"phase": "alone", "worker": kept.name if kept is not None else ""})


def _nobody_may(state: ClusterState, requirement: Requirement) -> Why:
    found = nearest(state, requirement)
    facts: dict[str, Any] = {
        "phase": "no worker may",
        "asked_for": list(requirement.workers[:NAMED]),
        "resources": dict(requirement.resources),
        "nearest": [{"worker": worker.name, "lacks": lacks} for worker, lacks in found[:NAMED]],
    }
    lines: list[str] = []
    here = [name for name in requirement.workers if meant(state, name)]
    if requirement.workers and not here and not requirement.allow_others:
        lines.append(f"Only {named(requirement.workers)} may run it, and none of these is here.")
    elif requirement.resources:
        needs = ", ".join(f"{name}={units:g}" for name, units in requirement.resources)
        enough = [
            worker
            for worker in state.workers.values()
            if all(worker.resources.get(n, 0.0) >= units for n, units in requirement.resources)
        ]
        how = "all of it is in use" if enough else "no worker has that much"
        lines.append(f"It needs {needs}, and {how}.")
    else:
        lines.append(_nobody_takes(requirement, found))
    lines += [f"{worker.name}: {', '.join(lacks)}." for worker, lacks in found[:NAMED] if lacks]
    return Why(lines, facts)


def _nobody_takes(requirement: Requirement, found: list[tuple[Worker, list[str]]]) -> str:
    """Whoever may run it does not take tasks; why, is said of each if it is not the same for all."""
    starting = all(NO_PROCESS in lacks or NOT_ASKED_FOR in lacks for _, lacks in found)
    if requirement.open:
        none = "No worker has a process to run tasks in at the moment; they are being started."
        return none if starting else "No worker takes it at the moment."
    who = "The workers that may run it"
    none = f"{who} have no process to run tasks in at the moment."
    return none if starting else f"{who} do not take it at the moment."


# ---------------------------------------------------------------- with a worker


def _is_assigned(state: ClusterState, task: Task) -> Why:
    worker = task.worker
    if worker is None:
        return Why(["It has been given to a worker."], {"phase": "sent"})
    sent_s = worker.sent_ago_s(task.attempt, state.now)
    facts: dict[str, Any] = {"phase": "sent", "worker": worker.name, "attempt": task.attempt}
    if sent_s is not None:
        facts["sent_s"] = sent_s
    ago = f" {spent(sent_s)} ago" if sent_s is not None else ""
    slots = count(worker.slots, "task")
    lines = [f"It has been given to {worker.name}{ago}, which runs {slots} at once."]
    if task.spec.apart:
        facts["own_process"] = True
        lines.append("It has a process of its own there, which is started when its turn comes.")
    if task.attempt in worker.parked:
        line = _is_parked(state, task, worker, facts)
    else:
        line = _has_a_place(state, task, worker, facts)
    lines.append(line)
    if task.tid in state.cancelling:
        reason, who = state.cancelling[task.tid], state.cancellers.get(task.tid, "")
        by = f" for {who}" if who else ""
        lines.insert(0, f"It is being stopped{by}: {reason or 'no reason was given'}.")
        facts |= {"phase": "being cancelled", "reason": reason, "by": who}
    elif task.tid in state.late:
        limit = state.late[task.tid]
        lines.insert(0, f"Its deadline of {spent(limit.seconds)} is over; it is being stopped.")
        facts |= {"phase": "late"}
    elif task.attempt in worker.recalled:
        lines.insert(0, "It has been asked back, to run elsewhere or not at all.")
        facts |= {"recalled": True}
    return Why(lines, facts)


def _has_a_place(state: ClusterState, task: Task, worker: Worker, facts: dict[str, Any]) -> str:
    began = worker.running.get(task.attempt)
    if began is not None:
        ran_s = max(0.0, state.now - began)
        facts |= {"phase": "running", "ran_s": ran_s}
        return f"It has been running there for {spent(ran_s)}."
    before = sum(1 for each in running(worker) if each.rank < task.rank)
    facts["ahead"] = before
    changing = [each for each in state.plugins.changes.values() if worker in each.left]
    if changing:
        facts["plugins"] = [each.name for each in changing[:NAMED]]
        how = named(f"{each.name} ({'set up' if each.blob else 'torn down'})" for each in changing)
        return f"What has not begun there waits for plugins: {how}."
    if before < worker.slots:
        return "It runs, or is about to: no more than that come before it."
    return f"{count(before, 'task')} given to that worker come before it."


def _is_parked(state: ClusterState, task: Task, worker: Worker, facts: dict[str, Any]) -> str:
    line = "It has begun, and has given up its slot for as long as it waits."
    facts["phase"] = "parked"
    client = worker.nested.get(task.attempt)
    if client is None or client.nest is None:
        return line
    waits_for = awaited(state, client)
    if waits_for:
        facts["waits_for"] = waits_for[:NAMED]
        line = f"It has begun, and waits for {named(waits_for)}; its slot is free meanwhile."
    found = map(state.tasks.get, islice(client.nest.tids(), _CHILDREN_MAX))
    pending = [each for each in found if each is not None and each.state in st.PENDING]
    facts["children"] = len(pending)
    if not pending:
        return line
    names = named(f"{state.key_of(each)} ({st.STATE_NAMES[each.state]})" for each in pending)
    open_ = f"{count(len(pending), 'task')} {'is' if len(pending) == 1 else 'are'} not done"
    return f"{line} Of what it has submitted {open_}: {names}."


_BY_STATE: Final = {
    st.RELEASED: rests,
    st.WAITING: _waits,
    st.READY: _is_ready,
    st.ASSIGNED: _is_assigned,
    st.DONE: is_done,
    st.FAILED: has_failed,
    st.CANCELLED: is_cancelled,
    st.LOST: is_lost,
}
