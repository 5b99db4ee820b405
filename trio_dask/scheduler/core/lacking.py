"""What keeps workers from running a task, worker by worker: for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_dask.scheduler.core.drawing import named_workers

if TYPE_CHECKING:
    from trio_dask.scheduler.core.state import ClusterState, Requirement, Worker

NOT_ASKED_FOR: Final = "is not among the workers asked for"
NO_PROCESS: Final = "has no process to run tasks in at the moment"


def nearest(state: ClusterState, requirement: Requirement) -> list[tuple[Worker, list[str]]]:
    """All workers with what each lacks to run such a task, those first that lack least."""
    asked_for = dict.fromkeys(named_workers(state, requirement))
    found = [
        (worker, lacks(requirement, worker, asked_for=worker in asked_for))
        for worker in state.workers.values()
    ]
    return sorted(found, key=lambda each: (len(each[1]), each[0].number))


def lacks(requirement: Requirement, worker: Worker, *, asked_for: bool) -> list[str]:
    """What this worker lacks; nothing: it may run such a task."""
    found: list[str] = []
    if worker.draining is not None:
        found.append("is to leave")
    elif not asked_for:
        found.append(NOT_ASKED_FOR)
    for name, units in requirement.resources:
        total, free = worker.resources.get(name, 0.0), worker.free_resources.get(name, 0.0)
        if not total:
            found.append(f"has no {name}")
        elif total < units:
            found.append(f"has {name}={total:g} in all, {units:g} is needed")
        elif free < units:
            found.append(f"has {name}={free:g} free of {total:g}, {units:g} is needed")
    if worker.kept is not None:
        found.append("is kept for a task that runs alone")
    elif not worker.told and worker.metrics.get("paused"):
        found.append("is paused: it uses most of its memory")
    elif not worker.told:
        found.append(NO_PROCESS)
    return found
