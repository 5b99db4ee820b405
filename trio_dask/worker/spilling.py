"""Values of the store on their way to files, one after the other, in a thread."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import trio

from trio_dask.store import write_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_dask.messages import Payload
    from trio_dask.worker.worker import Worker

logger: Final = logging.getLogger("trio_dask.worker")


class Spiller:
    """Writes what one worker wants written; the files are for all workers of the process."""

    def __init__(self, worker: Worker, neighbours: Mapping[str, Worker], directory: str) -> None:
        self._worker: Final = worker
        self._neighbours: Final = neighbours
        self._directory: Final = directory
        self._queue: Final[deque[int]] = deque()
        self._wake = trio.Event()
        self._began = False
        worker.spill = self._spill

    def _spill(self, tids: list[int]) -> None:
        self._queue.extend(tids)
        self._wake.set()

    async def run(self) -> None:
        """Write, until cancelled. What is being written then is written, and forgotten."""
        limiter = trio.CapacityLimiter(1)
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._queue:
                tid = self._queue.popleft()
                store = self._worker.core.state.store
                payload = store.get(tid)
                if payload is None:
                    self._failed(tid, "")
                    continue
                try:
                    if not store.is_filed(tid):
                        payload = await trio.to_thread.run_sync(
                            write_file, self._directory, payload,
                            limiter=limiter, abandon_on_cancel=True,
                        )  # fmt: skip
                except OSError as error:
                    self._failed(tid, error.strerror or str(error))
                else:
                    self._written(tid, payload)
                del payload  # it may have been the last to refer to the memory

    def _written(self, tid: int, payload: Payload) -> None:
        worker = self._worker
        if not self._began:
            self._began = True
            logger.info("Worker %s: values go to files in %s", worker.name, self._directory)
        store = worker.core.state.store
        for each in dict.fromkeys((worker, *self._neighbours.values())):
            state = each.core.state
            if each is worker or state.holder(tid) is not None or store.holds(each.name, tid):
                each.core.moved(tid, payload)
                each.perform()

    def _failed(self, tid: int, why: str) -> None:
        worker = self._worker
        if why and not worker.core.state.room.full:
            logger.warning(
                "Worker %s cannot write values to %s, so they stay in memory: %s",
                worker.name, self._directory, why,
            )  # fmt: skip
        worker.core.unmoved(tid, why, time.monotonic())
        worker.perform()
