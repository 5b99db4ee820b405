"""Who is there, and can speak to the scheduler: rules about both sides are about them only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.messages.session import Resumed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_dask.messages import Message
    from trio_dask.scheduler.core.state import ClusterState, Worker
    from trio_dask.testing.simulation.client import SimClient
    from trio_dask.testing.simulation.cluster import Cluster
    from trio_dask.testing.simulation.nest import SimNest
    from trio_dask.testing.simulation.worker import SimWorker


def registered(cluster: Cluster) -> Iterator[tuple[SimWorker, Worker]]:
    """Living workers that the scheduler knows, with its record of each."""
    known = cluster.scheduler.core.state.workers
    for worker in cluster.workers.values():
        if worker.address in known and worker.registered:
            yield worker, known[worker.address]


def counted_on(cluster: Cluster) -> Iterator[tuple[SimWorker, set[int]]]:
    """Workers that have told all they have, each with the attempts that are to end there unheard.

    Until a worker that is back has told, nothing that it runs counts; then what is made
    elsewhere by now is disowned, and goes on until the worker hears of it.
    """
    reunion = cluster.scheduler.core.state.reunion
    for worker, record in registered(cluster):
        if record.peer not in reunion.reports:
            _, disowned = reunion.disowned.get(record.peer, (0, {}))
            runners = worker.core.state.runners.values()
            yield worker, {*disowned, *(each for runner in runners for each in runner.abandoned)}


def connected(cluster: Cluster) -> Iterator[tuple[SimWorker, Worker]]:
    """Those of them that can speak to each other at present."""
    state = cluster.scheduler.core.state
    for worker, record in registered(cluster):
        bond = worker.core.state.bond
        if _is_taken_in(state, record.peer) and bond is not None and not bond.away:
            yield worker, record


def _is_taken_in(state: ClusterState, peer: int) -> bool:
    """Whether the peer is there and, if it has come back, has told all that it has."""
    told = not state.reunion.recovering and peer not in state.reunion.reports
    return told and peer not in state.sessions.away


def present(cluster: Cluster) -> Iterator[SimClient]:
    """Living clients that can speak to the scheduler at present."""
    for client in cluster.clients.values():
        if is_present(cluster, client):
            yield client


def is_present(cluster: Cluster, client: SimClient | SimNest) -> bool:
    """Whether it lives, and can speak to the scheduler at present."""
    state = cluster.scheduler.core.state
    record = state.clients.get(client.core.number)
    peer = record.peer if record is not None else 0
    if record is not None and record.nest is not None:
        peer = record.nest.worker.peer
    here = record is None or _is_taken_in(state, peer)
    return here and not client.dead and not client.core.away


def is_said_again(messages: list[Message]) -> bool:
    """Whether this is what one who is back had not heard: it was true when it was first said."""
    return isinstance(messages[0], Resumed)
