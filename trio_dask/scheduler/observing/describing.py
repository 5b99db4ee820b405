"""Records in plain data, for people and for JSON: everything that is shown is made here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.failure import Failure, walk
from trio_dask.messages.ids import client_of
from trio_dask.scheduler.core import state as st
from trio_dask.scheduler.core.deaths import death_of, described
from trio_dask.scheduler.core.describing import describe_worker
from trio_dask.scheduler.core.why import why

if TYPE_CHECKING:
    from trio_dask.scheduler.core.chronicle import Happened
    from trio_dask.scheduler.core.state import ClusterState, FailedTask, Task, Worker

#: Of what a task refers to, so much is listed.
_LISTED: Final = 50
_TEXT_MAX: Final = 20_000
_CAUSES_MAX: Final = 20
_CPU_S_MAX: Final = 1e12


def worker_memory(worker: Worker) -> int:
    """What it uses, in bytes; 0 while unknown."""
    used = worker.metrics.get("memory")
    if type(used) is int and used > 0:
        return used
    runner = worker.metrics.get("runner")
    rss = runner.get("rss") if isinstance(runner, dict) else None
    rss = worker.metrics.get("rss") if rss is None else rss
    return rss if type(rss) is int and rss > 0 else 0


def worker_cpu_s(worker: Worker) -> float:
    """Processor time of its runner so far; negative while unknown."""
    runner = worker.metrics.get("runner")
    used = runner.get("cpu_s") if isinstance(runner, dict) else None
    return float(used) if isinstance(used, int | float) and 0 <= used < _CPU_S_MAX else -1.0


def worker_page(state: ClusterState, worker: Worker, now: float) -> dict[str, Any]:
    """All that is known of a worker."""
    window = sorted(worker.window.values(), key=lambda task: task.rank)
    held = list(worker.held.values())
    return {
        **describe_worker(worker),
        "address": worker.address,
        "memory": worker_memory(worker),
        "slots": worker.slots,
        "last_seen_s": max(0.0, now - worker.last_seen),
        "load": {prefix.name: count for prefix, count in worker.load.items()},
        "window": [task_line(state, task) for task in window[:_LISTED]],
        "window_count": len(window),
        "running": [
            {**task_line(state, task), "ran_s": max(0.0, now - began)}
            for attempt, began in worker.running.items()
            if (task := worker.window.get(attempt)) is not None
        ],
        "held": [task_line(state, task) for task in held[-_LISTED:]],
        "held_count": len(held),
        "held_bytes": sum(task.nbytes for task in held),
        "events": [
            event_line(each, now) for each in reversed(state.happened) if each.who == worker.name
        ][:_LISTED],
    }


def task_line(state: ClusterState, task: Task) -> dict[str, Any]:
    """A task in a list."""
    return {
        "key": state.key_of(task),
        "name": task_name(task),
        "state": st.STATE_NAMES[task.state],
        "worker": task.worker.name if task.worker is not None else "",
        "nbytes": task.nbytes,
    }


def task_name(task: Task) -> str:
    """The function's name."""
    return task.spec.function.prefix.name if task.spec.function is not None else "data"


def task_page(state: ClusterState, task: Task, now: float) -> dict[str, Any]:
    """All that is known of a task, and why it is where it is."""
    requirement = task.spec.requirement
    dependents = list(task.dependents or ())
    prefix = task.spec.function.prefix if task.spec.function is not None else None
    return {
        **task_line(state, task),
        "why": why(state, task),
        "attempt": task.attempt,
        "inputs": [task_line(state, each) for each in task.deps[:_LISTED]],
        "inputs_count": len(task.deps),
        "outputs": [task_line(state, each) for each in dependents[:_LISTED]],
        "outputs_count": len(dependents),
        "where": [worker.name for worker in task.holders or ()][:_LISTED],
        "inline": task.value is not None and task.state == st.DONE,
        "wanted": bool(task.wanted or task.also),
        "retries": task.spec.retries,
        "retried": state.retried.get(task.tid, 0),
        "workers": list(requirement.workers),
        "allow_other_workers": requirement.allow_others,
        "resources": dict(requirement.resources),
        "expected_s": prefix.estimate_s() if prefix is not None and prefix.mean_s >= 0 else None,
        "history": history(state, task, now),
        "ran_s": ran_s(task, now),
        "deaths": deaths_of(state, task),
        "failure": failure_page(task.value) if task.state == st.FAILED else None,
    }


def ran_s(task: Task, now: float) -> float | None:
    """For how long it has been running, if that is known."""
    began = task.worker.running.get(task.attempt) if task.worker is not None else None
    return max(0.0, now - began) if began is not None and task.state == st.ASSIGNED else None


def deaths_of(state: ClusterState, task: Task) -> list[dict[str, Any]]:
    """What is known of the processes that died under it, also when it was given up for that."""
    deaths = state.deaths.get(task.tid)
    if deaths is not None:
        return list(deaths.kept)
    try:
        failure = Failure.from_bytes(task.value or b"") if task.state == st.FAILED else None
    except RemoteProtocolError:
        failure = None
    kept = failure.origin.get("deaths") if failure is not None else None
    found = [each for each in kept if type(each) is dict] if type(kept) is list else []
    return [death_of(each, 0, str(each.get("worker", ""))) for each in found[-_CAUSES_MAX:]]


def history(state: ClusterState, task: Task, now: float) -> list[str]:
    """What has become of it so far, in sentences, as far as anybody remembers."""
    client = state.clients.get(client_of(task.tid))
    lines = [f"Submitted by {client.name if client is not None else 'a client that has left'}."]
    deaths = deaths_of(state, task)
    lines += [f"The process that ran it died: {described(death)}." for death in deaths]
    if count := state.retried.get(task.tid, 0):
        lines.append(f"It failed and was tried again {'once' if count == 1 else f'{count} times'}.")
    if count := state.unreached.get(task.tid, 0):
        times = "Once" if count == 1 else f"{count} times"
        lines.append(f"{times} a value was not found where it was said to be.")
    if task.attempt and task.worker is not None and task.state == st.ASSIGNED:
        seconds = ran_s(task, now)
        since = f", where it has been running for {seconds:.1f} s" if seconds is not None else ""
        lines.append(f"Given to {task.worker.name}{since}.")
    lines.append(f"Now it is {st.STATE_NAMES[task.state]}.")
    return lines


def event_line(happened: Happened, now: float) -> dict[str, Any]:
    """Something that has happened, in a list."""
    return {
        "kind": happened.kind,
        "who": happened.who,
        "text": happened.text,
        "times": happened.times,
        "ago_s": max(0.0, now - happened.at),
    }


def failure_line(failed: FailedTask, now: float) -> dict[str, Any]:
    """A failure in a list."""
    return {
        "key": failed.key,
        "name": failed.prefix,
        "worker": failed.worker,
        "ago_s": max(0.0, now - failed.at) if failed.at else None,
        **failure_page(failed.why),
    }


def failure_page(why: bytes | None) -> dict[str, Any]:
    """A failure as text: nothing of a user's own types is looked at."""
    try:
        failure = Failure.from_bytes(why or b"")
    except RemoteProtocolError:
        return {"kind": "", "message": "nothing that can be shown", "traceback": "", "causes": []}
    behind = [each for each in walk(failure) if each is not failure]
    return {
        **_failure_text(failure),
        "origin": {k: v for k, v in failure.origin.items() if type(v) in (str, int, float)},
        "causes": [_failure_text(each) for each in behind[-_CAUSES_MAX:]],
    }


def _failure_text(failure: Failure) -> dict[str, Any]:
    return {
        "kind": failure.kind[:_TEXT_MAX],
        "message": failure.message[:_TEXT_MAX],
        "traceback": failure.traceback[-_TEXT_MAX:],
        "notes": [note[:_TEXT_MAX] for note in failure.notes[:_LISTED]],
    }
