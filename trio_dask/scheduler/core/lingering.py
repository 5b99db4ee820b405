"""Tasks that held something when the last scheduler died, and are not over yet.

Their clients are lost, so they are stopped, and nobody knows which locks they have. Until the last
of them has ended nobody is given any lock or lease, but not for longer than they can take for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.reunion import Lingering, Mirrored
from trio_dask.scheduler.core import coordinating, mirroring

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.messages import Message
    from trio_dask.scheduler.core.state import ClusterState, Worker

#: Who is stopped has ended by then: its process is, at the latest.
LIMIT_S: Final = 30.0


def begin(state: ClusterState, worker: Worker, messages: list[Message]) -> None:
    """A worker that is back tells which of its tasks are to end."""
    if any(isinstance(each, Lingering) and each.attempts for each in messages):
        state.mirrors.lingering[worker] = state.now + LIMIT_S
        state.records.locks.shut = state.records.semaphores.shut = True


def on_lingering(state: ClusterState, worker: Worker, message: Lingering) -> None:
    """Some of them have ended."""
    if not message.attempts:
        gone(state, worker)


def gone(state: ClusterState, worker: Worker) -> None:
    """The worker has none any more, or is lost with all."""
    if state.mirrors.lingering.pop(worker, None) is not None and not state.mirrors.lingering:
        records = state.records
        coordinating.granted(state, records.locks.open(state.now))
        coordinating.granted(state, records.semaphores.open(state.now))


def expire(state: ClusterState, now: float) -> None:
    """They cannot be there for so long."""
    for worker, until in list(state.mirrors.lingering.items()):
        if now >= until:
            gone(state, worker)


#: What workers say of what the last scheduler has kept.
FROM_WORKER: Final[dict[type, Callable[[ClusterState, Worker, Any], None]]] = {
    Mirrored: mirroring.on_mirrored,
    Lingering: on_lingering,
}
