"""A simulated runner: slots, a queue by rank, values; it dies when told to."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from trio_dask.messages import tasks as words, values as data
from trio_dask.testing.simulation.programs import ALWAYS, FAILURE, Program

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.messages import Message, Payload
    from trio_dask.testing.simulation.world import World


class SimRunner:
    """Runs programs for one worker, in simulated time."""

    def __init__(
        self,
        world: World,
        nthreads: int,
        failed: dict[int, int],
        say: Callable[[list[Message]], None],
    ) -> None:
        self._world = world
        self._nthreads = nthreads
        self._failed = failed  # how often each program failed, wherever it ran
        self._say = say
        self._queue: list[tuple[int, int]] = []  # rank, attempt
        self._rows: dict[int, tuple[int, bytes, list[Payload]]] = {}
        self._functions: dict[int, bytes] = {}
        self.values: dict[int, Payload] = {}
        self.running: dict[int, float] = {}  # attempt → since when
        self.alive = True

    def receive(self, messages: list[Message]) -> None:
        """What the worker said."""
        for message in messages:
            if self.alive:
                self._on_message(message)

    def _on_message(self, message: Message) -> None:  # noqa: C901  a case for each message
        match message:
            case words.Functions():
                self._functions.update(zip(message.fids, message.blobs, strict=True))
            case words.ForgetFunctions():
                for fid in message.fids:
                    self._functions.pop(fid, None)
            case words.Run():
                self._on_run(message)
            case data.Give():
                self.values.update(zip(message.tids, message.payloads, strict=True))
            case words.Free():
                for tid in message.tids:
                    del self.values[tid]
            case words.Recall():
                unbegun = [each for each in message.attempts if each in self._rows]
                for attempt in unbegun:
                    del self._rows[attempt]
                self._say([words.Returned(unbegun)])
            case data.Fetch():
                self._on_fetch(message)
            case _:
                msg = f"a runner is not told {message}"
                raise AssertionError(msg)

    def _on_fetch(self, message: data.Fetch) -> None:
        known = [tid in self.values for tid in message.tids]
        found = [self.values[tid] for tid in message.tids if tid in self.values]
        statuses = [data.FOUND if each else data.ABSENT for each in known]
        self._say([data.Values(message.serial, message.tids, statuses, [], found, last=True)])

    def _on_run(self, run: words.Run) -> None:
        at, inline = 0, iter(run.dep_values)
        for row, attempt in enumerate(run.attempts):
            assert run.fids[row] in self._functions, "the function comes before its use"
            inputs: list[Payload] = []
            for index in range(at, at + (run.dep_counts[row] if run.dep_counts else 0)):
                if run.dep_at[index] == words.INLINE:
                    inputs.append(next(inline))
                else:
                    assert run.dep_at[index] == words.HERE, "the worker has fetched all inputs"
                    inputs.append(self.values[run.dep_tids[index]])
            at += len(inputs)
            self._rows[attempt] = (run.tids[row], run.args[row], inputs)
            heappush(self._queue, (run.ranks[row], attempt))
        self._start()

    def _start(self) -> None:
        while self._queue and len(self.running) < self._nthreads:
            _, attempt = heappop(self._queue)
            row = self._rows.pop(attempt, None)
            if row is None:
                continue  # recalled
            program = Program.decode(row[1])
            self.running[attempt] = self._world.now
            self._world.after(
                program.seconds,
                f"task {program.number} ends",
                lambda attempt=attempt, program=program, row=row: self._end(  # type: ignore[misc]
                    attempt, program, row[0], row[2]
                ),
            )

    def _end(self, attempt: int, program: Program, tid: int, inputs: list[Payload]) -> None:
        if not self.alive:
            return
        seconds = self._world.now - self.running.pop(attempt)
        failed = self._failed.get(program.number, 0)
        if program.failures == ALWAYS or failed < program.failures:
            self._failed[program.number] = failed + 1
            status, value = words.ERROR, FAILURE + b"%d" % program.number
        else:
            status, value = words.OK_INLINE, program.value([bytes(each) for each in inputs])  # type: ignore[arg-type]
            if program.held:
                self.values[tid] = value
                status, value = words.OK_HELD, b""
        self._say([words.Done([attempt], [status], [seconds], [8], [value])])
        self._start()
