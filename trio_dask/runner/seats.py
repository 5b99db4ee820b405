"""Who sits where: slots are numbers, threads take them to run tasks, and give them up to wait.

There are as many slots as tasks that may run at a time. A thread whose task waits for other
tasks gives its slot away, to another thread, so that these can run; it gets one again before
it goes on, ahead of all tasks that have not begun. So there may be many threads, of which
only those with a slot run anything.
"""

from __future__ import annotations

from collections import deque
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from trio_dask.errors import TaskError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

#: So many tasks of a runner may wait for others at a time: each may hold a thread.
PARKED_MAX: Final = 512
#: Threads beyond the slots that are kept for the next time.
_SPARE: Final = 4


class Seat:
    """A thread for tasks. Without a slot, `slot` is -1."""

    __slots__ = ("call", "rest", "row", "slot", "task")

    def __init__(self, row: int, slot: int = -1) -> None:
        self.row = row  # its own in the tables of `Strikes`
        self.slot = slot
        self.task: Any = None  # that it runs
        self.call: SimpleQueue[int] = SimpleQueue()  # 1: there is a slot; one for each wait
        #: How it waits for a call while it has no task.
        self.rest: Callable[[SimpleQueue[int]], int] = SimpleQueue.get


class Seats(Generic[T]):
    """All slots and threads of a runner.

    Args:
        count: how many slots there are; the first threads begin with one each.
        work: whether there are tasks that have not begun.
        start: start the thread of a new seat.
    """

    def __init__(
        self, count: int, work: Callable[[], object], start: Callable[[Seat], None]
    ) -> None:
        self._lock = Lock()
        self._work = work
        self._start = start
        self._count = count
        self._vacant: list[int] = []  # rows whose threads have ended
        self._rows = count
        self._asleep: dict[int, Seat] = {}
        #: So many tasks have begun and have no slot.
        self.parked = 0
        self._stopping = False
        self.free: list[int] = []
        #: Who is to go on as soon as there is a slot: threads, and tasks without a thread.
        self.going: deque[Seat | T] = deque()

    # ------------------------------------------------------------ threads between tasks

    def rest(self, seat: Seat) -> bool:
        """There is nothing to do: wait until there may be. False if the thread is to end."""
        with self._lock:
            if self._stopping:
                return False
            if seat.slot >= 0:
                self.free.append(seat.slot)
                if self._work() or self.going:  # the very last moment to see it
                    self.free.pop()
                    return True
                seat.slot = -1
            elif seat.row and len(self._asleep) >= self._count + _SPARE:
                self._vacant.append(seat.row)
                return False
            self._asleep[seat.row] = seat
        return bool(seat.rest(seat.call))

    def give_way(self, seat: Seat) -> T | None:
        """Let somebody go on that waits for a slot: a thread, or the task that is returned."""
        with self._lock:
            if not self.going or seat.slot < 0:
                return None
            first = self.going.popleft()
            if not isinstance(first, Seat):
                return first
            first.slot, seat.slot = seat.slot, -1
            first.call.put(1)
        return None

    def wake(self, count: int) -> None:
        """There is something to do for so many."""
        if self.free:
            with self._lock:
                self._rouse(count)

    def _rouse(self, count: int) -> None:
        while count > 0 and self.free and not self._stopping:
            # The first is the main thread, which can be interrupted best.
            seat = self._asleep.pop(min(self._asleep)) if self._asleep else None
            slot = self.free.pop()
            if seat is not None:
                seat.slot = slot
                seat.call.put(1)
            else:
                row = self._vacant.pop() if self._vacant else self._rows
                self._rows = max(self._rows, row + 1)
                self._start(Seat(row, slot))
            count -= 1

    def stop(self) -> None:
        """Nothing is begun any more: let the threads end that run nothing."""
        with self._lock:
            self._stopping = True
            waiting = [*self._asleep.values(), *(e for e in self.going if isinstance(e, Seat))]
            self._asleep.clear()
            self.going.clear()
        for seat in waiting:
            seat.call.put(0)

    # ------------------------------------------------------------ tasks that wait

    def count_parked(self, more: int) -> None:
        """So many more tasks, or fewer, have begun and have no slot.

        Raises:
            TaskError: these are too many.
        """
        with self._lock:
            if more > 0 and self.parked + more > PARKED_MAX:
                msg = (
                    f"more than {PARKED_MAX} tasks of this process wait for others at a time: "
                    "let tasks submit less deeply into one another, or use more workers"
                )
                raise TaskError(msg)
            self.parked += more

    def leave(self, seat: Seat) -> None:
        """The thread's task waits: somebody else may have its slot."""
        with self._lock:
            if seat.slot >= 0:
                slot, seat.slot = seat.slot, -1
                self._vacate(slot)

    def _vacate(self, slot: int) -> None:
        if self.going and isinstance(self.going[0], Seat):
            first = self.going.popleft()
            assert isinstance(first, Seat)
            first.slot = slot
            first.call.put(1)
            return
        self.free.append(slot)
        if self.going or self._work():
            self._rouse(1)

    def come(self, seat: Seat, unless: Callable[[], bool], *, at_once: Callable[[], bool]) -> bool:
        """The thread's task goes on: wait for a slot. False if it is not to wait for that.

        With `at_once` it goes on without one if there is none.
        """
        with self._lock:
            if unless():  # before `forget` is called
                return False
            if seat.slot >= 0 or self._stopping:
                return True
            if self.free:
                seat.slot = self.free.pop()
                return True
            if at_once():  # before `let_go` is called
                return True
            self.going.append(seat)
        return bool(seat.call.get())

    def let_go(self) -> None:
        """Who waits for a slot goes on without one: those who have them may never end."""
        with self._lock:
            waiting = [each for each in self.going if isinstance(each, Seat)]
            for each in waiting:
                self.going.remove(each)
        for seat in waiting:
            seat.call.put(1)

    def come_without_thread(self, task: T) -> None:
        """The task goes on as soon as a thread with a slot takes it up, in `give_way`."""
        with self._lock:
            self.going.append(task)
            self._rouse(1)

    def forget(self, who: Seat | T) -> None:
        """It does not wait for a slot any more."""
        with self._lock:
            if who not in self.going:
                return
            self.going.remove(who)
        if isinstance(who, Seat):
            who.call.put(0)
