"""What may be shown of a process of workers: plain data, read when somebody asks."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from trio_dask.worker.server import WorkerHandle


class WorkersView:
    """A window on the workers of a process, through which nothing can be changed."""

    def __init__(self, handle: WorkerHandle) -> None:
        self._handle: Final = handle

    def workers(self) -> list[dict[str, Any]]:
        """Each worker, as it is now."""
        return [
            {
                "name": worker.name,
                "address": worker.address,
                "nthreads": worker.core.state.nthreads,
                "leaving": worker.core.draining,
                "running": len(worker.board()),
                "books": worker.core.books(),
                "runner": worker.metrics(),
            }
            for worker in self._handle.workers
        ]

    def process(self) -> dict[str, Any]:
        """What they share."""
        return {
            "scheduler": self._handle.scheduler_address,
            "store_bytes": self._handle.store.nbytes,
            "pid": os.getpid(),
            "host": socket.gethostname(),
        }

    def logs(self, now: float) -> list[dict[str, Any]]:
        """The last lines of the log, the newest first."""
        return self._handle.lines(now)
