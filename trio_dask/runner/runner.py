"""The runner: what it does about each message, and its life from `Prepare` to `Stop`.

Threads: the slots (the first is the process's main thread), a reader, a writer, and, once
they are needed, one that packs values for others and one with a Trio loop for async tasks.
Nothing here ever waits for a peer: what tasks need is given before they are.
"""

from __future__ import annotations

import os
from itertools import islice, repeat
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import Handle, decode
from trio_dask.messages.apart import Reserve, Vacate
from trio_dask.messages.inquiring import CALL_STACK, Inquire, Told
from trio_dask.messages.nested import Nested, NestedGot, Numbers
from trio_dask.messages.plugins import Plugins
from trio_dask.messages.sealing import Pressure, Rewrite, Unload
from trio_dask.messages.tasks import (
    HERE,
    INLINE,
    RAISE,
    ForgetFunctions,
    Free,
    Functions,
    Interrupt,
    Interrupting,
    Recall,
    Returned,
    Run,
    Traced,
)
from trio_dask.messages.values import Fetch, Give, Prepare, Ready, Stop
from trio_dask.runner.exports import Exports
from trio_dask.runner.holdings import Function, Missing, Packed
from trio_dask.runner.plugins import PluginHost
from trio_dask.runner.reading import Reading
from trio_dask.runner.slots import NO_LIMIT, Slots, Task
from trio_dask.runner.wire import Outbox, read_messages
from trio_dask.store import Segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_dask.messages import Message
    from trio_dask.messages.ids import Attempt, FunctionId, TaskId
    from trio_dask.runner.board import Board

#: A thread that has nothing to do any more has so long to end, seconds.
_END_S: Final = 1.0


#: So many attempts that are traced may be on their way.
_TRACES_MAX: Final = 100_000
#: Memory is given back at most so often.
_TRIM_S: Final = 0.25


class Runner:
    """One runner, whether it has a process to itself or lives in threads of another."""

    def __init__(self, fd: int, board: Board) -> None:
        """Wait for `Prepare`, the first message.

        Raises:
            RemoteProtocolError: the first message is another one.
        """
        self._incoming: Iterator[list[Message]] = read_messages(fd)
        first: list[Message] = next(self._incoming, [Stop("nobody is there")])
        self._stopped = type(first[0]) is Stop
        if not self._stopped and type(first[0]) is not Prepare:
            msg = f"{type(first[0]).__name__} before Prepare"
            raise RemoteProtocolError(msg)
        settings = {"nthreads": 1, "inline_bytes_max": 2048}
        if type(first[0]) is Prepare:
            settings |= first[0].settings
        self._early = first[1:]
        self.outbox = Outbox(fd)
        self.slots = Slots(settings, board, self.outbox)
        self._held = self.slots.held
        self._functions: dict[FunctionId, Function] = {}
        self._exports = Exports(self._held, self.outbox, self.slots.sealer)
        self._serial = 0
        self._traces: dict[Attempt, str] = {}  # of attempts that have not come yet
        self._plugins = PluginHost(self.slots, fd)
        self._trimmed = -_TRIM_S
        self._reading = Reading(lambda: self._incoming, self._act_on, self.slots)
        #: To be done whenever tasks have come, before they begin.
        self.before_tasks: Callable[[], None] | None = None
        #: Everything that was set up has been torn down.
        self.closed = Event()
        self._acts: dict[type[Message], Callable[[Any], None]] = {
            Run: self._on_run,
            Traced: self._on_traced,
            Functions: self._on_functions,
            ForgetFunctions: self._on_forget,
            Give: self._on_give,
            Free: self._on_free,
            Fetch: self._exports.ask,
            Unload: self._exports.unload,
            Pressure: self._on_pressure,
            Recall: self._on_recall,
            Interrupt: self._on_interrupt,
            Nested: self._on_nested,
            NestedGot: self._on_got,
            Numbers: self.slots.numbers.arrived,
            Rewrite: self.slots.sealer.rewrite,
            Reserve: self._on_reserve,
            Vacate: self.slots.reservations.vacate,
            Inquire: self._on_inquire,
            Plugins: self._plugins.take,
            Stop: self._on_stop,
        }

    def start(self, slots: range, *, read: Callable[[], None] | None = None) -> None:
        """Start the threads of these slots, the writer, and, where the caller is not it, the reader."""
        self._slots = [
            Thread(target=self.slots.run, args=(slot,), name=f"slot-{slot}") for slot in slots
        ]
        self._writer = Thread(target=self.outbox.run_writer, name="writer")
        threads = [*self._slots, self._writer]
        if read is not None:
            threads.append(Thread(target=read, name="reader"))
            if self.slots.count == 1:
                self._reading.shared = True  # other slots would wait for it
                self.slots.rest_in(self._reading.rest)
        for thread in threads:
            thread.daemon = True
            thread.start()

    def read(self, *, on_ready: Callable[[], None] | None = None) -> None:
        """Be ready, and act on what comes, until the worker says `Stop` or is gone.

        Raises:
            RemoteProtocolError: the worker says what no worker says.
        """
        if self._stopped:
            return
        self.outbox.say(Ready(os.getpid()))
        if on_ready is not None:
            on_ready()
        self._act_on(self._early)
        self._early.clear()
        self._reading.run()

    def _act_on(self, messages: list[Message]) -> None:
        acts = self._acts
        for message in messages:
            act = acts.get(type(message))
            if act is None:
                msg = f"{type(message).__name__} is nothing to say to a runner"
                raise RemoteProtocolError(msg)
            act(message)

    @property
    def failed(self) -> bool:
        """Whether it ends because something is not there that its tasks rely on, or went wrong."""
        return self._plugins.failed or self.outbox.ends.failed

    @property
    def at_work(self) -> bool:
        """Whether a thread for tasks has not ended, or some task."""
        return any(each.is_alive() for each in self._slots) or self.slots.has_begun()

    def close(self) -> None:
        """Start nothing more, send what is finished, and let the threads end."""
        self.slots.stop()
        self._plugins.close()
        self.outbox.flush()
        self.outbox.close()
        self._exports.close()
        self.slots.close()
        self._acts.clear()  # a cycle, that would keep every value until somebody collects garbage
        self.closed.set()

    def join(self) -> bool:
        """After `close`, wait until the threads have ended, but for those that run tasks.

        Returns:
            Whether all have ended, and no async task runs.
        """
        slots = zip(range(self.slots.count), self._slots, strict=True)
        for thread in [self._writer, *(each for slot, each in slots if self.slots.idle(slot))]:
            thread.join(_END_S)
        ended = not any(each.is_alive() for each in (self._writer, *self._slots))
        return ended and all(map(self.slots.board.idle, range(self.slots.count)))

    # -------------------------------------------------------------------------- messages

    def _on_run(self, run: Run) -> None:
        count, serial = len(run.attempts), self._serial
        self._serial += count
        functions = [self._functions.get(fid) or Function(f"{fid:x}", None) for fid in run.fids]
        inputs = self._inputs(run) if run.dep_counts else repeat(None)
        if run.keys and len(run.keys) != count:
            msg = "Run with columns of different lengths"
            raise RemoteProtocolError(msg)
        if run.ways:
            untraced = [None] * count
            limits = zip(run.timeouts, run.deadlines, untraced, strict=True)
            self.slots.limits.update(zip(run.attempts, limits, strict=True))
        if self.before_tasks is not None:
            self.before_tasks()
        if self._traces:
            self._trace(run.attempts)
        tasks: list[Task] = list(
            zip(  # noqa: B905 - some columns go on for ever
                run.ranks,
                range(serial, self._serial),
                run.attempts,
                run.tids,
                functions,
                run.args,
                inputs,
                run.keys or repeat(""),
            )
        )
        self.slots.push(tasks)

    def _on_reserve(self, message: Reserve) -> None:
        serial = self._serial
        self._serial += len(message.seats)
        self.slots.push(self.slots.reservations.tasks(message, serial))

    def _on_traced(self, message: Traced) -> None:
        """Of some of them the `Run` may never come."""
        self._traces.update(dict.fromkeys(message.attempts, message.trace))
        while len(self._traces) > _TRACES_MAX:
            del self._traces[next(iter(self._traces))]

    def _trace(self, attempts: list[Attempt]) -> None:
        limits = self.slots.limits
        for attempt in attempts:
            told = self._traces.pop(attempt, None)
            if told is not None:
                timeout, deadline, _ = limits.get(attempt, NO_LIMIT)
                limits[attempt] = timeout, deadline, told

    def _inputs(self, run: Run) -> list[dict[TaskId, Any] | None]:
        """For each task its inputs by the ids that its arguments call them.

        Values held here are taken now: a `Free` that comes later does not take them away.
        """
        refs = run.dep_refs or run.dep_tids
        sources = list(self._sources(run))
        if not len(sources) == len(refs) == sum(run.dep_counts) or len(run.dep_counts) != len(
            run.attempts
        ):
            msg = "Run with inputs that do not add up"
            raise RemoteProtocolError(msg)
        pairs = iter(zip(refs, sources, strict=True))
        return [dict(islice(pairs, count)) if count else None for count in run.dep_counts]

    def _sources(self, run: Run) -> Iterator[Any]:
        inline = iter(run.dep_values)
        for tid, at in zip(run.dep_tids, run.dep_at, strict=False):
            if at == HERE:
                yield self._held[tid] if tid in self._held else Missing(tid)
            elif at == INLINE and (value := next(inline, None)) is not None:
                yield Packed(value)
            else:
                yield Missing(tid)

    def _on_functions(self, message: Functions) -> None:
        for fid, name, blob in zip(message.fids, message.names, message.blobs, strict=True):
            self._functions[fid] = Function(name, blob)

    def _on_forget(self, message: ForgetFunctions) -> None:
        for fid in message.fids:
            self._functions.pop(fid, None)

    def _on_give(self, message: Give) -> None:
        for tid, payload in zip(message.tids, message.payloads, strict=True):
            assert not isinstance(payload, list)  # what arrives is in one piece
            if isinstance(payload, Segment):
                self._held[tid] = self.slots.sealer.given(payload)
            else:
                self._held[tid] = Packed(payload)

    def _on_free(self, message: Free) -> None:
        for tid in message.tids:
            self._held.pop(tid, None)
        if self.slots.sealer.pressed:
            self._trim()

    def _on_pressure(self, message: Pressure) -> None:
        self.slots.sealer.press(message)
        if self.slots.sealer.pressed:
            self._trim()

    def _trim(self) -> None:
        """Give memory back, but not all the time."""
        if monotonic() - self._trimmed >= _TRIM_S:
            self._trimmed = monotonic()
            self._exports.trim()

    def _on_recall(self, message: Recall) -> None:
        self._recall(message.attempts)

    def _recall(self, attempts: list[Attempt]) -> list[Attempt]:
        """Give back those that have not begun."""
        back = self.slots.queue.recall(attempts)
        if back:
            for attempt in back:
                self.slots.limits.pop(attempt, None)
            self.outbox.say(Returned(back))
        return back

    def _on_interrupt(self, message: Interrupt) -> None:
        back = self._recall(message.attempts)
        for attempt, way in zip(message.attempts, message.ways, strict=True):
            if attempt not in back:
                self.slots.interrupt(attempt, strike=way == RAISE)
        strikes = self.slots.strikes
        spared = [strikes.shielded_s(each) for each in message.attempts] if strikes.shields else []
        self.outbox.say(Interrupting(message.attempts, spared))

    def _on_nested(self, message: Nested) -> None:
        nest = self.slots.nests.get(message.attempt)
        if nest is not None:
            for header in message.frame:
                assert not isinstance(header, list | Handle)  # a few bytes, in one piece
                nest.hear(decode(header, []))

    def _on_got(self, message: NestedGot) -> None:
        nest = self.slots.nests.get(message.attempt)
        if nest is not None:
            nest.got(message, self._held)

    def _on_inquire(self, question: Inquire) -> None:
        """What tasks are doing: this thread sees it, whatever they do."""
        from trio_dask.runner.callstacks import call_stacks  # only who is asked needs it

        if question.topic == CALL_STACK:
            self.outbox.say(
                Told(question.serial, ok=True, said=[call_stacks(self.slots, question)])
            )
        else:
            self.outbox.say(Told(question.serial, ok=False, said=[b"a runner does not know"]))

    def _on_stop(self, _message: Stop) -> None:
        self._incoming = iter(())  # nothing after it is read
