"""What one task costs that nobody else's keeps company, counted: see `counting`.

A client submits it, waits for its value, lets go of it, and submits the next. The cores of client,
scheduler and worker do that here without sockets, through links that make the frames and take them
apart; a runner is played that answers at once. Counted are the calls that the interpreter makes in
each of them, decoding and encoding included.
"""

from __future__ import annotations

import gc
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final

from bench.counting import ARGS, CLIENT, WORKER, counted_calls
from trio_dask.client.core import ClientCore
from trio_dask.client.core.submission import Rows
from trio_dask.comm import Link
from trio_dask.messages import Message, session, tasks as words
from trio_dask.scheduler.core import CoreSettings, SchedulerCore
from trio_dask.worker.core import Store, ToRunner, ToScheduler, WorkerCore

if TYPE_CHECKING:
    from collections.abc import Callable

_WARM_UP: Final = 200
_SECRET: Final = "s" * 32


class _Way:
    """From one of them to another."""

    def __init__(self, calls: Counter[str], sender: str, receiver: str) -> None:
        self._calls, self._sender, self._receiver = calls, sender, receiver
        self._from, self._to = Link(), Link()

    def go(self, messages: list[Message]) -> list[Message]:
        """Send them as one frame."""
        counted_calls(self._calls, self._sender, partial(self._from.queue, messages))
        (data,) = self._from.take()
        said: list[Message] = counted_calls(
            self._calls, self._receiver, partial(self._to.feed, data)
        )
        return said


class _Cluster:
    """The cores, and the ways between them."""

    def __init__(self, calls: Counter[str]) -> None:
        self._calls = calls
        self._client = ClientCore("counted", object(), _SECRET)
        self._scheduler = SchedulerCore(CoreSettings(), cluster="counted")
        self._worker = WorkerCore("w", "tcp://w:1", 1, Store())
        self._worker.runner_ready(1)
        names = "client", "scheduler", "worker", "runner"
        self._ways = {(a, b): _Way(calls, a, b) for a in names for b in names if a != b}
        self._scheduler.client_joined(CLIENT, self._client.register(), 0.0)
        joined = session.RegisterWorker("w", "tcp://w:1", 1, 0, {}, {})
        self._scheduler.worker_joined(WORKER, joined, 0.0)
        self._scheduler_says()
        self._worker.flush()
        self._function = self._client.function("noop", b"code")

    def _count(self, role: str, act: Callable[[], object]) -> None:
        counted_calls(self._calls, role, act)

    def _scheduler_says(self) -> None:
        """What it has to say arrives, and makes the others speak."""
        said = counted_calls(self._calls, "scheduler", partial(self._scheduler.flush, 0.0))
        for peer, messages in said:
            if peer == CLIENT:
                heard = self._ways["scheduler", "client"].go(messages)
                self._count("client", partial(self._client.handle, heard))
                continue
            for message in self._ways["scheduler", "worker"].go(messages):
                self._count("worker", partial(self._worker.on_scheduler, message, 0.0))
            self._worker_says()

    def _worker_says(self) -> None:
        for action in counted_calls(self._calls, "worker", self._worker.flush):
            if isinstance(action, ToScheduler):
                for message in self._ways["worker", "scheduler"].go(action.messages):
                    self._count("scheduler", partial(self._scheduler.handle, WORKER, message, 0.0))
                self._scheduler_says()
            elif isinstance(action, ToRunner):
                for message in self._ways["worker", "runner"].go(action.messages):
                    if isinstance(message, words.Run):
                        self._runner_says(message)

    def _runner_says(self, run: words.Run) -> None:
        count = len(run.attempts)
        done = words.Done(
            run.attempts, [0] * count, [1e-6] * count, [5] * count, [b"value"] * count
        )
        for message in self._ways["runner", "worker"].go([done]):
            self._count("worker", partial(self._worker.on_runner, 1, message))
        self._worker_says()

    def one(self) -> None:
        """Submit a task, wait for it, and let go of it."""
        client = self._client
        batch, tid = counted_calls(
            self._calls, "client", partial(client.submit, self._function, Rows([ARGS]), {})
        )
        said, _ = counted_calls(self._calls, "client", partial(client.flush, 0.0))
        for message in self._ways["client", "scheduler"].go(said):
            self._count("scheduler", partial(self._scheduler.handle, CLIENT, message, 0.0))
        self._scheduler_says()
        assert batch.values[tid - batch.first] == b"value"
        client.table.drops.append(tid)


def run(tasks: int, begin: Callable[[], object] = bool) -> dict[str, float]:
    """Calls for each of so many tasks, by process; without what only the first ones cost.

    `begin` is called when those are done.
    """
    gc.collect()
    gc.disable()
    try:
        calls = Counter[str]()
        cluster = _Cluster(calls)
        for _ in range(_WARM_UP):
            cluster.one()
        calls.clear()
        begin()
        for _ in range(tasks):
            cluster.one()
    finally:
        gc.enable()
    return {f"calls in the {role}": count / tasks for role, count in sorted(calls.items())}
