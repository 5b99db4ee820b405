"""Values of the store on their way to files, one after the other, in a thread.

Those that are too small for files of their own share one, as many as come together.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import trio

from trio_dask.messages import part_of, payload_bytes
from trio_dask.messages.sealing import SLAB_BYTES
from trio_dask.store import write_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_dask.messages import Buffer, Payload
    from trio_dask.store import Segment
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
                batch = self._take()
                if not batch:
                    continue
                try:
                    whole = await trio.to_thread.run_sync(
                        write_file, self._directory, _pieces(batch),
                        limiter=limiter, abandon_on_cancel=True,
                    )  # fmt: skip
                except OSError as error:
                    for tid in batch:
                        self._failed(tid, error.strerror or str(error))
                else:
                    self._written_all(batch, whole)
                    del whole
                del batch  # it may have been the last to refer to the memory

    def _take(self) -> dict[int, Payload]:
        """What goes into a file together: one value, or several small ones."""
        store = self._worker.core.state.store
        least = self._worker.core.state.room.rules.file_bytes_min
        batch: dict[int, Payload] = {}
        nbytes = 0
        while self._queue:
            tid = self._queue[0]
            payload = store.get(tid)
            small = payload is not None and store.size(tid) < least
            if batch and (not small or nbytes >= SLAB_BYTES) and payload is not None:
                break
            self._queue.popleft()
            if payload is None:
                self._failed(tid, "")
            elif store.is_filed(tid):
                self._written(tid, payload)
            else:
                batch[tid] = payload
                nbytes += store.size(tid)
                if not small:
                    break
        return batch

    def _written_all(self, batch: dict[int, Payload], whole: Segment) -> None:
        if len(batch) == 1:
            self._written(next(iter(batch)), whole)
            return
        at = 0
        for tid, payload in batch.items():
            nbytes = payload_bytes(payload)
            self._written(tid, part_of(whole, at, nbytes))
            at += nbytes

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


def _pieces(batch: dict[int, Payload]) -> Payload:
    """The bytes of a file: a value as it is, or small ones one after the other."""
    if len(batch) == 1:
        return next(iter(batch.values()))
    pieces: list[Buffer] = []
    for payload in batch.values():
        pieces += payload if isinstance(payload, list) else [payload]
    return [b"".join(pieces)]
