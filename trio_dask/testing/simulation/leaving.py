"""What must hold when a worker leaves a simulated cluster: see `rules`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_dask.messages.fleet import Farewell, Renew
from trio_dask.messages.tasks import Run
from trio_dask.scheduler.core import state as st
from trio_dask.testing.simulation.presence import is_said_again
from trio_dask.testing.simulation.worker import LEAVE_S, MOVE_S
from trio_dask.worker.core.draining import ANSWER_S, GIVE_BACK_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_dask.messages import Message
    from trio_dask.testing.simulation.cluster import Cluster

#: What the clock of a worker that looks now and then may add up to.
_LOOKS_S: Final = 6 * LEAVE_S
_STALLED: Final = "stalled host"


def nobody_gives_to_the_leaving(
    cluster: Cluster, said: list[tuple[int, list[Message]]]
) -> Iterator[str]:
    """A worker that is to leave is given no task; one that it has not heard of is said again."""
    state = cluster.scheduler.core.state
    for peer, messages in said:
        worker = state.peers.get(peer)
        given = any(isinstance(message, Run) for message in messages)
        given = given and not is_said_again(messages)
        if given and isinstance(worker, st.Worker) and worker.draining is not None:
            yield f"{worker.name}, which is to leave, is given a task"


def farewells_are_true(cluster: Cluster, said: list[tuple[int, list[Message]]]) -> Iterator[str]:
    """Whoever goes takes along what the scheduler says, and nothing else that somebody needs."""
    state = cluster.scheduler.core.state
    for peer, messages in said:
        worker = state.peers.get(peer)
        if is_said_again(messages) or any(isinstance(e, Renew) and e.forget for e in messages):
            continue  # a client has had all forgotten in the same moment
        for message in messages:
            if isinstance(worker, st.Worker) and isinstance(message, Farewell):
                gone = {each for each in state.workers.values() if each.draining is not None}
                only = [
                    task
                    for task in state.tasks.values()
                    if task.state == st.DONE and task.holders and worker in task.holders
                    and gone.issuperset(task.holders)
                ]  # fmt: skip
                left = dict.fromkeys(only)
                if len(left) != message.left:
                    yield f"{worker.name} goes with {len(left)} values, not {message.left}"
                if gone != set(state.workers.values()) and _could_move(cluster, worker):
                    movable = [task for task in left if task.tid not in state.pinned]
                    yield from (f"{worker.name} takes {task!r} along" for task in movable)


def _could_move(cluster: Cluster, worker: st.Worker) -> bool:
    """Whether nothing was in the way of its values, but for what they are."""
    leaving = cluster.workers.get(worker.address)
    draining = leaving.core.state.draining if leaving is not None else None
    urged = draining is None or draining.urged_at is not None
    return not urged and not _IN_THE_WAY & {fault.kind for fault in cluster.plan.faults}


#: A link that stands still is one over which nothing could be fetched, as to a host that does.
_IN_THE_WAY: Final = {
    "partition",
    "data connections break",
    "worker dies",
    _STALLED,
    "stalled link",
}


def drains_end(cluster: Cluster) -> Iterator[str]:
    """A worker that leaves in a hurry is gone within its time."""
    faults = cluster.plan.faults
    for worker in cluster.workers.values():
        if worker.hurries_since is not None:
            still = (f.seconds for f in faults if (f.kind, f.host) == (_STALLED, worker.name))
            limit = worker.plan.grace + GIVE_BACK_S + MOVE_S + ANSWER_S + _LOOKS_S + sum(still)
            if cluster.world.now - worker.hurries_since > limit:
                yield f"{worker.address} has been leaving for more than {limit:.2f} s"
