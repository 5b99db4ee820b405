"""Which workers a name means: one by its own name or address, or all that are on a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio_dask.scheduler.core.state import ClusterState, Worker


def hosts_of(worker: Worker) -> tuple[str, ...]:
    """What its host is called: as in its address, and as it calls itself."""
    there = worker.address.partition("://")[2].rpartition(":")[0].strip("[]")
    here = worker.info.get("host")
    return (there, here) if isinstance(here, str) and here not in {there, ""} else (there,)


def joined(state: ClusterState, worker: Worker) -> None:
    """It is on its host."""
    for host in hosts_of(worker):
        state.hosts.setdefault(host, {})[worker] = None


def gone(state: ClusterState, worker: Worker) -> None:
    """It is not there any more."""
    for host in hosts_of(worker):
        there = state.hosts.get(host, {})
        there.pop(worker, None)
        if not there:
            state.hosts.pop(host, None)


def meant(state: ClusterState, name: str) -> list[Worker]:
    """The workers that are meant; a worker's own name goes before that of a host."""
    worker = state.find_worker(name)
    return [worker] if worker is not None else list(state.hosts.get(name, ()))


def is_meant(state: ClusterState, names: tuple[str, ...], worker: Worker) -> bool:
    """Whether one of these names means this worker."""
    for name in names:
        found = state.find_worker(name)
        if found is worker or (found is None and worker in state.hosts.get(name, ())):
            return True
    return False
