"""Slots: the threads that run tasks, and the queue they share."""

from __future__ import annotations

from heapq import heappop, heappush
from queue import SimpleQueue
from threading import get_ident
from time import monotonic
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from trio_dask.errors import TaskCancelled, TaskError
from trio_dask.messages.ids import Attempt, TaskId
from trio_dask.messages.inputs import given
from trio_dask.messages.payload import pack_small, sizeof, unpack
from trio_dask.messages.tasks import ERROR, OK_HELD, OK_INLINE, STOPPED
from trio_dask.runner.asynchronous import AsyncTasks
from trio_dask.runner.cancelling import Strikes
from trio_dask.runner.failing import failure_of
from trio_dask.runner.holdings import Function, reason, resolve

if TYPE_CHECKING:
    from trio_dask.runner.board import Board
    from trio_dask.runner.wire import Outbox, Row

#: rank, serial (so that nothing behind it is compared), attempt, task, function,
#: arguments, inputs by the id that the arguments call them, key.
Task: TypeAlias = tuple[int, int, Attempt, TaskId, Function, bytes, "dict[TaskId, Any] | None", str]

#: Results wait in the outbox for the next task only if that one is known to be this short.
_QUICK_S: Final = 0.001


class Queue:
    """Tasks that have not started, lowest rank first.

    Many threads use it without a lock: each step is one operation of a list or dict, and
    who takes an attempt out of `_waiting` decides whether it runs or is given back.
    """

    def __init__(self, slots: int) -> None:
        self.heap: list[Task] = []
        self.waiting: dict[Attempt, None] = {}
        self.stopping = False
        self.parked = [False] * slots
        self._calls: list[SimpleQueue[None]] = [SimpleQueue() for _ in range(slots)]

    def push(self, tasks: list[Task]) -> None:
        """Take tasks in, and wake as many slots as they need."""
        self.waiting.update(dict.fromkeys(task[2] for task in tasks))
        if not self.heap:
            tasks.sort()
            self.heap.extend(tasks)  # a sorted list is a heap
        else:
            for task in tasks:
                heappush(self.heap, task)
        self._wake(len(tasks))

    def recall(self, attempts: list[Attempt]) -> list[Attempt]:
        """Take back those of the attempts that have not started."""
        absent: Any = object()
        pop = self.waiting.pop
        return [each for each in attempts if pop(each, absent) is not absent]

    def stop(self) -> None:
        """Start nothing more, and let the slots end."""
        self.stopping = True
        self.waiting.clear()
        self._wake(len(self.parked))

    def park(self, slot: int) -> None:
        """Wait until there may be something to do."""
        self.parked[slot] = True
        if not self.heap and not self.stopping:
            self._calls[slot].get()
        self.parked[slot] = False

    def _wake(self, count: int) -> None:
        for slot, parked in enumerate(self.parked):
            if parked and count > 0:
                count -= 1
                self.parked[slot] = False
                self._calls[slot].put(None)


class Slots:
    """All slots of a runner: what their threads share, and the loop each of them runs."""

    def __init__(self, settings: dict[str, Any], board: Board, outbox: Outbox) -> None:
        self.count: int = min(int(settings["nthreads"]), board.slots)
        self.queue = Queue(self.count)
        self.held: dict[TaskId, Any] = {}
        self._settings = settings
        self._inline_bytes_max: int = settings["inline_bytes_max"]
        self._board = board
        self._outbox = outbox
        self._asynchronous = AsyncTasks()
        self.strikes = Strikes(self.count)

    def run(self, slot: int) -> None:
        """Run tasks, one after the other, until the queue stops."""
        outbox, queue = self._outbox, self.queue
        heap, start, rows = queue.heap, queue.waiting.pop, outbox.rows
        absent: Any = object()
        self.strikes.idents[slot] = get_ident()
        while not queue.stopping:
            try:
                task = heappop(heap)
            except IndexError:
                outbox.flush()
                queue.park(slot)
                continue
            if start(task[2], absent) is absent:
                continue  # recalled
            if rows and not task[4].quick:
                outbox.flush()
            rows.append(self._attempt(slot, task))
            del task  # an idle slot keeps nobody's inputs
            if heap:
                if not outbox.awake:
                    outbox.wake()
            else:
                outbox.flush()

    def idle(self, slot: int) -> bool:
        """Whether a slot runs no task."""
        return self._board.idle(slot)

    def close(self) -> None:
        """The slots have ended, or are about to: end what helps them."""
        self._asynchronous.close()
        self.strikes.close()

    def interrupt(self, attempt: Attempt, *, strike: bool) -> None:
        """Ask an attempt that has begun to stop, or raise an exception in it."""
        if strike:
            self.strikes.strike(attempt)
        else:
            self.strikes.ask(attempt)
            self._asynchronous.cancel(attempt)

    def _attempt(self, slot: int, task: Task) -> Row:
        _, _, attempt, tid, function, _, _, _ = task
        strikes = self.strikes
        began = monotonic()
        self._board.begin(slot, attempt, began)
        value: Any = None
        error: BaseException | None = None
        called = False
        while True:
            try:
                if not called:
                    strikes.current[slot] = attempt
                    try:
                        value = self._call(task)
                    except BaseException as raised:  # noqa: BLE001 - whatever it raises is its result
                        error = raised
                    called = True
                strikes.current[slot] = 0
                if strikes.struck[slot]:
                    strikes.settle(slot)
                break
            except TaskCancelled as raised:  # it came too late for the function, perhaps again
                error, called = error or raised, True
        seconds = monotonic() - began
        if strikes.flagged and strikes.outcome(attempt, error):
            row = (attempt, STOPPED, seconds, 0, b"")
        elif error is not None:
            row = (attempt, ERROR, seconds, 0, failure_of(error, task, self._settings))
        else:
            packed = pack_small(value, self._inline_bytes_max)
            if packed is not None:
                row = (attempt, OK_INLINE, seconds, len(packed), packed)
            else:
                self.held[tid] = value
                row = (attempt, OK_HELD, seconds, sizeof(value), b"")
        function.quick = seconds < _QUICK_S
        self._board.end(slot)
        return row

    def _call(self, task: Task) -> Any:
        _, _, attempt, _, function, blob, inputs, _ = task
        if attempt in self.strikes.flagged:
            raise TaskCancelled
        fn = function.fn or function.load()
        args, kwargs = _arguments(blob, inputs)
        value = fn(*args, **kwargs)
        if type(value) is CoroutineType:
            value = self._asynchronous.run(value, attempt)
        return value


def _arguments(blob: bytes, inputs: dict[TaskId, Any] | None) -> tuple[Any, Any]:
    """The arguments, positional and named, with the inputs in their places."""
    try:
        if inputs is None:
            return unpack(blob)  # type: ignore[no-any-return]
        values = {ref: resolve(source) for ref, source in inputs.items()}
        with given(values):
            return unpack(blob)  # type: ignore[no-any-return]
    except TaskError:
        raise
    except BaseException as error:
        msg = f"the arguments cannot be unpickled on the worker: {reason(error)}"
        raise TaskError(msg) from error
