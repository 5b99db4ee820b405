"""What is to be said to a peer, gathered in columns until the next flush.

Rows of one kind that follow one another go into one message; a row of another
kind begins a new one, so that the peer reads everything in the order in which it
was decided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.messages.fleet import Copy
from trio_dask.messages.session import Answer
from trio_dask.messages.tasks import (
    INLINE,
    LARGE_BYTES_MIN,
    Again,
    Cancelled,
    Failed,
    Finished,
    Free,
    Functions,
    Interrupt,
    Lost,
    PutAt,
    Recall,
    Run,
)

if TYPE_CHECKING:
    from trio_dask.messages import Lasting, Message
    from trio_dask.messages.session import Ask
    from trio_dask.scheduler.core.state import Function, Task, Worker


class Outbox:
    """Messages for one peer since the last flush."""

    __slots__ = ("_dirty", "_places", "lasting", "messages", "peer")

    def __init__(self, peer: int, dirty: dict[int, Outbox]) -> None:
        self.peer = peer
        self.messages: list[Message] = []
        self.lasting: Lasting | None = None  # where the conversation outlasts its connection
        self._dirty = dirty  # those with something to say, in the order in which they got it
        self._places: dict[str, int] = {}

    def add(self, message: Message) -> None:
        """Say this next."""
        if not self.messages:
            self._dirty[self.peer] = self
        self.messages.append(message)

    def take(self) -> list[Message]:
        """Everything said since the last time."""
        taken, self.messages = self.messages, []
        self._places.clear()
        if self.lasting is not None:
            self.lasting.says(taken)
        return taken

    def _place(self, place: str, places: list[str]) -> int:
        """The row of `place` in the table of the message that is being filled."""
        row = self._places.get(place)
        if row is None or row >= len(places) or places[row] != place:
            row = self._places[place] = len(places)
            places.append(place)
        return row


class ClientOutbox(Outbox):
    """What a client is told about its tasks."""

    __slots__ = ()

    def refuse(self, question: Ask, why: str) -> None:
        """Answer a question that makes no sense."""
        self.add(Answer(question.serial, ok=False, data={"error": why}))

    def finished(self, tid: int, task: Task) -> None:
        """The task, which the client calls `tid`, has a value: here it is, or there."""
        value = task.value
        last = self.messages[-1] if self.messages else None
        if type(last) is not Finished:
            last = Finished([], [], [], [], [])
            self.add(last)
        if last.sources or tid != task.tid:
            last.sources += last.tids[len(last.sources) :]
            last.sources.append(task.tid)
        last.tids.append(tid)
        last.nbytes.append(task.nbytes)
        if value is not None:
            last.values.append(value)
            last.at.append(INLINE)
        else:
            last.values.append(b"")
            last.at.append(self._place(places_of(task.holders), last.places))

    def failed(self, tid: int, failure: bytes) -> None:
        """The task, or one of its inputs, raised."""
        last = self.messages[-1] if self.messages else None
        if type(last) is not Failed:
            last = Failed([], [], [])
            self.add(last)
        # Everything that fails for one reason has the very same object.
        if not last.failures or last.failures[-1] is not failure:
            last.failures.append(failure)
        last.tids.append(tid)
        last.which.append(len(last.failures) - 1)

    def cancelled(self, tid: int, reason: str) -> None:
        """The task was cancelled."""
        last = self.messages[-1] if self.messages else None
        if type(last) is not Cancelled or last.reason != reason:
            last = Cancelled([], reason)
            self.add(last)
        last.tids.append(tid)

    def lost(self, tid: int, reason: str) -> None:
        """The value is gone for good."""
        last = self.messages[-1] if self.messages else None
        if type(last) is not Lost or last.reason != reason:
            last = Lost([], reason)
            self.add(last)
        last.tids.append(tid)

    def again(self, tid: int) -> None:
        """The value is gone, and the task is run again."""
        last = self.messages[-1] if self.messages else None
        if type(last) is not Again:
            last = Again([])
            self.add(last)
        last.tids.append(tid)

    def put_at(self, tid: int, place: str) -> None:
        """The value is to be stored there."""
        last = self.messages[-1] if self.messages else None
        if type(last) is not PutAt:
            last = PutAt([], [], [])
            self.add(last)
        last.tids.append(tid)
        last.at.append(self._place(place, last.places))


class WorkerOutbox(Outbox):
    """What a worker is told to do."""

    __slots__ = ()

    def function(self, function: Function) -> None:
        """A function that is about to be used."""
        last = self.messages[-1] if self.messages else None
        if type(last) is not Functions:
            last = Functions([], [], [])
            self.add(last)
        last.fids.append(function.fid)
        last.names.append(function.name)
        last.blobs.append(function.blob)

    def run(self) -> Run:
        """The message to which tasks are added."""
        last = self.messages[-1] if self.messages else None
        if type(last) is not Run:
            last = Run([], [], [], [], [], [], [], [], [], [], [], [])
            self.add(last)
        return last

    def inputs(self, run: Run, task: Task, refs: list[int] | None) -> None:
        """Add the inputs of the task whose row was just added to `run`."""
        rows = len(run.attempts)
        if not run.dep_counts:
            run.dep_counts += [0] * (rows - 1)
        run.dep_counts.append(len(task.deps))
        if refs is not None and not run.dep_refs:
            run.dep_refs += run.dep_tids
        tids = [dep.tid for dep in task.deps]
        run.dep_tids += tids
        if refs is not None or run.dep_refs:
            run.dep_refs += tids if refs is None else refs
        at, places, rows_of = run.dep_at, run.places, self._places
        for dep in task.deps:
            if dep.value is not None:
                at.append(INLINE)
                run.dep_values.append(dep.value)
                continue
            place = places_of(dep.holders)
            row = rows_of.get(place)  # the same as `_place`, without a call for each input
            if row is None or row >= len(places) or places[row] != place:
                row = self._place(place, places)
            at.append(row)
            if dep.nbytes >= LARGE_BYTES_MIN:
                run.large += (dep.tid, dep.nbytes)

    def recall(self, attempt: int) -> None:
        """Give the attempt back if it has not begun."""
        last = self.messages[-1] if self.messages else None
        if type(last) is not Recall:
            last = Recall([])
            self.add(last)
        last.attempts.append(attempt)

    def interrupt(self, attempt: int, way: int) -> None:
        """Stop the attempt, also if it has begun."""
        last = self.messages[-1] if self.messages else None
        if type(last) is not Interrupt:
            last = Interrupt([], [])
            self.add(last)
        last.attempts.append(attempt)
        last.ways.append(way)

    def free(self, tid: int) -> None:
        """Drop the value."""
        last = self.messages[-1] if self.messages else None
        if type(last) is not Free:
            last = Free([])
            self.add(last)
        last.tids.append(tid)

    def copy(self, task: Task, source: Worker | None = None) -> None:
        """Hold a copy of the value, too; one that holds it may be asked before all others."""
        last = self.messages[-1] if self.messages else None
        if type(last) is not Copy:
            last = Copy([], [], [])
            self.add(last)
        last.tids.append(task.tid)
        if task.nbytes >= LARGE_BYTES_MIN:
            last.large += (task.tid, task.nbytes)
        holders = task.holders
        if source is not None and holders:
            holders = [source, *(each for each in holders[:3] if each is not source)]
        last.at.append(self._place(places_of(holders), last.places))


def places_of(holders: list[Worker] | None) -> str:
    """The addresses of the holders that are alive, as the wire has them; three at most."""
    if not holders:
        return ""
    if len(holders) == 1:
        return holders[0].address
    return " ".join(worker.address for worker in holders[:3])
