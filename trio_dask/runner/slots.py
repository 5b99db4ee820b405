"""Slots: the threads that run tasks, and the queue they share."""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf
from threading import Lock, Thread
from time import monotonic
from types import CodeType, CoroutineType
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from weakref import WeakMethod

from trio_dask.errors import Reschedule, TaskCancelled, TaskError
from trio_dask.messages.ids import Attempt, TaskId
from trio_dask.messages.inputs import given
from trio_dask.messages.nested import Parked
from trio_dask.messages.payload import pack_small, sizeof, unpack
from trio_dask.messages.tasks import (
    AGAIN,
    ERROR,
    OK_HELD,
    OK_INLINE,
    OVERDUE,
    STOPPED,
    TIMED_OUT,
    Returned,
)
from trio_dask.runner.asynchronous import PARKED, AsyncTask, AsyncTasks
from trio_dask.runner.cancelling import Strikes
from trio_dask.runner.failing import failure_of
from trio_dask.runner.holdings import Function, check_room, packed_to_leave, reason, resolve
from trio_dask.runner.nests import ClientNumbers, Nest, closed, opened
from trio_dask.runner.profiling import Sampler
from trio_dask.runner.reserving import Reservations
from trio_dask.runner.sealing import Sealer
from trio_dask.runner.seats import Seat, Seats

if TYPE_CHECKING:
    from collections.abc import Callable
    from queue import SimpleQueue

    from trio_dask.runner.board import Board
    from trio_dask.runner.tracing import TaskSpan
    from trio_dask.runner.wire import Outbox, Row

#: rank, serial (so that nothing behind it is compared), attempt, task, function,
#: arguments, inputs by the id that the arguments call them, key.
Task: TypeAlias = tuple[int, int, Attempt, TaskId, Function, bytes, "dict[TaskId, Any] | None", str]

#: Seconds of running, a time by which to end; and what few have, too: the context of the span
#: that theirs is a child of.
Limit: TypeAlias = tuple[float, float, str | None]
NO_LIMIT: Final[Limit] = (inf, inf, None)

#: Results wait in the outbox for the next task only if that one is known to be this short.
_QUICK_S: Final = 0.001


class Queue:
    """Tasks that have not started, lowest rank first.

    Many threads use it without a lock: each step is one operation of a list or dict, and
    who takes an attempt out of `waiting` decides whether it runs or is given back.
    """

    def __init__(self) -> None:
        self.heap: list[Task] = []
        self.waiting: dict[Attempt, None] = {}
        self.stopping = False
        #: Once tasks had to wait for something else, a lock sees to who takes them in.
        self.gate: Lock | None = None
        self.holds = 0
        self._aside: list[Task] = []

    def push(self, tasks: list[Task]) -> None:
        """Take tasks in."""
        self.waiting.update(dict.fromkeys(task[2] for task in tasks))
        if self.gate is None:
            self._push(tasks)
            return
        with self.gate:
            if self.holds:
                self._aside += tasks
            else:
                self._push(tasks)

    def hold(self) -> None:
        """Let nothing begin that comes from now on."""
        if self.gate is None:
            self.gate = Lock()
        with self.gate:
            self.holds += 1

    def let_go(self) -> int:
        """One reason less to hold: how many may begin now."""
        assert self.gate is not None
        with self.gate:
            self.holds -= 1
            if self.holds or not self._aside:
                return 0
            tasks, self._aside = self._aside, []
            self._push(tasks)
            return len(tasks)

    def _push(self, tasks: list[Task]) -> None:
        if not self.heap:
            tasks.sort()
            self.heap.extend(tasks)  # a sorted list is a heap
        else:
            for task in tasks:
                heappush(self.heap, task)

    def recall(self, attempts: list[Attempt]) -> list[Attempt]:
        """Take back those of the attempts that have not started."""
        absent: Any = object()
        pop = self.waiting.pop
        return [each for each in attempts if pop(each, absent) is not absent]


class Slots:
    """All slots of a runner: what their threads share, and the loop each of them runs."""

    def __init__(
        self,
        settings: dict[str, Any],
        board: Board,
        outbox: Outbox,
    ) -> None:
        self.count: int = min(int(settings["nthreads"]), board.slots)
        self.queue = Queue()
        self.reservations = Reservations(self.queue, outbox)
        self.held: dict[TaskId, Any] = {}
        self.settings = settings
        self._inline_bytes_max: int = settings["inline_bytes_max"]
        self._memory_limit: int = settings.get("memory_limit", 0)
        #: The process ends with its one task: no value may stay in it.
        self._leaves: bool = settings.get("one_task", False)
        self.board = board
        self.outbox = outbox
        self.sealer = Sealer(settings, outbox)
        self._asynchronous = AsyncTasks(_loosely(self._unattended))
        self.strikes = Strikes(self.count)
        self.sampler = Sampler(
            settings.get("profile_interval_s", 0.0), settings.get("profile_tell_s", 2.0)
        )
        self._seats: dict[int, Seat] = {row: Seat(row, row) for row in range(self.count)}
        self.seats: Seats[AsyncTask] = Seats(
            self.count, _loosely(self._has_work), _loosely(self._start)
        )
        self.nests: dict[Attempt, Nest] = {}
        self.numbers = ClientNumbers(outbox)
        #: Of attempts that have one, until they begin.
        self.limits: dict[Attempt, Limit] = {}
        #: Of attempts that are traced, while they run.
        self.spans: dict[Attempt, TaskSpan] = {}
        opened(self)

    # ------------------------------------------------------------ threads

    def run(self, row: int) -> None:
        """Run tasks, one after the other, until the queue stops.

        What goes wrong in here, and not in a task, ends the runner: without this thread it would
        be waited for tasks that nobody runs.
        """
        self.outbox.ends.run(self._run, row)

    def _run(self, row: int) -> None:
        outbox, queue, seats, seat = self.outbox, self.queue, self.seats, self._seats[row]
        heap, start, rows, going = queue.heap, queue.waiting.pop, outbox.rows, seats.going
        absent: Any = object()
        self.strikes.sit(row)
        while not queue.stopping:
            if going or not heap or seat.slot < 0:
                outbox.flush()
                if not self._between(seat):
                    break
                continue
            try:
                task = heappop(heap)
            except IndexError:
                continue  # another thread was faster
            attempt = task[2]
            if start(attempt, absent) is absent or (self.limits and self._is_too_late(attempt)):
                continue  # recalled, or given back
            if rows and not task[4].quick:
                outbox.flush()
            done = self._attempt(seat, task)
            if done is not None:
                rows.append(done)
            del task, done  # an idle slot keeps nobody's inputs
            if heap:
                if not outbox.awake:
                    outbox.wake()
            else:
                outbox.flush()

    def _between(self, seat: Seat) -> bool:
        """Somebody waits for a slot, or there is nothing to do. False if the thread is to end."""
        task = self.seats.give_way(seat)
        if task is not None:
            done = self._attend(seat, task)
            if done is not None:
                self.outbox.rows.append(done)
            return True
        return bool(self.queue.heap and seat.slot >= 0) or self.seats.rest(seat)

    def _has_work(self) -> bool:
        return bool(self.queue.heap)

    def _start(self, seat: Seat) -> None:
        self.strikes.seat(seat.row)
        self._seats[seat.row] = seat
        Thread(target=self.run, args=(seat.row,), name=f"slot-{seat.row}", daemon=True).start()

    def push(self, tasks: list[Task]) -> None:
        """Tasks to run."""
        count = len(tasks)
        self.queue.push(tasks)
        self.seats.wake(count)
        if self.sampler.resting:
            self.sampler.wake(self)

    def hold(self) -> None:
        """Let nothing begin that is pushed from now on, until `let_go` was called as often."""
        self.queue.hold()

    def let_go(self) -> None:
        """One reason less to hold: what was pushed meanwhile may begin."""
        self.seats.wake(self.queue.let_go())

    def idle(self, row: int) -> bool:
        """Whether a thread runs no task."""
        return not self.strikes.current[row]

    def stop(self) -> None:
        """Start nothing more, and let the threads end."""
        self.queue.stopping = True
        self.queue.waiting.clear()
        for nest in list(self.nests.values()):  # what waits would do so for ever
            self.strikes.ask(nest.attempt)
            nest.cancel()
        self.reservations.close()
        self.seats.stop()

    def close(self) -> None:
        """The threads have ended, or are about to: end what helps them."""
        closed(self)
        self.sampler.close()
        self._asynchronous.close()
        self.strikes.close()
        self.sealer.close()

    def interrupt(self, attempt: Attempt, *, strike: bool) -> None:
        """Ask an attempt that has begun to stop, or raise an exception in it."""
        if strike:
            self.strikes.strike(attempt)
            if self.strikes.stuck():
                self.seats.let_go()
        else:
            self.strikes.ask(attempt)
            self._asynchronous.cancel(attempt)
        nest = self.nests.get(attempt)
        if nest is not None and not self.strikes.shielded_s(attempt):
            nest.cancel()

    # ------------------------------------------------------------ clients inside tasks

    def seat_of(self, ident: int) -> Seat | None:
        """The seat of a thread that runs a task."""
        idents = self.strikes.idents
        seat = self._seats.get(idents.index(ident)) if ident in idents else None
        return seat if seat is not None and seat.task is not None else None

    def rest_in(self, rest: Callable[[SimpleQueue[int]], int]) -> None:
        """What the first slot's thread does while it waits for a call."""
        self._seats[0].rest = rest

    def seat_in(self, row: int) -> Seat | None:
        """The seat with a row."""
        return self._seats.get(row)

    @property
    def call_code(self) -> CodeType:
        """What calls the functions of tasks, as it is in their stacks."""
        return self._call.__code__

    def coroutines(self) -> dict[Attempt, AsyncTask]:
        """Tasks that are coroutines, and have begun."""
        return self._asynchronous.present()

    def has_begun(self) -> bool:
        """Whether there is a task that has begun and not ended."""
        return any(self.strikes.current) or bool(self.coroutines())

    def nest(self, task: Task, seat: Seat | None, coroutine: AsyncTask | None) -> Nest:
        """What the task has beyond its slot; made when it is first asked for."""
        nest = self.nests.get(task[2])
        if nest is None:
            nest = self.nests[task[2]] = Nest(self, task, seat, coroutine)
        return nest

    # ------------------------------------------------------------ one attempt

    def _is_too_late(self, attempt: Attempt) -> bool:
        """Whether its deadline is over: then it is given back."""
        if self.limits.get(attempt, NO_LIMIT)[1] > monotonic():
            return False
        del self.limits[attempt]
        self.outbox.say(Returned([attempt]))
        return True

    def _attempt(self, seat: Seat, task: Task) -> Row | None:
        """Run it. None if it has given up its slot and will be attended again."""
        attempt = task[2]
        strikes, row = self.strikes, seat.row
        began = monotonic()
        limit = self.limits.pop(attempt, None) if self.limits else None
        strikes.ends[row] = inf if limit is None else min(began + limit[0], limit[1])
        traced = None if limit is None or limit[2] is None else self._begin_span(task, limit[2])
        self.board.begin(seat.slot, attempt, began)
        seat.task = task
        value: Any = None
        error: BaseException | None = None
        try:
            try:
                strikes.current[row] = attempt
                try:
                    value = self._call(task, began, limit)
                except BaseException as raised:  # noqa: BLE001 - whatever it raises is its result
                    error = raised
                strikes.current[row] = 0
                if strikes.struck[row] or attempt in strikes.hit:
                    strikes.settle(row)
            except TaskCancelled as raised:  # it came too late for the function, perhaps again
                strikes.current[row] = 0
                error = error or raised
                strikes.settle(row)
        except TaskCancelled:  # the last that there can be, at the first moment of settling
            pass
        seconds = monotonic() - began
        seat.task = None
        if traced is not None:
            traced.leave()
        if value is PARKED:
            self.board.end(seat.slot)
            return None
        if self.nests and (nest := self.nests.get(attempt)) is not None:
            error = nest.close(value, error)
            seconds -= nest.parked_s
        task[4].quick = seconds < _QUICK_S
        done = self._row(task, value, error, seconds, _over(limit, began, error))
        if seat.slot >= 0:
            self.board.end(seat.slot)
        return done if traced is None else self._end_span(done, error)

    def _begin_span(self, task: Task, told: str) -> TaskSpan | None:
        """The attempt is part of a trace: what its thread does from now on is, too."""
        from trio_dask.runner.tracing import begun  # only who is traced needs it

        span = begun(task, told, self.settings)
        if span is not None:
            self.spans[task[2]] = span
            span.enter()
        return span

    def _end_span(self, done: Row, error: BaseException | None) -> Row:
        span = self.spans.pop(done[0], None)
        if span is not None:
            span.end(done[1], error)
        return done

    def _row(  # noqa: PLR0917 - called once
        self, task: Task, value: Any, error: BaseException | None, seconds: float, over: int = 0
    ) -> Row:
        """What is said about its end. `over` is the status if its time was up, and that is why."""
        attempt, strikes = task[2], self.strikes
        if strikes.flagged and strikes.outcome(attempt, error):
            return (attempt, STOPPED, seconds, 0, b"")
        if error is not None:
            if over:
                return (attempt, over, seconds, 0, b"")
            if isinstance(error, Reschedule):
                return (attempt, AGAIN, seconds, 0, b"")
            return (attempt, ERROR, seconds, 0, failure_of(error, task, self.settings))
        packed = pack_small(value, self._inline_bytes_max)
        if packed is not None:
            return (attempt, OK_INLINE, seconds, len(packed), packed)
        return self._held_row(task, value, seconds)

    def _held_row(self, task: Task, value: Any, seconds: float) -> Row:
        """The value stays here, or at least with the worker."""
        attempt, size = task[2], sizeof(value)
        if size >= self.sealer.bytes_min:
            value = self.sealer.seal(attempt, task[3], value) or value
        if self._leaves:
            try:
                value = packed_to_leave(value)
            except TaskError as error:
                return (attempt, ERROR, seconds, 0, failure_of(error, task, self.settings))
        self.held[task[3]] = value
        return (attempt, OK_HELD, seconds, size, b"")

    def _call(self, task: Task, began: float, limit: Limit | None) -> Any:
        _, _, attempt, _, function, blob, inputs, _ = task
        if attempt in self.strikes.flagged:
            raise TaskCancelled
        fn = function.fn or function.load()
        if inputs is not None and self._memory_limit:
            check_room(inputs, self._memory_limit)
        args, kwargs = _arguments(blob, inputs)
        value = fn(*args, **kwargs)
        if type(value) is CoroutineType:
            value = self._asynchronous.run(value, AsyncTask(task, began, self, limit))
        return value

    def _attend(self, seat: Seat, coroutine: AsyncTask) -> Row | None:
        """Go on with a coroutine that has waited."""
        attempt = coroutine.attempt
        self.seats.count_parked(-1)
        self.strikes.aside.discard(attempt)
        self.board.begin(seat.slot, attempt, monotonic())
        self.outbox.post(Parked([attempt], [0]))
        value: Any = None
        error: BaseException | None = None
        try:
            value = self._asynchronous.attend(coroutine)
        except BaseException as raised:  # noqa: BLE001 - whatever it raises is its result
            error = raised
        self.board.end(seat.slot)
        if value is PARKED:
            return None
        return self._row_of(coroutine, value, error)

    def _row_of(self, coroutine: AsyncTask, value: Any, error: BaseException | None) -> Row:
        over = _over(coroutine.limit, coroutine.began, error)
        done = self._row(coroutine.task, value, error, coroutine.seconds, over)
        return self._end_span(done, error) if self.spans else done

    def _unattended(self, coroutine: AsyncTask, value: Any, error: BaseException | None) -> None:
        """A coroutine has ended while it had no slot. On the loop."""
        with self.outbox.ends.guarding():
            self.outbox.rows.append(self._row_of(coroutine, value, error))
            self.outbox.wake()


def _over(limit: Limit | None, began: float, error: BaseException | None) -> int:
    """The status if it has ended by itself since its time was up, as async tasks do."""
    if limit is None or not isinstance(error, TaskCancelled):
        return 0
    over = began + limit[0]
    if min(over, limit[1]) > monotonic():
        return 0
    return TIMED_OUT if over <= limit[1] else OVERDUE


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


def _loosely(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method for those that its object owns: it is not held by them.

    A runner that lives in threads would else stay, with its board, until somebody collects
    garbage. Nothing is done when the object is gone.
    """
    weak = WeakMethod(method)

    def call(*arguments: Any) -> Any:
        found = weak()
        return None if found is None else found(*arguments)

    return call
