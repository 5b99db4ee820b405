"""Values of the store on their way to files, one after the other, in a thread.

Those that are too small for files of their own share one, as many as come together. When there are
more files than the process has descriptors for, those in line longest share one as well.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import trio

from trio_dask.messages import Part, part_of, payload_bytes
from trio_dask.messages.sealing import SLAB_BYTES
from trio_dask.store import Common, SharedFile, write_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_dask.messages import Buffer, Payload
    from trio_dask.store import Segment
    from trio_dask.worker.worker import Worker

#: A value that is larger keeps its own file: there are not that many.
MERGED_BYTES_MAX: Final = 256 << 20
#: So many are put together before others are written.
_MERGED_MAX: Final = 32
#: When values could not be put together, it is tried again so much later, seconds.
_AGAIN_S: Final = 10.0

logger: Final = logging.getLogger("trio_dask.worker")


class Spiller:
    """Writes what one worker wants written; the files are for all workers of the process.

    Args:
        files_max: so many values of the process have a file of their own; others share one.
    """

    def __init__(
        self,
        worker: Worker,
        neighbours: Mapping[str, Worker],
        directory: str,
        files_max: float = math.inf,
    ) -> None:
        self._worker: Final = worker
        self._neighbours: Final = neighbours
        self._directory: Final = directory
        self._queue: Final[deque[int]] = deque()
        self._wake = trio.Event()
        self._began = False
        self._files_max: Final = files_max
        self._shared: Final = SharedFile(directory)
        self._merges_at = -math.inf
        worker.spill = self._spill
        worker.performed = self._look

    def _spill(self, tids: list[int]) -> None:
        self._queue.extend(tids)
        self._wake.set()

    def _look(self) -> None:
        """Something was done: there may be too many files now."""
        if self._worker.core.state.store.files > self._files_max:
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
                shares = len(batch) > 1 or self._is_crowded
                write = self._shared.write if shares else self._write_file
                try:
                    whole, at = await trio.to_thread.run_sync(
                        write, _pieces(batch), limiter=limiter, abandon_on_cancel=True
                    )
                except OSError as error:
                    for tid in batch:
                        self._failed(tid, error.strerror or str(error))
                else:
                    self._written_all(batch, whole, at, shared=shares)
                    del whole
                del batch  # it may have been the last to refer to the memory
            await self._merge(limiter)

    @property
    def _is_crowded(self) -> bool:
        return self._worker.core.state.store.files >= self._files_max

    def _write_file(self, payload: Payload) -> tuple[Segment, int]:
        return write_file(self._directory, payload), 0

    async def _merge(self, limiter: trio.CapacityLimiter) -> None:
        """Have values share a file, those that have been in their own for longest."""
        state, now = self._worker.core.state, trio.current_time()
        over = state.store.files - self._files_max
        if over <= 0 or now < self._merges_at:
            return
        tids = [tid for tid in state.room.filed if self._to_merge(tid) is not None]
        if not tids:
            self._merges_at = now + _AGAIN_S
        for tid in tids[:_MERGED_MAX]:
            payload = self._to_merge(tid)
            if payload is None:
                continue
            try:
                whole, at = await trio.to_thread.run_sync(
                    self._shared.write, payload, limiter=limiter, abandon_on_cancel=True
                )
            except OSError as error:
                self._merges_at = now + _AGAIN_S
                logger.warning(
                    "Worker %s has values in %d files, and cannot put several into one: %s",
                    self._worker.name, state.store.files, error.strerror or error,
                )  # fmt: skip
                return
            self._written(tid, part_of(whole, at, payload_bytes(payload)), shared=True)
            del payload, whole

    def _to_merge(self, tid: int) -> Payload | None:
        """A value of the store, if it is in a file that is to be given up."""
        state = self._worker.core.state
        payload = state.store.get(tid)
        if payload is None or not state.store.is_filed(tid):
            return None
        if isinstance(payload, Part) and isinstance(payload.whole, Common):
            return None  # it does already
        return payload if state.store.size(tid) <= MERGED_BYTES_MAX else None

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

    def _written_all(
        self, batch: dict[int, Payload], whole: Segment, at: int, *, shared: bool
    ) -> None:
        if not shared:
            self._written(next(iter(batch)), whole)
            return
        for tid, payload in batch.items():
            nbytes = payload_bytes(payload)
            self._written(tid, part_of(whole, at, nbytes), shared=True)
            at += nbytes

    def _written(self, tid: int, payload: Payload, *, shared: bool = False) -> None:
        worker = self._worker
        if not self._began:
            self._began = True
            logger.info("Worker %s: values go to files in %s", worker.name, self._directory)
        store = worker.core.state.store
        for each in dict.fromkeys((worker, *self._neighbours.values())):
            state = each.core.state
            if each is worker or state.holder(tid) is not None or store.holds(each.name, tid):
                each.core.moved(tid, payload, shared=shared)
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
