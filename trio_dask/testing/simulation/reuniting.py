"""What must hold when those who have lost their scheduler come back to another: see `rules`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.messages.reunion import Members
from trio_dask.messages.tasks import Run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_dask.messages import Message
    from trio_dask.testing.simulation.cluster import Cluster


def nobody_is_overtaken(cluster: Cluster, said: list[tuple[int, list[Message]]]) -> Iterator[str]:
    """A new scheduler gives out nothing before the living are back whom those remember who are."""
    kinds = {type(message) for _, messages in said for message in messages}
    state = cluster.scheduler.core.state
    if not kinds >= {Members, Run} or cluster.scheduler.clock() >= state.reunion.until:
        return
    back = [cluster.workers[each] for each in state.workers if each in cluster.workers]
    memories = [worker.core.memory for worker in back]
    ours = [each for each in memories if each.cluster == state.cluster]
    memory = max(ours, key=lambda each: each.version, default=None)
    if memory is None or memory.version < state.reunion.version:
        return  # a client remembers better
    for address in memory.workers:
        worker = cluster.workers.get(address)
        if worker is not None and worker.registered and address not in state.workers:
            yield f"{address} is not back, and others are given its tasks"
