"""A simulated runner: slots, a queue by rank, values; it dies when told to."""

from __future__ import annotations

import math
from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from trio_dask.messages import (
    apart,
    inquiring,
    nested,
    plugins,
    sealing,
    tasks as words,
    values as data,
)
from trio_dask.testing.simulation.nest import SimNest
from trio_dask.testing.simulation.plan import HELD, INLINE, PINNED
from trio_dask.testing.simulation.truth import BOUND, FAILURE

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.messages import Message, Payload
    from trio_dask.testing.simulation.network import Network, Pipe
    from trio_dask.testing.simulation.plan import WorkerPlan
    from trio_dask.testing.simulation.truth import Truth


#: So much of a task, at most, takes longer on a slow host.
_SLOWED_S: Final = 0.5
#: Of all values some are sealed at once, some when others need them, some never.
_KINDS: Final = 3
_SEALED: Final = 0
_SEALED_FOR_OTHERS: Final = 1
#: As a level of `Pressure`.
_FILES: Final = 2
#: Of what goes to files for want of memory, so much shares one with others.
_SMALL: Final = 0.5
#: A task that stops takes so long for it.
_STOP_S: Final = 0.001
#: Setting up a plugin takes so long; this one cannot be.
_SET_UP_S: Final = 0.002
BAD_PLUGIN: Final = b"bad"


class Row:
    """An attempt that has not begun."""

    __slots__ = ("attempt", "inputs", "limits", "number", "rank", "tid")

    def __init__(self, attempt: int, tid: int, rank: int, number: int) -> None:
        self.attempt = attempt
        self.tid = tid
        self.rank = rank
        self.number = number
        self.inputs: list[Payload] = []
        self.limits = (math.inf, math.inf)  # seconds of running, and a time


class SimRunner:
    """Runs the tasks of a plan for one worker, in simulated time.

    Args:
        network: has the time, and knows whether the host is slow or stands still.
        plan: how many slots it has, and how fast its clock is.
        truth: what its tasks do.
        out: the way to its worker, on the same host.
    """

    def __init__(self, network: Network, plan: WorkerPlan, truth: Truth, out: Pipe) -> None:
        self._network = network
        self._world = network.world
        self._host = out.host
        self._plan = plan
        self.truth = truth
        self.out = out
        self._queue: list[tuple[int, int]] = []  # rank, attempt; below 0: a slot to be kept
        self.asked: set[int] = set()  # such slots,
        self.kept: set[int] = set()  # and those that are
        self.unbegun: dict[int, Row] = {}
        self.functions: dict[int, bytes] = {}
        self.values: dict[int, Payload] = {}
        self._pinned: dict[int, int] = {}  # task → number
        self.running: dict[int, tuple[Row, float]] = {}  # attempt → since when
        self.parked: dict[int, Row] = {}  # attempts that have begun and have no slot
        self.nests: dict[int, SimNest] = {}  # by attempt
        self._going: list[SimNest] = []  # that wait for a slot
        self._numbers: list[tuple[int, int]] = []
        self._unnumbered: list[Row] = []  # that wait for a number
        self.plugins: dict[str, bytes] = {}
        self.holds = 0  # plugins that are being set up: nothing begins
        self._pressed = False  # what is new goes to files
        self._disk = self._world.chance(f"{out.host} disk of runners")
        self.alive = True
        #: Ends it.
        self.crash: Callable[[], object] = lambda: None

    def receive(self, messages: list[Message]) -> None:
        """What the worker said."""
        if self.alive:
            for message in messages:
                self._on_message(message)

    def _on_message(self, message: Message) -> None:  # noqa: C901, PLR0912, PLR0915 - a case for each
        match message:
            case words.Functions():
                self.functions.update(zip(message.fids, message.blobs, strict=True))
            case words.ForgetFunctions():
                for fid in message.fids:
                    self.functions.pop(fid, None)
            case words.Run():
                self._on_run(message)
            case data.Give():
                self.values.update(zip(message.tids, message.payloads, strict=True))
            case words.Free():
                for tid in message.tids:
                    del self.values[tid]
                    self._pinned.pop(tid, None)
            case words.Recall():
                unbegun = [each for each in message.attempts if each in self.unbegun]
                for attempt in unbegun:
                    del self.unbegun[attempt]
                if unbegun:
                    self.out.send([words.Returned(unbegun)])
            case words.Interrupt():
                self._on_interrupt(message)
            case apart.Reserve():
                self.asked.update(message.seats)
                for seat, rank in zip(message.seats, message.ranks, strict=True):
                    heappush(self._queue, (rank, -seat))
                self._start()
            case apart.Vacate():
                assert self.asked | self.kept >= set(message.seats), "they were asked for"
                self.asked.difference_update(message.seats)
                self.kept.difference_update(message.seats)
                self._start()
            case data.Fetch():
                self._on_fetch(message)
            case inquiring.Inquire():
                seen = inquiring.packed({"stacks": [*self.running], "left_out": 0})
                self.out.send([inquiring.Told(message.serial, ok=True, said=[seen])])
            case sealing.Unload():
                self._on_unload(message)
            case sealing.Pressure():
                self._pressed = message.level == _FILES
            case nested.Numbers():
                self._numbers += zip(message.numbers, message.firsts, strict=True)
                while self._numbers and self._unnumbered:
                    self._begin_inside(self._unnumbered.pop(0))
            case nested.Nested() if message.attempt in self.nests:
                self.nests[message.attempt].hear(message)
            case nested.NestedGot() if message.attempt in self.nests:
                self.nests[message.attempt].got(message)
            case plugins.Plugins():
                self.holds += 1
                done = partial(self._set_up, message)
                self._world.after(_SET_UP_S, f"plugin {message.names}", done)
            case nested.Nested() | nested.NestedGot() | words.Traced():
                pass  # the task has ended; or it is traced, and nobody looks
            case _:
                msg = f"a runner is not told {message}"
                raise AssertionError(msg)

    def _set_up(self, message: plugins.Plugins) -> None:
        if not self.alive:
            return
        failures = []
        for name, blob in zip(message.names, message.blobs, strict=True):
            self.plugins.pop(name, None)
            fails = blob == BAD_PLUGIN
            failures.append(b"fails" if fails else b"")
            if blob and not fails:
                self.plugins[name] = blob
        if any(failures) and not message.serial:
            self.crash()
            return
        self.holds -= 1
        self.out.send([plugins.PluginsDone(message.serial, failures)])
        self._start()

    def _on_interrupt(self, message: words.Interrupt) -> None:
        unbegun = [each for each in message.attempts if self.unbegun.pop(each, None) is not None]
        if unbegun:
            self.out.send([words.Returned(unbegun)])
        for attempt, way in zip(message.attempts, message.ways, strict=True):
            running = self.running.get(attempt)
            if attempt in self.parked:  # where it waits it stops at once
                name = f"task {self.parked[attempt].number} stops"
                self._world.after(_STOP_S, name, partial(self._stop, self.parked[attempt]))
            elif running is not None and self.truth.stops(running[0].number, way):
                name = f"task {running[0].number} stops"
                self._world.after(_STOP_S, name, partial(self._stop, running[0]))
        self.out.send([words.Interrupting(message.attempts)])

    def _stop(self, row: Row, status: int = words.STOPPED) -> None:
        if self.alive and (row.attempt in self.running or row.attempt in self.parked):
            seconds = self._leave(row)
            self.out.send([words.Done([row.attempt], [status], [seconds], [0], [b""])])
            self._start()

    def _on_fetch(self, message: data.Fetch) -> None:
        statuses: list[int] = []
        payloads: list[Payload] = []
        failures: list[bytes] = []
        for tid in message.tids:
            if tid in self._pinned:
                statuses.append(data.UNPICKLABLE)
                failures.append(BOUND + b"%d" % self._pinned[tid])
            elif tid in self.values and tid % _KINDS == _SEALED_FOR_OTHERS:
                self._seal(0, tid)
                statuses.append(data.ABSENT)
            elif tid in self.values:
                statuses.append(data.FOUND)
                payloads.append(self.values[tid])
            else:
                statuses.append(data.ABSENT)
        answer = data.Values(message.serial, message.tids, statuses, failures, payloads, last=True)
        self.out.send([answer])

    def _on_unload(self, message: sealing.Unload) -> None:
        stay: list[int] = []
        rest: list[int] = []
        slab: list[int] = []
        failures: list[bytes] = []
        for tid in message.tids:
            if tid in self._pinned:
                stay.append(tid)
                failures.append(BOUND + b"%d" % self._pinned[tid])
            elif tid in self.values and self._disk.random() < self._plan.disk:
                if self._disk.random() < _SMALL:
                    slab.append(tid)
                else:
                    self._seal(0, tid, file=True)
            else:
                rest.append(tid)
        if slab:
            pieces = [bytes(self.values[tid]) for tid in slab]  # type: ignore[arg-type]
            self.out.send([sealing.Slab(slab, [len(each) for each in pieces], [b"".join(pieces)])])
        statuses = [data.UNPICKLABLE] * len(stay) + [data.ABSENT] * len(rest)
        answer = data.Values(message.serial, stay + rest, statuses, failures, [], last=True)
        self.out.send([answer])

    def _seal(self, attempt: int, tid: int, *, file: bool = False) -> None:
        """The value outlives the runner, in memory or in a file."""
        number = -tid if file or self._pressed else tid
        self.out.send([sealing.Sealed([attempt], [tid], [number], [self.values[tid]])])

    def _on_run(self, run: words.Run) -> None:
        at, inline = 0, iter(run.dep_values)
        fids = run.fids
        for index, attempt in enumerate(run.attempts):
            assert fids[index] in self.functions, "a function comes before its use"
            assert attempt not in self.unbegun, "an attempt is made once"
            row = Row(attempt, run.tids[index], run.ranks[index], int(run.args[index]))
            count = run.dep_counts[index] if run.dep_counts else 0
            for place in range(at, at + count):
                if run.dep_at[place] == words.INLINE:
                    row.inputs.append(next(inline))
                else:
                    assert run.dep_at[place] == words.HERE, "the worker has fetched all inputs"
                    row.inputs.append(self.values[run.dep_tids[place]])
            at += count
            if run.ways:
                row.limits = run.timeouts[index], run.deadlines[index] - self._plan.offset
            self.unbegun[attempt] = row
            heappush(self._queue, (row.rank, attempt))
        self._start()

    @property
    def taken(self) -> int:
        """So many slots have a task, or are kept for one elsewhere."""
        return len(self.running) + len(self.kept)

    def _start(self) -> None:
        if self.holds:
            return
        while self._going and self.taken < self._plan.nthreads:
            self._go_on(self._going.pop(0))
        while self._queue and self.taken < self._plan.nthreads:
            _, attempt = heappop(self._queue)
            if -attempt in self.asked:
                self.asked.remove(-attempt)
                self.kept.add(-attempt)
                self.out.send([apart.Reserved([-attempt])])
                continue
            row = self.unbegun.pop(attempt, None)
            if row is None:
                continue  # recalled
            if row.limits[1] <= self._world.now:
                self.out.send([words.Returned([attempt])])
                continue
            self.running[attempt] = row, self._world.now
            self.truth.began[row.number] = self._world.now
            self._let_run_out(row)
            task = self.truth.tasks[row.number]
            if task.secedes:
                self._park(row)
            seconds = task.seconds / 2 if task.children else task.seconds
            then = self._wants_number if task.children else self._end
            self._spend(seconds, row, then)

    def _let_run_out(self, row: Row) -> None:
        """Some are async tasks: these end by themselves when their time is up."""
        timeout, deadline = row.limits
        left = min(timeout, deadline - self._world.now)
        if left < math.inf and row.number % 3 == 0:
            status = words.TIMED_OUT if timeout <= deadline - self._world.now else words.OVERDUE
            what = f"task {row.number} is out of time"
            self._world.after(left, what, partial(self._stop, row, status))

    def _spend(self, seconds: float, row: Row, then: Callable[[Row], None]) -> None:
        slowed = min(seconds, _SLOWED_S)  # hosts are slow for a while only
        seconds += slowed * (self._network.factor(self._host) - 1)
        self._world.after(seconds, f"task {row.number} ends", partial(then, row))

    # ---------------------------------------------------------------- tasks inside tasks

    def later(self, call: Callable[[], None]) -> None:
        """Call something next, unless the process ends before."""
        self._world.after(0.0, "a task is woken", lambda: call() if self.alive else None)

    def _has_begun(self, row: Row) -> bool:
        return self.alive and (row.attempt in self.running or row.attempt in self.parked)

    def _wants_number(self, row: Row) -> None:
        if not self._has_begun(row):
            return
        self._unnumbered.append(row)
        if self._numbers:
            self._begin_inside(self._unnumbered.pop())
        else:
            self.out.send([nested.NumbersWanted(2)])

    def _begin_inside(self, row: Row) -> None:
        if not self._has_begun(row):
            return
        task = self.truth.tasks[row.number]
        nest = self.nests[row.attempt] = SimNest(self, row, *self._numbers.pop(0))
        nest.seconds = task.seconds / 2
        if task.awaits:
            self._park(row)
        nest.begin()
        self._start()

    def _park(self, row: Row) -> None:
        if row.attempt in self.running:
            del self.running[row.attempt]
            self.parked[row.attempt] = row
            self.out.send([nested.Parked([row.attempt], [1])])

    def go_on(self, nest: SimNest) -> None:
        """What the task waited for is there, or will not be: it goes on when it has a slot."""
        row = nest.row
        if nest in self._going or nest.going or not self._has_begun(row):
            return
        nest.going = True
        if row.attempt in self.running or self.truth.tasks[row.number].secedes:
            self._spend(nest.seconds, row, self._end)
        else:
            self._going.append(nest)
            self._start()

    def _go_on(self, nest: SimNest) -> None:
        row = nest.row
        if self.parked.pop(row.attempt, None) is not None:
            self.running[row.attempt] = row, self._world.now
            self.out.send([nested.Parked([row.attempt], [0])])
            self._spend(nest.seconds, row, self._end)

    def _leave(self, row: Row) -> float:
        """It has ended; how long it has run."""
        nest = self.nests.pop(row.attempt, None)
        if nest is not None:
            nest.close()
        self.parked.pop(row.attempt, None)
        _, began = self.running.pop(row.attempt, (row, self._world.now))
        return (self._world.now - began) * self._plan.clock

    # ---------------------------------------------------------------- ends

    def _end(self, row: Row) -> None:
        if not self._has_begun(row):
            return
        resumed = self._network.stalled_until(self._host)
        if resumed > self._world.now:
            self._world.at(resumed, f"task {row.number} ends late", partial(self._end, row))
            return
        nest = self.nests.get(row.attempt)
        seconds = self._leave(row)
        task = self.truth.tasks[row.number]
        status, value, nbytes = words.ERROR, FAILURE + b"%d" % row.number, 0
        if nest is not None and nest.failure is not None:
            value = nest.failure
        elif not self.truth.attempt_fails(row.number):
            status, nbytes = words.OK_INLINE, task.nbytes
            inputs = [bytes(each) for each in row.inputs]  # type: ignore[arg-type]
            inputs += nest.results() if nest is not None else []
            value = self.truth.value(row.number, inputs)
            if task.value != INLINE:
                self.values[row.tid] = value
                status, value = words.OK_HELD, b""
                if task.value == PINNED:
                    self._pinned[row.tid] = row.number
                else:
                    assert task.value == HELD
                    if row.tid % _KINDS == _SEALED:
                        self._seal(row.attempt, row.tid)
        self.out.send([words.Done([row.attempt], [status], [seconds], [nbytes], [value])])
        self._start()
