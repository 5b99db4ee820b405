"""Finished tasks as blocks in time, a lane for each slot: what a task stream draws.

A worker says how long a task ran, and says so when it has ended. So a block ends when the
news came, or where the next one of its lane begins. Tasks too short to be seen become one
block with those beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from trio_dask.messages.tasks import ERROR, STOPPED

if TYPE_CHECKING:
    from trio_dask.messages.tasks import Done
    from trio_dask.scheduler.core.state import ClusterState, Task, Worker

#: More slots than this are not drawn: a screen has so many lines.
LANES_MAX: Final = 64
#: More blocks than this between two looks are left out, and counted.
BLOCKS_MAX: Final = 120
#: What is shorter cannot be seen, and is drawn with its neighbours, seconds.
TINY_S: Final = 0.025
#: A block of tiny ones is no longer than this, seconds.
_MERGED_S: Final = 0.5
#: A message with more rows than this is looked at as a whole.
_ROWS_MAX: Final = 32

#: How the tasks of a block ended.
OK, FAILED, STOPPED_EARLY = 0, 1, 2


class Block(NamedTuple):
    """One task, or several tiny ones."""

    worker: int
    lane: int
    began: float
    seconds: float
    name: str
    tasks: int
    status: int
    tid: int  # 0 for several
    key: str  # only where the user chose it


class Blocks:
    """The blocks since they were last taken."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state
        self._lanes: dict[int, list[float]] = {}  # by worker: until when each is drawn
        self._drawn = 0  # lanes in all
        self._open: dict[tuple[int, int], Block] = {}  # of tiny tasks: more may come
        self._blocks: list[Block] = []
        self._left_out = 0

    def take(self) -> tuple[list[Block], int]:
        """The blocks since the last time, and how many were left out."""
        blocks, left_out = self._blocks + list(self._open.values()), self._left_out
        self._blocks, self._left_out = [], 0
        self._open.clear()
        return blocks, left_out

    def forget(self, worker: int) -> None:
        """That worker is gone: its lanes may be another's."""
        self._drawn -= len(self._lanes.pop(worker, ()))

    def lanes(self) -> dict[int, int]:
        """How many lanes each worker has that is drawn."""
        return {worker: len(lanes) for worker, lanes in self._lanes.items()}

    def on_done(self, worker: Worker, message: Done, now: float) -> None:
        """Attempts of this worker have ended; they are still in its window."""
        lanes = self._lanes.get(worker.number)
        if lanes is None:
            count = max(1, min(worker.nthreads, LANES_MAX))
            if self._drawn + count > LANES_MAX:
                return
            lanes = self._lanes[worker.number] = [0.0] * count
            self._drawn += count
        if len(message.attempts) > _ROWS_MAX:
            self._as_a_whole(worker, lanes, message, now)
        else:
            self._one_by_one(worker, lanes, message, now)

    def _as_a_whole(self, worker: Worker, lanes: list[float], message: Done, now: float) -> None:
        """So many at once were tiny: spread over the lanes."""
        task = next((worker.window[a] for a in message.attempts if a in worker.window), None)
        if task is None:
            return
        seconds = [each for each in message.seconds if 0 <= each < now]
        busy = min(sum(seconds), _MERGED_S * len(lanes)) / len(lanes)
        status = FAILED if ERROR in message.statuses else OK
        share = max(1, len(message.attempts) // len(lanes))
        for lane in range(len(lanes)):
            self._add(worker, lane, now, busy, task, status=status, count=share)

    def _one_by_one(self, worker: Worker, lanes: list[float], message: Done, now: float) -> None:
        """The last one ended now; each lane is filled from its end backwards."""
        ends = [now] * len(lanes)
        placed: list[tuple[float, int, float, Task, int]] = []
        rows = zip(message.attempts, message.seconds, message.statuses, strict=True)
        for attempt, seconds, status in reversed(list(rows)):
            task = worker.window.get(attempt)
            if task is None or not 0 <= seconds < now:
                continue
            # Where there is room since the last block, and as late as can be.
            lane = max(
                range(len(ends)), key=lambda each: (ends[each] - lanes[each] >= seconds, ends[each])
            )
            placed.append((ends[lane], lane, seconds, task, status))
            ends[lane] -= seconds
        for end, lane, seconds, task, status in reversed(placed):
            how = FAILED if status == ERROR else STOPPED_EARLY if status == STOPPED else OK
            self._add(worker, lane, end, seconds, task, status=how, count=1)
        for lane, end in enumerate(ends):
            if end < now:
                lanes[lane] = now

    def _add(  # noqa: PLR0917
        self, worker: Worker, lane: int, end: float, seconds: float, task: Task,
        *, status: int, count: int,
    ) -> None:  # fmt: skip
        function = task.spec.function
        name = function.prefix.name if function is not None else ""
        place = (worker.number, lane)
        before = self._open.get(place)
        tiny = seconds < TINY_S or count > 1
        if before is not None:
            joins = tiny and before.name == name and before.status == status
            length = end - before.began
            if (
                joins
                and length < _MERGED_S
                and end - seconds - before.began - before.seconds < TINY_S
            ):
                self._open[place] = before._replace(
                    seconds=max(before.seconds, length), tasks=before.tasks + count, tid=0, key=""
                )
                return
            del self._open[place]
            self._keep(before)
        alone = count == 1
        block = Block(
            worker.number, lane, end - seconds, seconds, name, count, status,
            task.tid if alone else 0, self._state.names.get(task.tid, "") if alone else "",
        )  # fmt: skip
        if tiny:
            self._open[place] = block
        else:
            self._keep(block)

    def _keep(self, block: Block) -> None:
        if len(self._blocks) < BLOCKS_MAX:
            self._blocks.append(block)
        else:
            self._left_out += block.tasks
