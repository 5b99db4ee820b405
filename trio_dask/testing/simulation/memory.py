"""Memory of simulated workers: what they use, and disks that now and then are full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_dask.worker.core import MemoryRules

if TYPE_CHECKING:
    from trio_dask.testing.simulation.plan import WorkerPlan
    from trio_dask.testing.simulation.worker import SimWorker

#: How often memory is looked at.
MEMORY_S: Final = 0.08
#: To write a value takes up to so long.
WRITE_S: Final = 0.02
#: Smaller values share files.
_FILE_BYTES_MIN: Final = 20_000
#: So much each running task needs.
_TASK_BYTES: Final = 25_000_000


def memory_rules(plan: WorkerPlan) -> MemoryRules:
    """All values count, however small. Nobody is ended: some tasks would never end then."""
    return MemoryRules(
        limit=plan.memory, terminate=0.0, file_bytes_min=_FILE_BYTES_MIN, slab_bytes_min=1
    )


def memory_used(worker: SimWorker) -> int:
    """What its values and its tasks take."""
    return worker.core.state.room.managed + len(worker.running()) * _TASK_BYTES


def spill(worker: SimWorker, tid: int) -> None:
    """Write a value to a file, which takes a while, and may fail."""
    world = worker.cluster.world
    chance = world.chance(f"{worker.address} writes {tid:x} at step {world.steps}")

    def written() -> None:
        if not worker.alive:
            return
        payload = worker.core.state.store.get(tid)
        if payload is None or chance.random() >= worker.plan.disk:
            worker.core.unmoved(tid, "the disk is full" if payload is not None else "", world.now)
            worker.perform()
            return
        for each in worker.cluster.beside(worker.name):
            state = each.core.state
            if each is worker or state.holder(tid) is not None or state.store.holds(each.name, tid):
                each.core.moved(tid, payload)
                each.perform()

    world.after(WRITE_S * chance.random(), f"{worker.name} has written {tid:x}", written)
