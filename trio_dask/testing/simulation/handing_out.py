"""What must hold when tasks are handed out in a simulated cluster: see `rules`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.messages.tasks import Run
from trio_dask.scheduler.core import state as st
from trio_dask.testing.simulation.presence import connected, is_said_again

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_dask.messages import Message
    from trio_dask.scheduler.core.ready import ReadyQueue
    from trio_dask.scheduler.core.state import ClusterState, Worker
    from trio_dask.testing.simulation.cluster import Cluster


def restrictions_are_kept(cluster: Cluster) -> Iterator[str]:
    """A task is only with a worker that it names, while one of those is there."""
    state = cluster.scheduler.core.state
    for worker in state.workers.values():
        for attempt, task in worker.window.items():
            asked = task.spec.requirement
            if not asked.workers or asked.allow_others:
                continue
            if worker.name not in asked.workers and worker.address not in asked.workers:
                yield f"attempt {attempt:x} is with {worker.name}"


def urgent_first(cluster: Cluster, said: list[tuple[int, list[Message]]]) -> Iterator[str]:
    """Nothing is handed to a worker while a more urgent task that it may run is left waiting.

    What is said again to one that is back was handed out before the more urgent one came.
    """
    state = cluster.scheduler.core.state
    if state.pace.undealt:
        return
    for peer, messages in said:
        worker = state.peers.get(peer)
        runs = [message for message in messages if isinstance(message, Run)]
        if not runs or not isinstance(worker, st.Worker):
            continue
        if is_said_again(messages):
            continue
        least = min(_urgency(cluster, args) for run in runs for args in run.args)
        for queue in _queues(state, worker):
            head = queue.peek()
            if head is not None and _urgency(cluster, head.args) > least:
                yield f"{worker.name} is given a task though {head!r} is more urgent"


def nobody_idles(cluster: Cluster) -> Iterator[str]:
    """No slot is free while a task waits that may take it."""
    state = cluster.scheduler.core.state
    if state.alone or state.kept or state.pace.behind or state.reunion.recovering:
        return  # a worker is being emptied, others are waited for, or the next turn has more
    for worker in state.workers.values():
        taken = sum(attempt not in worker.parked for attempt in worker.window)
        if taken >= worker.slots:
            continue
        for queue in _queues(state, worker):
            head = queue.peek()
            if head is not None:
                yield f"{worker.name} has {worker.slots - taken} slots free, and {head!r} waits"


def _queues(state: ClusterState, worker: Worker) -> list[ReadyQueue]:
    """Those that hold tasks for this worker."""
    asked = [each.queue for each in state.restricted if _may_run(worker, each)]
    return [state.anywhere.queue, worker.home, *asked]


def no_inversion_lasts(cluster: Cluster) -> Iterator[str]:
    """Nothing that is not thought to have begun waits in a window before a more urgent newcomer."""
    state = cluster.scheduler.core.state
    head = state.anywhere.queue.peek()
    if head is None or state.pace.undealt:
        return
    for worker, record in connected(cluster):
        if not record.slots:
            continue
        unbegun = worker.unbegun()
        # The scheduler believes that those given first have begun. They may lack inputs.
        given = [attempt for attempt in record.window if attempt not in record.parked]
        for attempt in given[record.slots :]:
            task = record.window[attempt]
            if attempt in record.recalled or attempt not in unbegun:
                continue
            if _urgency(cluster, task.args) < _urgency(cluster, head.args):
                yield f"{task!r} waits at {worker.name} while {head!r} is more urgent"


def _urgency(cluster: Cluster, args: bytes | None) -> tuple[int, int]:
    """The priority that a task's user has given it, and how deep it is inside of others."""
    number = int(args or b"")
    return cluster.truth.priorities[number], cluster.truth.depths[number]


def _may_run(worker: Worker, requirement: st.Requirement) -> bool:
    named = not requirement.workers or bool(
        {worker.name, worker.address} & set(requirement.workers)
    )
    free = worker.free_resources
    return named and all(free.get(name, 0) >= units for name, units in requirement.resources)
