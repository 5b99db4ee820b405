"""What a task costs, counted instead of timed: the same on every machine, every time.

Scheduler and worker cores run a map of no-ops in lockstep, in this process, without
sockets; a client's describes one like it, and hears of its values. Counted are messages, bytes and
writes (system calls of the sender) on each way, the calls that the interpreter makes in each core,
and the memory and allocations of a pending task.
"""

from __future__ import annotations

import gc
import sys
import threading
import tracemalloc
from collections import Counter
from functools import partial
from operator import neg
from typing import TYPE_CHECKING, Any, Final

from trio_dask.client.core import ClientCore
from trio_dask.client.describing import Describer
from trio_dask.messages import Message, encode, quicken_all, session, tasks as words
from trio_dask.messages.ids import first_id
from trio_dask.scheduler.core import CoreSettings, SchedulerCore
from trio_dask.worker.core import Store, ToRunner, ToScheduler, WorkerCore

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENT: Final = 1
WORKER: Final = 2
ARGS: Final = b"x" * 40
#: Results are reported in batches of this size, as a busy runner does.
BATCH: Final = 100


class Ways:
    """Messages and bytes by way."""

    def __init__(self) -> None:
        self.messages: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.writes: Counter[str] = Counter()  # system calls of the sender, while sockets have room

    def count(self, way: str, messages: list[Message]) -> None:
        """These go this way, as one frame."""
        if messages:
            header, payloads = encode(messages)
            self.messages[way] += len(messages)
            self.writes[way] += 1
            self.bytes[way] += 8 + len(header) + sum(map(len, payloads))


def counted_calls(calls: Counter[str], role: str, act: Callable[[], Any]) -> Any:
    """Do it, and add the calls it makes to `role`'s."""
    count = 0

    def profile(frame: object, event: str, argument: object) -> None:
        nonlocal count
        if event in ("call", "c_call"):
            count += 1

    sys.setprofile(profile)
    try:
        return act()
    finally:
        sys.setprofile(None)
        calls[role] += count


def run(tasks: int) -> dict[str, float]:
    """Figures per task of a map of so many no-ops through one worker."""
    quicken_all()  # or it would depend on what was said before
    gc.collect()
    gc.disable()
    ways, calls = Ways(), Counter[str]()
    scheduler = SchedulerCore(CoreSettings(), cluster="counted")
    worker = WorkerCore("w", "tcp://w:1", 1, Store())
    worker.runner_ready(1)
    scheduler.client_joined(CLIENT, session.RegisterClient("c"))
    scheduler.flush()
    first = first_id(1)
    scheduler.handle(CLIENT, words.Functions([first], ["noop"], [b"code"]), 0.0)

    memory, blocks = _submit(scheduler, tasks, ways)
    scheduler.worker_joined(WORKER, session.RegisterWorker("w", "tcp://w:1", 1, 0, {}, {}), 0.0)
    finished = 0
    said = counted_calls(calls, "scheduler", scheduler.flush)
    while said:
        to_worker: list[Message] = []
        for peer, messages in said:
            ways.count("scheduler → " + ("client" if peer == CLIENT else "worker"), messages)
            if peer == CLIENT:
                finished += sum(len(m.tids) for m in messages if isinstance(m, words.Finished))
            else:
                to_worker += [m for m in messages if not isinstance(m, session.Welcome)]
        said = []
        for done in _run(worker, to_worker, ways, calls):
            counted_calls(calls, "scheduler", partial(scheduler.handle, WORKER, done, 0.0))
            said += counted_calls(calls, "scheduler", scheduler.flush)
    _describe(tasks, calls)
    gc.enable()
    assert finished == tasks, f"{finished} of {tasks} finished"
    figures = {f"bytes {way}": count / tasks for way, count in ways.bytes.items()}
    figures |= {f"messages {way}": count / tasks for way, count in ways.messages.items()}
    figures |= {f"calls in the {role}": count / tasks for role, count in calls.items()}
    figures |= {f"writes {way}": count / tasks for way, count in ways.writes.items()}
    figures["allocations in the scheduler, pending"] = blocks / tasks
    figures["bytes of memory in the scheduler, pending"] = memory / tasks
    return figures


def _submit(scheduler: SchedulerCore, tasks: int, ways: Ways) -> tuple[int, int]:
    """Submit the map; the memory that it takes in the scheduler: bytes, and allocations."""
    first = first_id(1)
    tracemalloc.start()
    before, blocks = tracemalloc.get_traced_memory()[0], sys.getallocatedblocks()
    for at in range(0, tasks, 10_000):
        count = min(10_000, tasks - at)
        args = [ARGS + b"%d" % row for row in range(count)]
        submit = words.Submit(first + at, [first], args, [], [], [], [], wanted=True, options={})
        ways.count("client → scheduler", [submit])
        scheduler.handle(CLIENT, submit, 0.0)
        while scheduler.busy:
            scheduler.work()
    memory = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return memory, sys.getallocatedblocks() - blocks


def _describe(tasks: int, calls: Counter[str]) -> None:
    """Let a client describe such a map and hear what became of it, short of making futures."""
    core = ClientCore("counted")
    core.handle([session.Welcome(CLIENT, "counted", 0)])
    describer = Describer(core, core, 1 << 20, threading.Lock())
    describer.calls(neg, [range(2)], {})  # the first one looks at modules
    count = partial(counted_calls, calls, "client")
    function, rows = count(partial(describer.calls, neg, [range(tasks)], {}))
    batch, first = count(partial(describer.submit, function, rows, {}))
    count(core.flush)
    for at in range(0, tasks, BATCH):
        size = min(BATCH, tasks - at)
        tids = list(range(first + at, first + at + size))
        done = words.Finished(tids, [5] * size, [b"value"] * size, [-1] * size, [])
        count(partial(core.handle, [done]))
    assert batch.values == [b"value"] * tasks


def _run(
    worker: WorkerCore, messages: list[Message], ways: Ways, calls: Counter[str]
) -> list[words.Done]:
    """Let the worker and an instant runner do it; what the worker reports."""
    reported: list[words.Done] = []

    def flush() -> list[Message]:
        said: list[Message] = []
        for action in worker.flush():
            if isinstance(action, ToRunner):
                ways.count("worker → runner", action.messages)
                said += action.messages
            elif isinstance(action, ToScheduler):
                ways.count("worker → scheduler", action.messages)
                reported.extend(m for m in action.messages if isinstance(m, words.Done))
        return said

    def tell(message: Message) -> None:
        counted_calls(calls, "worker", lambda: worker.on_scheduler(message))

    for message in messages:
        tell(message)
    for message in counted_calls(calls, "worker", flush):
        if not isinstance(message, words.Run):
            continue
        for at in range(0, len(message.attempts), BATCH):
            attempts = message.attempts[at : at + BATCH]
            count = len(attempts)
            done = words.Done(
                attempts, [0] * count, [1e-6] * count, [5] * count, [b"value"] * count
            )
            ways.count("runner → worker", [done])
            counted_calls(calls, "worker", partial(worker.on_runner, 1, done))
            counted_calls(calls, "worker", flush)
    return reported
