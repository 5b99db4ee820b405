"""A scheduler's core among made-up workers that are busy: as many as one likes, in one process."""

from __future__ import annotations

import math
import random
from functools import cache, partial
from typing import Any

from tests.dashboard import looks
from trio_dask.eventlog import LogLines
from trio_dask.messages import Message, session, tasks as words
from trio_dask.messages.failure import Failure
from trio_dask.messages.ids import first_id
from trio_dask.scheduler import CoreSettings, SchedulerCore
from trio_dask.scheduler.hand import NAME, Hand
from trio_dask.scheduler.observing import SchedulerView

NAMES = [
    "load_partition", "clean", "tokenize", "shuffle-split", "shuffle-join", "groupby-sum",
    "train_model", "evaluate", "write_parquet", "checksum",
]  # fmt: skip
#: How long a task of each takes, seconds.
LASTS = [0.08, 0.03, 0.15, 0.01, 0.012, 0.05, 0.9, 0.3, 0.2, 0.002]
_TRACEBACK = (
    'Traceback (most recent call last):\n  File "pipeline.py", line 41, in clean\n'
    "    return table.astype({{'price': float}})\nValueError: could not convert string to float: 'n/a {0}'\n"
)
_CLIENT = 1
_HAND = 2


class BusyCluster:
    """Workers run what they are given, in a time of their own; a client wants more and more."""

    def __init__(
        self,
        workers: int,
        *,
        slots: int = 2,
        seed: int = 1,
        failing: float = 0.002,
        now: float = 0.0,
    ) -> None:
        self.core = SchedulerCore(CoreSettings(), cluster="0123456789abcdef")
        self.random = random.Random(seed)
        self.failing = failing
        #: Functions whose tasks do not end.
        self.stuck: set[str] = set()
        self.slots = slots
        self._listener: Any = None
        self.now = now
        self.view = SchedulerView(
            self.core.state, self._overhear, address="tcp://192.0.2.10:8786", now=now,
            ask=self._ask, logs=partial(looks.scheduler_logs, now),
        )  # fmt: skip
        self._running: dict[int, list[tuple[float, float, int, str]]] = {}  # end, seconds, attempt
        self._queued: dict[int, list[tuple[int, str]]] = {}
        self._names: dict[int, str] = {}
        self._next = 0
        self._first = 0
        self._joined = 0
        self.cpu: dict[int, float] = {}
        for _ in range(workers):
            self.join()

    def _overhear(self, listener: Any) -> None:
        self._listener = listener

    async def _ask(self, topic: str, params: dict[str, Any]) -> dict[str, Any]:
        """What workers say of themselves, which is made up."""
        state = self.core.state
        workers = params.get("workers") or list(state.workers)
        found = [state.find_worker(name) for name in workers]
        if None in found:
            msg = f"there is no worker {workers[found.index(None)]!r}"
            raise ValueError(msg)
        if topic not in ("profile", "call_stack", "logs", "task_logs"):
            return await self._hand().ask(topic, params)
        if topic == "profile":
            said = looks.profile(params.get("name", ""))
            return looks.answers({each.address: said for each in found if each is not None})
        if topic == "task_logs":
            first = next(each for each in found if each is not None)
            return looks.answers({first.address: looks.words()})
        if topic == "logs":
            return looks.answers({each.address: looks.logs() for each in found if each is not None})
        keys = params.get("keys")
        running = {
            each.address: [
                (state.key_of(task), task.spec.function.prefix.name)
                for task in list(each.window.values())[: self.slots]
                if task.spec.function is not None and (not keys or state.key_of(task) in keys)
            ]
            for each in found
            if each is not None
        }
        return looks.answers({address: looks.stacks(some) for address, some in running.items()})

    @cache  # noqa: B019 - it lives as long as the tests' cluster
    def _hand(self) -> Hand:
        """What orders come by, as in a scheduler."""
        self.core.local_joined(_HAND, NAME)

        def say(message: Message) -> None:
            self.tell(_HAND, message)
            self.flush()

        return Hand(say, LogLines(lambda: self.now))

    def tell(self, peer: int, message: Message) -> None:
        """A peer says something."""
        if self._listener is not None:
            self._listener(peer, message, self.now)
        self.core.handle(peer, message, self.now)

    # ------------------------------------------------------------ who is there

    def join(self) -> None:
        """One worker more."""
        number, self._joined = self._joined, self._joined + 1
        peer, host = 10 + number, f"node-{number // 8:03d}"
        info = {"host": host, "pid": 4000 + peer, "python": "3.11.9", "local_directory": "/scratch"}
        self.core.worker_joined(
            peer,
            session.RegisterWorker(
                f"{host}-{number % 8}",
                f"tcp://{host}:{40_000 + number}",
                self.slots,
                8 << 30,
                {},
                info,
            ),
            self.now,
        )
        self._running[peer], self._queued[peer], self.cpu[peer] = [], [], 0.0
        self.beat(peer)
        self.flush()

    def leave(self, peer: int) -> None:
        """It dies."""
        del self._running[peer], self._queued[peer]
        self.core.left(peer, "it died")
        self.flush()

    def beat(self, peer: int) -> None:
        """A heartbeat."""
        self.cpu[peer] += self.random.uniform(2, 10)
        rss = int((0.2 + 0.5 * self.random.random() ** 2 + 0.25 * (peer % 13 == 0)) * (8 << 30))
        runner = {"pid": 1, "rss": rss, "cpu_s": self.cpu[peer]}
        self.tell(peer, session.Heartbeat({"rss": 1 << 26, "runner": runner}))

    def client(self) -> None:
        """Somebody who will submit."""
        self.core.client_joined(_CLIENT, session.RegisterClient("client-laptop-4711"))
        self._first = self._next = first_id(1)
        fids = [self._first + at for at in range(len(NAMES))]
        self.tell(_CLIENT, words.Functions(fids, NAMES, [b"code"] * len(NAMES)))

    def submit(self, name: str, count: int, deps: list[int] | None = None) -> list[int]:
        """Tasks of one function; `deps`: one input for each."""
        first, fid = self._next, self._first + NAMES.index(name)
        self._next += count
        counts = [1] * count if deps else []
        args = [b"x"] * count
        self.tell(
            _CLIENT,
            words.Submit(first, [fid], args, counts, deps or [], [], [], wanted=True, options={}),
        )
        self.flush()
        return list(range(first, first + count))

    def release(self, tids: list[int]) -> None:
        """The client lets go of these."""
        self.tell(_CLIENT, words.Release(tids))
        self.flush()

    # ------------------------------------------------------------ time

    def flush(self) -> None:
        """Take in what the core says."""
        while self.core.busy:
            self.core.work(8)
        for peer, messages in self.core.flush():
            if peer == _HAND:
                self._hand().hear(messages)
            for message in messages if peer in self._queued else []:
                if isinstance(message, words.Functions):
                    self._names |= dict(zip(message.fids, message.names, strict=True))
                elif isinstance(message, words.Run):
                    names = [self._names[fid] for fid in message.fids]
                    self._queued[peer] += zip(message.attempts, names, strict=True)
                elif isinstance(message, words.Recall):
                    back = set(message.attempts)
                    gone = [each for each in self._queued[peer] if each[0] in back]
                    if gone:
                        self._queued[peer] = [e for e in self._queued[peer] if e[0] not in back]
                        self.tell(peer, words.Returned([attempt for attempt, _ in gone]))

    def run(self, until: float, step: float = 0.05) -> None:
        """Let time pass."""
        while self.now + step <= until:
            self.now += step
            self._turn()

    def _turn(self) -> None:
        for peer, running in self._running.items():
            ended = sorted(each for each in running if each[0] <= self.now)
            if ended:
                self._running[peer] = [each for each in running if each[0] > self.now]
                self._say_done(peer, ended)
            while len(self._running[peer]) < self.slots and self._queued[peer]:
                attempt, name = self._queued[peer].pop(0)
                lasts = LASTS[NAMES.index(name)] * self.random.uniform(0.5, 1.6)
                lasts = math.inf if name in self.stuck else lasts
                self._running[peer].append((self.now + lasts, lasts, attempt, name))
            if self.random.random() < 0.01:
                self.beat(peer)
        self.core.tick(self.now)
        self.flush()

    def _say_done(self, peer: int, ended: list[tuple[float, float, int, str]]) -> None:
        statuses, values = [], []
        for _, _, _, name in ended:
            bad = self.random.random() < (self.failing if name == "clean" else 0)
            statuses.append(words.ERROR if bad else words.OK_HELD)
            values.append(self._failure() if bad else b"")
        self.tell(
            peer,
            words.Done(
                [attempt for _, _, attempt, _ in ended], statuses, [lasts for _, lasts, _, _ in ended],
                [int(self.random.uniform(1e5, 5e7)) for _ in ended], values,
            ),
        )  # fmt: skip

    def _failure(self) -> bytes:
        number = self.random.randrange(1000)
        return Failure(
            kind="ValueError",
            message=f"could not convert string to float: 'n/a {number}'",
            traceback=_TRACEBACK.format(number),
        ).to_bytes()
