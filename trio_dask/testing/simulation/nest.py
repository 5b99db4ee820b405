"""The client inside a simulated task: the real core, and what the task does with it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from trio_dask.client.core import (
    CANCELLED,
    ERROR,
    FINISHED,
    LOST,
    PENDING,
    RELEASED,
    AllDone,
    ClientCore,
    Request,
    Rows,
    group,
    whole,
)
from trio_dask.messages import decode, encode, nested, session, values
from trio_dask.messages.failure import Failure
from trio_dask.testing.simulation.plan import function_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_dask.client.core import Batch
    from trio_dask.messages import Message
    from trio_dask.testing.simulation.plan import PlannedTask
    from trio_dask.testing.simulation.runner import Row, SimRunner

#: What a task that waits fails with when its client is told that it is over.
OVER: Final = b"simulated end of a client inside a task"


class SimNest:
    """What one attempt submits, and waits for."""

    def __init__(self, runner: SimRunner, row: Row, number: int, first: int) -> None:
        self.row = row
        self.core = ClientCore(f"in {row.number}")
        self.core.adopt(number, first, "simulated")
        self.name = f"the client in attempt {row.attempt:x}"
        self.dead = self.going = False
        self.failure: bytes | None = None
        self.seconds = 0.0  # that are left when it goes on
        self._runner = runner
        self._task: PlannedTask = runner.truth.tasks[row.number]
        self._placed: dict[int, tuple[Batch, int]] = {}
        self._values: dict[int, bytes] = {}
        self._asked: dict[int, str] = {}
        self._say([nested.NestedJoin(row.attempt, number)])

    # ---------------------------------------------------------------- its work

    def begin(self) -> None:
        """Submit everything, and wait for what is waited for."""
        truth, core = self._runner.truth, self.core
        for number in self._task.puts:
            [self._placed[number]] = core.put([truth.scattered[number]])
        for child in self._task.children:
            truth.inputs[child.number] = child.deps
            name = function_of(child)
            function = core.function(name, name.encode())
            tids = [self._placed[dep][1] for dep in child.deps]
            rows = Rows([b"%d" % child.number], [len(tids)] if tids else [], tids)
            self._placed[child.number] = core.submit(function, rows, {})
        core.let_go([self._placed[number][1] for number in self._task.puts])
        self.wait()

    def wait(self) -> None:
        """Wait until all are here that the task needs."""
        if self.dead:
            return
        awaited = [self._placed[each.number] for each in self._task.awaited]
        pending = [(batch, tid) for batch, tid in awaited if self._status(batch, tid) == PENDING]
        if pending:
            watch = AllDone(len(pending), lambda: self._later(self.wait))
            self.core.watch(watch, group(sorted(pending, key=lambda each: each[1])))
        elif not self._is_spoiled(awaited):
            far = [(tid, place) for batch, tid in awaited if (place := self._far(batch, tid))]
            if far:
                self._fetch(far)
            else:
                self._runner.go_on(self)
        self.flush()

    def _is_spoiled(self, awaited: list[tuple[Batch, int]]) -> bool:
        """Whether one of them came to a bad end, which is the end of the task."""
        for batch, tid in awaited:
            status, why = self._status(batch, tid), batch.values[tid - batch.first]
            if status != FINISHED:
                assert status in (ERROR, CANCELLED, LOST)
                kind = "DataLost" if status == LOST else "CancelledError"
                lost = Failure(kind=f"trio_dask.errors.{kind}", message=str(why)).to_bytes()
                self.failure = why if isinstance(why, bytes) and status == ERROR else lost
                self._runner.go_on(self)
                return True
        return False

    def results(self) -> list[bytes]:
        """The values of what was waited for."""
        out = []
        for child in self._task.awaited:
            batch, tid = self._placed[child.number]
            known = batch.values[tid - batch.first]
            out.append(self._values[tid] if tid in self._values else bytes(known or b""))  # type: ignore[arg-type]
        return out

    @staticmethod
    def _status(batch: Batch, tid: int) -> int:
        return batch.status[tid - batch.first]

    def _far(self, batch: Batch, tid: int) -> str:
        known = batch.values[tid - batch.first]
        return known if isinstance(known, str) and tid not in self._values else ""

    def _fetch(self, far: list[tuple[int, str]]) -> None:
        requests: list[Request] = []

        def arrived() -> None:
            for tid, payload in requests[0].payloads.items():
                self._values[tid] = bytes(whole(payload))
            for failure in requests[0].failures.values():
                self.failure = failure
            if self.failure is not None:
                self._runner.go_on(self)
            else:
                self.wait()

        requests.append(self.core.request(far, lambda: self._later(arrived)))

    def _later(self, call: Callable[[], None]) -> None:
        if not self.dead:
            self._runner.later(partial(self._unless_dead, call))

    def _unless_dead(self, call: Callable[[], None]) -> None:
        if not self.dead:
            call()

    # ---------------------------------------------------------------- talking

    def flush(self) -> None:
        """Say what is to be said."""
        if self.dead:
            return
        messages, data = self.core.flush()
        if messages:
            self._say(messages)
        for address, message in data:
            if isinstance(message, values.Fetch):
                self._asked[message.serial] = address
                said: Message = nested.NestedFetch(
                    self.row.attempt, message.serial, address, message.tids,
                    self.core.large_of(message),
                )  # fmt: skip
            else:
                assert isinstance(message, values.Store)
                self._asked[message.serial] = address
                said = nested.NestedStore(
                    self.row.attempt, message.serial, message.tids, message.payloads
                )
            self._runner.out.send([said])

    def _say(self, messages: list[Message]) -> None:
        header, _ = encode(messages)
        self._runner.out.send([nested.Nested(self.row.attempt, [header])])

    def hear(self, message: nested.Nested) -> None:
        """The scheduler says something."""
        [header] = message.frame
        assert not isinstance(header, list)
        messages = decode(header, [])
        self.core.handle(messages)
        if isinstance(messages[-1], session.Goodbye | session.Refused):
            self.failure = OVER
            self.core.end("over")
            self._runner.go_on(self)
        self.flush()

    def got(self, message: nested.NestedGot) -> None:
        """The worker has values for it, or has those that it had."""
        address = self._asked.pop(message.serial)
        told: Message = values.StoreDone(message.serial, "")
        if message.tids:
            rows = zip(message.tids, message.statuses, strict=True)
            here = [self._runner.values[tid] for tid, status in rows if status == values.FOUND]
            told = values.Values(
                message.serial, message.tids, message.statuses, message.failures, here, last=True
            )
        self.core.handle_data(address, [told])
        self.flush()

    def close(self) -> None:
        """The task has ended."""
        self.flush()
        self.dead = True
        self.core.end("over")

    def held(self) -> Iterator[tuple[int, int]]:
        """The id and status of all that it has not let go of."""
        for batch in self.core.table.batches:
            for tid, status in enumerate(batch.status, batch.first):
                if status != RELEASED:
                    yield tid, status
