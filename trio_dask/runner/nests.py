"""What a task has beyond its slot, once it asks: a way to the scheduler, and the right to wait.

A `Nest` is made when a task first asks for a client, or gives up its slot, and ends with the
task. The client itself is another room's; here is what it talks through.
"""

from __future__ import annotations

from functools import partial
from math import inf
from queue import Empty, SimpleQueue
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from trio_dask.errors import SchedulerUnreachable, TaskCancelled
from trio_dask.messages import encode
from trio_dask.messages.ids import auto_key
from trio_dask.messages.nested import (
    Nested,
    NestedFetch,
    NestedGot,
    NestedStore,
    Numbers,
    NumbersWanted,
    Parked,
)
from trio_dask.messages.values import FOUND, Fetch
from trio_dask.runner.asynchronous import AsyncTask, present
from trio_dask.runner.holdings import Missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from trio_dask.messages import Message, Payload
    from trio_dask.messages.ids import Attempt, TaskId
    from trio_dask.runner.seats import Seat
    from trio_dask.runner.slots import Slots, Task
    from trio_dask.runner.wire import Outbox

    class Guest(Protocol):
        """The client of a task, as far as the runner knows it. It is called from any thread."""

        def hear(self, messages: list[Message]) -> None:
            """The scheduler says this."""

        def got(self, message: NestedGot, sources: Mapping[TaskId, Any]) -> None:
            """Values are here, each to be resolved; or why they are not."""

        def part(self) -> None:
            """The task has ended: say what is to be said, and be told nothing more."""

        def objection(self, value: Any) -> BaseException | None:
            """Why this cannot be the task's result, if it cannot."""


#: Numbers for clients are asked for so many at a time, when there are fewer than this left.
_NUMBERS: Final = 16
_NUMBERS_MIN: Final = 8
#: So long a task waits for one.
_NUMBER_S: Final = 30.0


class ClientNumbers:
    """Numbers for clients of tasks to come, so that a client is there without a question."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._there: SimpleQueue[tuple[int, int, str]] = SimpleQueue()
        self._asked = 0

    def arrived(self, message: Numbers) -> None:
        """The scheduler gives some."""
        self._asked = 0
        for each in zip(message.numbers, message.firsts, strict=True):
            self._there.put((*each, message.cluster))

    def take(self) -> tuple[int, int, str]:
        """A number, the first id that goes with it, and the cluster. Only the first time it is waited for.

        Raises:
            SchedulerUnreachable: there is none to be had.
        """
        if self._there.qsize() < _NUMBERS_MIN and not self._asked:
            self._asked = _NUMBERS
            self._outbox.say(NumbersWanted(_NUMBERS))
        try:
            return self._there.get(timeout=_NUMBER_S)
        except Empty:
            self._asked = 0
            msg = f"the scheduler has given this task's client no number for {_NUMBER_S:g} s"
            raise SchedulerUnreachable(msg) from None


class Nest:
    """One task's."""

    def __init__(self, slots: Slots, task: Task, seat: Seat | None, coroutine: AsyncTask | None):
        self.slots = slots
        self.task = task
        self.attempt: Attempt = task[2]
        self.guest: Guest | None = None
        self.parked_s = 0.0
        #: Wakes the task where it waits, when it is cancelled.
        self.alarm: Callable[[], None] | None = None
        #: Whether a thread that waits does so in its slot: nobody else runs there meanwhile.
        self.keeps_slot = False
        self.coroutine = coroutine
        self._seat = seat
        self._ident = get_ident()
        self._parked_at: float | None = None
        self._seceded = False
        #: Goes on without a slot, and waits for one when it has waited again.
        self._ahead = False

    @property
    def key(self) -> str:
        """The task's key."""
        return self.task[7] or auto_key(self.task[4].name, self.task[3])

    @property
    def traced(self) -> bool:
        """Whether the task is part of a trace."""
        return self.attempt in self.slots.spans

    @property
    def ends_at(self) -> float:
        """By when the task is to end, on the monotonic clock; `inf` if it has no limit."""
        if self.coroutine is not None:
            return self.coroutine.end
        return inf if self._seat is None else self.slots.strikes.ends[self._seat.row]

    @property
    def is_mine(self) -> bool:
        """Whether this is the thread that runs the task, not one that the task has started."""
        return get_ident() == self._ident

    def check(self) -> None:
        """End here if the task was cancelled.

        Raises:
            TaskCancelled: it was.
        """
        if self.slots.strikes.must_stop(self.attempt):
            raise TaskCancelled

    # ------------------------------------------------------------ a way to the scheduler

    def say(self, messages: list[Message]) -> None:
        """To the scheduler; sent with the next `flush`, so that it can be called with a lock."""
        header, _ = encode(messages)
        self.slots.outbox.put(Nested(self.attempt, [header]))

    def fetch(self, message: Fetch, address: str, large: list[int]) -> None:
        """Have the worker get values, of which some are large; see `Guest.got`."""
        asked = NestedFetch(self.attempt, message.serial, address, message.tids, large)
        self.slots.outbox.put(asked)

    def store(self, serial: int, tids: list[TaskId], payloads: list[Payload]) -> None:
        """Have the worker keep these values; see `Guest.got`."""
        self.slots.outbox.put(NestedStore(self.attempt, serial, tids, payloads))

    def flush(self) -> None:
        """Send what was said."""
        self.slots.outbox.flush()

    def soon(self, call: Callable[[], None]) -> None:
        """Have something called by another thread. May be called by the garbage collector."""
        self.slots.outbox.call_soon(call)

    # ------------------------------------------------------------ waiting, in a thread

    def park(self) -> bool:
        """The task waits: its slot is free. Whether it had one; then `come` is to be called.

        Raises:
            TaskError: too many wait.
        """
        seat = self._seat
        if seat is None or not self.is_mine or self.keeps_slot:
            return False
        if seat.slot < 0 and not self._ahead:
            return False
        slots = self.slots
        slots.seats.count_parked(1)
        self._parked_at = monotonic()
        if self._ahead:
            self._ahead = False
            return True
        slots.board.end(seat.slot)
        slots.outbox.say(Parked([self.attempt], [1]))
        slots.seats.leave(seat)
        return True

    def come(self, *, at_once: bool = False) -> None:
        """The task goes on: it has a slot again when this returns.

        It has none, and will wait for one the next time, if it is to go on `at_once`, as its time
        for waiting is up, or if a task has the slot that does not stop.

        Raises:
            TaskCancelled: it was cancelled, and is not to wait for that.
        """
        seat, slots = self._seat, self.slots
        assert seat is not None
        must_stop = partial(slots.strikes.must_stop, self.attempt)
        if not slots.seats.come(seat, must_stop, at_once=lambda: at_once or slots.strikes.stuck()):
            raise TaskCancelled
        self._has_come()
        self._ahead = seat.slot < 0
        if seat.slot >= 0:
            slots.board.begin(seat.slot, self.attempt, monotonic())
            slots.outbox.post(Parked([self.attempt], [0]))

    def _has_come(self) -> None:
        if self._parked_at is not None:
            self.slots.seats.count_parked(-1)
            self.parked_s += monotonic() - self._parked_at
            self._parked_at = None

    # ------------------------------------------------------------ waiting, on the loop

    def park_coroutine(self) -> None:
        """The same as `park`, for a coroutine."""
        slots, coroutine = self.slots, self.coroutine
        if coroutine is None or coroutine.outcome is None:
            return
        slots.seats.count_parked(1)
        slots.strikes.aside.add(self.attempt)
        slots.outbox.post(Parked([self.attempt], [1]))
        coroutine.park()

    async def come_coroutine(self) -> None:
        """The same as `come`, for a coroutine; its cancellation ends it, too."""
        coroutine, seats = self.coroutine, self.slots.seats
        if coroutine is None or self._seceded:
            return
        await coroutine.come(seats.come_without_thread, seats.forget)

    # ------------------------------------------------------------ leaving the slot for longer

    def secede(self) -> None:
        """Give up the slot and go on."""
        if self.coroutine is not None:
            self.park_coroutine()
        else:
            self.park()
        self._seceded = True

    def rejoin(self) -> Any:
        """Wait for a slot; for a coroutine, something that is to be awaited."""
        self._seceded = False
        if self.coroutine is not None:
            return self.come_coroutine()
        if self._parked_at is not None and self.is_mine:
            self.come()
        return None

    # ------------------------------------------------------------ from outside

    def hear(self, messages: list[Message]) -> None:
        """What the scheduler says. Called by the reader."""
        if self.guest is not None:
            self.guest.hear(messages)

    def got(self, message: NestedGot, held: Mapping[TaskId, Any]) -> None:
        """What the worker says about values. Called by the reader."""
        sources: dict[TaskId, Any] = {}
        for tid, status in zip(message.tids, message.statuses, strict=True):
            if status == FOUND:
                sources[tid] = held[tid] if tid in held else Missing(tid)
        if self.guest is not None:
            self.guest.got(message, sources)

    def cancel(self) -> None:
        """The task was asked to stop: it does where it waits. Called by the reader."""
        if self.alarm is not None:
            self.alarm()
        if self._seat is not None:
            self.slots.seats.forget(self._seat)

    def close(self, value: Any, error: BaseException | None) -> BaseException | None:
        """The task has ended, so or so; what it came to in the end."""
        slots = self.slots
        if slots.nests.pop(self.attempt, None) is None:
            return error
        self._has_come()
        if self.coroutine is not None and self.attempt in slots.strikes.aside:
            slots.strikes.aside.discard(self.attempt)
            slots.seats.count_parked(-1)
        if self.guest is not None:
            if error is None:
                error = self.guest.objection(value)
            self.guest.part()
            self.guest = None
        slots.outbox.flush_words()  # before the outcome: what comes after that is not heard
        return error


#: Of all runners in this process: one, unless they live in the worker's.
_runners: Final[list[Slots]] = []


def opened(slots: Slots) -> None:
    """There is a runner."""
    _runners.append(slots)


def closed(slots: Slots) -> None:
    """It has ended."""
    if slots in _runners:
        _runners.remove(slots)


def task_here() -> tuple[Slots, Task] | None:
    """The task whose code runs here, and its runner; None outside of tasks."""
    coroutine = present.get()
    if coroutine is not None:
        return None if coroutine.scope is None else (coroutine.runner, coroutine.task)
    ident = get_ident()
    for slots in _runners:
        seat = slots.seat_of(ident)
        if seat is not None:
            return slots, seat.task
    return None


def current() -> Nest | None:
    """The nest of the task that runs here, made if it has none; None outside of tasks."""
    coroutine = present.get()
    if coroutine is not None:
        slots: Slots = coroutine.runner
        if coroutine.scope is None:
            return None  # it has ended; a task of its own goes on
        return slots.nest(coroutine.task, None, coroutine)
    ident = get_ident()
    for slots in _runners:
        seat = slots.seat_of(ident)
        if seat is not None:
            return slots.nest(seat.task, seat, None)
    return None
