"""A priority queue that is cheap for what arrives in order.

A map brings thousands of tasks already sorted. They are kept as one run, and the
heap holds one entry for the whole run, its rank that of the run's first task. So
a task in a run costs about as much as in a list, and the order is exactly that of
a heap with an entry for each task.

A task that stops being ready stays where it is and only forgets its queue; whoever
comes upon it drops it. When such entries outnumber the others, they are swept out, some
at a time: so nobody waits for a queue of a million, however it is emptied.
"""

from __future__ import annotations

from bisect import bisect_right
from heapq import heapify, heappop, heappush, heapreplace
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.scheduler.core.state import Task


#: So many entries are looked at by who counts.
_COUNTED_MAX: Final = 100_000
#: Dead entries are swept out when there are so many more than others, of so many at a time.
_DEAD_MAX: Final = 1000
_SWEPT: Final = 1000


class _Run:
    """Tasks in rank order, the next one last. Its entry's rank is that of the next, or lower."""

    __slots__ = ("tasks",)

    def __init__(self, tasks: list[Task]) -> None:
        self.tasks = tasks

    def __lt__(self, other: object) -> bool:
        return False  # ranks are unique, but for two entries of one task


def _falling(task: Task) -> int:
    return -task.rank


_Entry: TypeAlias = "tuple[int, Task | _Run]"
#: Takes the place of a single task that was swept out.
_SWEPT_OUT: Final = _Run([])


class ReadyQueue:
    """Ready tasks, lowest rank first. A task in it has it as its `queue`."""

    __slots__ = ("_broom", "_dead", "_gaps", "_heap", "_live")

    def __init__(self) -> None:
        self._heap: list[_Entry] = []
        self._live = 0
        self._dead = 0
        self._gaps = 0  # entries that hold nothing
        self._broom = 0  # where in the heap to go on sweeping

    def __len__(self) -> int:
        return self._live

    def push(self, task: Task) -> None:
        """Add one task."""
        task.queue = self
        heappush(self._heap, (task.rank, task))
        self._live += 1

    def push_sorted(self, tasks: list[Task]) -> None:
        """Add tasks that are in rank order."""
        if tasks:
            for task in tasks:
                task.queue = self
            heappush(self._heap, (tasks[0].rank, _Run(tasks[::-1])))
            self._live += len(tasks)

    def discard(self, task: Task) -> None:
        """Let go of a task of this queue."""
        task.queue = None
        self._live -= 1
        self._dead += 1
        if not self._live:
            self._heap.clear()
            self._dead = self._gaps = 0
        elif self._dead > self._live + _DEAD_MAX:
            self._sweep()

    def peek(self) -> Task | None:
        """The first task, which stays."""
        while (item := self._first()) is not None:
            task = item.tasks[-1] if isinstance(item, _Run) else item
            if task.queue is self:
                return task
            self._drop_first()
            self._dead -= 1
        return None

    def pop(self) -> Task | None:
        """Take the first task."""
        task = self.peek()
        if task is not None:
            self._drop_first()
            self._live -= 1
            task.queue = None
        return task

    def pop_many(self, count: int) -> list[Task]:
        """Take the first `count` tasks, or as many as there are."""
        out: list[Task] = []
        heap = self._heap
        while len(out) < count and (item := self._first()) is not None:
            if not isinstance(item, _Run):
                heappop(heap)
                self._take((item,), out)
                continue
            tasks = item.tasks
            part = tasks[-(count - len(out)) :]
            if len(heap) > 1 and part[0].rank > min(heap[1:3])[0]:
                part = tasks[-1:]  # something else comes in between: one at a time
            del tasks[-len(part) :]
            self._take(reversed(part), out)
            if tasks:
                heapreplace(heap, (tasks[-1].rank, item))
            else:
                heappop(heap)
        return out

    def ahead_of(self, task: Task) -> tuple[int, bool]:
        """How many come before the task; False: at least that many, there are too many to count."""
        ahead, rank = 0, task.rank
        for _, item in islice(self._heap, _COUNTED_MAX):
            if not isinstance(item, _Run):
                ahead += item.queue is self and item.rank < rank
            else:  # the next one is the last: ranks fall
                tasks = item.tasks
                ahead += len(tasks) - bisect_right(tasks, -rank, key=_falling)
        return min(ahead, max(0, self._live - 1)), len(self._heap) <= _COUNTED_MAX

    def pop_last(self) -> Task | None:
        """Take some task that is not among the first: one that may as well run elsewhere."""
        heap = self._heap
        while heap:
            item = heap[-1][1]
            if isinstance(item, _Run) and not item.tasks:
                heap.pop()
                self._gaps -= 1
                continue
            task = item.tasks.pop(0) if isinstance(item, _Run) else item
            if not isinstance(item, _Run) or not item.tasks:
                heap.pop()
            if task.queue is self:
                self._live -= 1
                task.queue = None
                return task
            self._dead -= 1
        return None

    def _take(self, tasks: Iterable[Task], out: list[Task]) -> None:
        for task in tasks:
            if task.queue is self:
                task.queue = None
                self._live -= 1
                out.append(task)
            else:
                self._dead -= 1

    def _drop_first(self) -> None:
        item = self._heap[0][1]
        if isinstance(item, _Run):
            item.tasks.pop()
            if item.tasks:
                heapreplace(self._heap, (item.tasks[-1].rank, item))
                return
        heappop(self._heap)

    def _first(self) -> Task | _Run | None:
        """What is in front; its entry's rank is that of its next task."""
        heap = self._heap
        while heap:
            rank, item = heap[0]
            if not isinstance(item, _Run):
                return item
            if not item.tasks:
                heappop(heap)
                self._gaps -= 1
            elif item.tasks[-1].rank != rank:  # what came before was swept out
                heapreplace(heap, (item.tasks[-1].rank, item))
            else:
                return item
        return None

    def _sweep(self) -> None:
        """Drop what is dead among the next few entries."""
        heap, looked = self._heap, 0
        while looked < _SWEPT:
            if self._broom >= len(heap):
                self._broom = 0
                break
            rank, item = heap[self._broom]
            if not isinstance(item, _Run):
                looked += 1
                if item.queue is not self:
                    heap[self._broom] = rank, _SWEPT_OUT
                    self._dead -= 1
                    self._gaps += 1
            elif item.tasks:
                tasks = [task for task in item.tasks if task.queue is self]
                looked += len(item.tasks)
                self._dead -= len(item.tasks) - len(tasks)
                self._gaps += not tasks
                item.tasks = tasks
            else:
                looked += 1
            self._broom += 1
        if self._gaps > len(heap) // 2 + _DEAD_MAX:
            self._heap = [
                entry for entry in heap if not isinstance(entry[1], _Run) or entry[1].tasks
            ]
            heapify(self._heap)
            self._gaps = self._broom = 0
