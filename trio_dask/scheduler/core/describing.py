"""What people are told about workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trio_dask.scheduler.core.state import Worker


def status_of(worker: Worker) -> str:
    """How a worker is, in a word."""
    if worker.draining is not None:
        return worker.draining.status
    return "running" if worker.slots else "paused"


def describe_worker(worker: Worker) -> dict[str, Any]:
    """What people are told about a worker."""
    return {
        **worker.info,
        "type": "Worker",
        "id": worker.number,
        "name": worker.name,
        "nthreads": worker.nthreads,
        "memory_limit": worker.memory_limit,
        "resources": worker.resources,
        "status": status_of(worker),
        "processing": len(worker.window),
        "in_memory": len(worker.held),
        "metrics": worker.metrics,
    }
