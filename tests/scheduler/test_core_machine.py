"""Whatever clients and workers do, in whatever order: the books balance and answers are final."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from trio_dask.messages import session, tasks as words
from trio_dask.messages.ids import first_id
from trio_dask.scheduler.core import CoreSettings, SchedulerCore
from trio_dask.scheduler.core.invariants import check

if TYPE_CHECKING:
    from trio_dask.messages import Message

RESOURCES = {"GPU": 1.0}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"retries": 1},
    {"priority": 3},
    {"workers": ["w0"]},
    {"workers": ["w1"], "allow_other_workers": True},
    {"resources": {"GPU": 0.5}},
    {"resources": {"GPU": 1}, "retries": 2},
]
FINAL = (words.Finished, words.Failed, words.Cancelled, words.Lost)


class AClient:
    """What a client knows: the ids it wants, and the last thing said of each."""

    def __init__(self) -> None:
        self.first = 0
        self.used = 0
        self.fid = 0  # this and the next are in use
        self.said: dict[int, type | None] = {}
        self.open_puts: dict[int, None] = {}

    def hear(self, message: Message) -> None:
        """Take in an answer: one end for each, unless it is taken back."""
        if isinstance(message, session.Welcome):
            self.first = self.fid = first_id(message.number)
        elif isinstance(message, words.Again):
            for tid in message.tids:
                if tid in self.said:
                    assert self.said[tid] is words.Finished, f"{tid:x} was never finished"
                    self.said[tid] = None
        elif isinstance(message, FINAL):
            for tid in message.tids:
                if tid in self.said:
                    # A value that cannot be made again may be lost after it was there.
                    lost = self.said[tid] is words.Finished and isinstance(message, words.Lost)
                    assert lost or self.said[tid] is None, (
                        f"{tid:x}: {self.said[tid]}, then {message}"
                    )
                    self.said[tid] = type(message)


class AWorker:
    """What a worker has been given and not answered, and what it holds."""

    def __init__(self, number: int) -> None:
        self.name = f"w{number}"
        self.address = f"tcp://host:{number}"
        self.nthreads = 1 + number % 2
        self.attempts: dict[int, tuple[int, list[int]]] = {}  # task, and inputs held elsewhere
        self.asked_back: dict[int, None] = {}
        self.functions: set[int] = set()
        self.held: dict[int, None] = {}
        self.freed_later: dict[int, None] = {}

    def hear(self, message: Message) -> None:
        """Take in what is to be done."""
        if isinstance(message, words.Functions):
            self.functions |= set(message.fids)
        elif isinstance(message, words.ForgetFunctions):
            self.functions -= set(message.fids)
        elif isinstance(message, words.Run):
            deps = iter(zip(message.dep_tids, message.dep_at, strict=True))
            for row, attempt in enumerate(message.attempts):
                assert message.fids[row] in self.functions
                assert attempt not in self.attempts
                count = message.dep_counts[row] if message.dep_counts else 0
                inputs = [next(deps) for _ in range(count)]
                far = [tid for tid, at in inputs if at != words.INLINE]
                self.attempts[attempt] = (message.tids[row], far)
            assert next(deps, None) is None
        elif isinstance(message, words.Recall):
            self.asked_back.update(dict.fromkeys(message.attempts))
        elif isinstance(message, words.Free):
            for tid in message.tids:
                self.held.pop(tid, None)


class Machine(RuleBasedStateMachine):
    """A core among peers that do as they please, as far as they may."""

    def __init__(self) -> None:
        super().__init__()
        self.core = SchedulerCore(CoreSettings(allowed_failures=1), cluster="test")
        self.now = 0.0
        self.peers = 0
        self.clients: dict[int, AClient] = {}
        self.workers: dict[int, AWorker] = {}

    # ---------------------------------------------------------------- helpers

    def tell(self, peer: int, message: Message) -> None:
        """The peer says something, and the scheduler answers."""
        self.core.handle(peer, message, self.now)
        self.hear()

    def hear(self) -> None:
        """Everyone hears what there is to hear."""
        for peer, messages in self.core.flush():
            who = self.clients.get(peer) or self.workers.get(peer)
            for message in messages:
                if who is not None:
                    who.hear(message)

    def some_client(self, data: st.DataObject) -> tuple[int, AClient]:
        """Any client."""
        return data.draw(st.sampled_from(sorted(self.clients.items(), key=lambda item: item[0])))

    def some_worker(self, data: st.DataObject) -> tuple[int, AWorker]:
        """Any worker."""
        return data.draw(st.sampled_from(sorted(self.workers.items(), key=lambda item: item[0])))

    def some_of(self, data: st.DataObject, what: Any, most: int = 3) -> list[Any]:
        """A few of these, each once."""
        every = list(what)
        if not every:
            return []
        return data.draw(st.lists(st.sampled_from(every), unique=True, max_size=most))

    def some_attempts(self, data: st.DataObject, worker: AWorker) -> list[int]:
        """A few attempts, which are taken from the worker."""
        return self.some_of(data, worker.attempts)

    # ---------------------------------------------------------------- coming and going

    @initialize()
    def begin(self) -> None:
        """One of each is there."""
        self.join_client()
        self.join_worker(0)

    @precondition(lambda self: len(self.clients) < 3)
    @rule()
    def join_client(self) -> None:
        """A client joins."""
        self.peers += 1
        client = self.clients[self.peers] = AClient()
        self.core.client_joined(self.peers, session.RegisterClient("c"))
        self.hear()
        fids = [client.first, client.first + 1]
        self.tell(self.peers, words.Functions(fids, ["f", "g"], [b"F", b"G"]))

    @rule(number=st.integers(0, 3))
    def join_worker(self, number: int) -> None:
        """A worker joins, if it is not there."""
        worker = AWorker(number)
        if worker.name in [each.name for each in self.workers.values()]:
            return
        self.peers += 1
        self.workers[self.peers] = worker
        message = session.RegisterWorker(
            worker.name, worker.address, worker.nthreads, 0, dict(RESOURCES), {}
        )
        self.core.worker_joined(self.peers, message, self.now)
        self.hear()

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def leave_client(self, data: st.DataObject) -> None:
        """A client's connection ends."""
        peer, _ = self.some_client(data)
        del self.clients[peer]
        self.core.left(peer, "test")
        self.hear()

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def leave_worker(self, data: st.DataObject) -> None:
        """A worker's connection ends."""
        peer, _ = self.some_worker(data)
        del self.workers[peer]
        self.core.left(peer, "te\ud800st")
        self.hear()

    # ---------------------------------------------------------------- clients

    @precondition(lambda self: self.clients)
    @rule(
        data=st.data(),
        count=st.sampled_from([1, 2, 5, 5, 1200]),
        options=st.sampled_from(OPTIONS),
        keyed=st.booleans(),
        wanted=st.sampled_from([True, True, True, False]),
        ordered=st.booleans(),
        seed=st.integers(0, 1 << 16),
    )
    def submit(
        self,
        data: st.DataObject,
        count: int,
        options: dict[str, Any],
        seed: int,
        *,
        keyed: bool,
        wanted: bool,
        ordered: bool,
    ) -> None:
        """New tasks, with inputs among themselves and what the client wants."""
        peer, client = self.some_client(data)
        chance = random.Random(seed)
        first = client.first + client.used
        client.used += count
        counts, flat = [], []
        old = list(client.said)[-8:]
        for row in range(count):
            near = old + list(range(first + max(0, row - 4), first + row))
            deps = chance.sample(near, min(len(near), chance.choice((0, 0, 1, 2, 3))))
            counts.append(len(deps))
            flat += deps
        message = words.Submit(
            first,
            [client.fid + chance.randrange(2) for _ in range(chance.choice((1, count)))],
            [b"x"] * count,
            counts if flat else [],
            flat,
            [f"key-{chance.randrange(8)}" for _ in range(count)] if keyed else [],
            chance.sample(range(count), count) if ordered else [],
            wanted,
            dict(options),
        )
        if wanted:
            client.said.update(dict.fromkeys(range(first, first + count)))
        self.tell(peer, message)

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), everything=st.booleans())
    def release(self, data: st.DataObject, *, everything: bool) -> None:
        """Some are not wanted any more."""
        peer, client = self.some_client(data)
        tids = list(client.said) if everything else self.some_of(data, client.said)
        for tid in tids:
            client.said.pop(tid, None)
            client.open_puts.pop(tid, None)
        self.tell(peer, words.Release(tids))

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def want(self, data: st.DataObject) -> None:
        """A client wants what another one made."""
        peer, client = self.some_client(data)
        _, other = self.some_client(data)
        for target in self.some_of(data, other.said):
            tid = client.first + client.used
            client.used += 1
            client.said[tid] = None
            self.tell(peer, words.Want([tid], [target]))

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), kind=st.sampled_from(["keep", "cancel", "cancel"]))
    def keep_or_cancel(self, data: st.DataObject, kind: str) -> None:
        """Some are to run in any case, or in none."""
        peer, client = self.some_client(data)
        tids = self.some_of(data, client.said)
        self.tell(peer, words.Keep(tids) if kind == "keep" else words.Cancel(tids, "\ud800"))

    @precondition(lambda self: self.clients and not self.core.busy)
    @rule(data=st.data())
    def unreachable(self, data: st.DataObject) -> None:
        """A value was not where it should be.

        Behind a large job it would wait, and nobody here could tell what is the answer to it.
        """
        peer, client = self.some_client(data)
        tids = self.some_of(data, [t for t, said in client.said.items() if said is words.Finished])
        address = data.draw(st.sampled_from([f"tcp://host:{number}" for number in range(4)]))
        for tid in tids:
            task = self.core.state.tasks.get(tid)
            if task is not None and task.holders:
                client.said[tid] = None  # it asks for another answer
                self._drop(address, task.tid)
                self.core.handle(peer, words.Unreachable([tid], address), self.now)
                # If the value is made again, that is said; the others hear only this.
                client.said[tid] = words.Finished if self._says_again(peer, tid) else None
                self.hear()

    def _says_again(self, peer: int, tid: int) -> bool:
        out = self.core.state.peers[peer].out
        told = [each for each in out.messages if isinstance(each, words.Again | words.Finished)]
        return any(isinstance(each, words.Again) and tid in each.tids for each in told)

    def _drop(self, address: str, tid: int) -> None:
        for worker in self.workers.values():
            if worker.address == address:
                worker.held.pop(tid, None)

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), broadcast=st.booleans(), named=st.booleans())
    def put(self, data: st.DataObject, *, broadcast: bool, named: bool) -> None:
        """A value of the client's own."""
        peer, client = self.some_client(data)
        tid = client.first + client.used
        client.used += 1
        client.said[tid] = None
        client.open_puts[tid] = None
        self.tell(peer, words.Put([tid], [10], ["w0"] if named else [], broadcast))

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        """A function will not be used again; the next one is sent."""
        peer, client = self.some_client(data)
        gone = client.fid
        client.fid += 1
        self.tell(peer, words.Functions([client.fid + 1], ["f"], [b"F"]))
        self.tell(peer, words.ForgetFunctions([gone]))

    # ---------------------------------------------------------------- workers

    @precondition(lambda self: self.workers)
    @rule(
        data=st.data(),
        status=st.sampled_from([words.OK_INLINE, words.OK_HELD, words.OK_HELD, words.ERROR]),
        seconds=st.sampled_from([0.0, 1e-5, 0.01, 5.0, float("nan")]),
        everything=st.booleans(),
    )
    def done(self, data: st.DataObject, status: int, seconds: float, *, everything: bool) -> None:
        """Attempts end."""
        peer, worker = self.some_worker(data)
        attempts = list(worker.attempts) if everything else self.some_attempts(data, worker)
        self._end(peer, worker, attempts, status, seconds)

    def _end(
        self, peer: int, worker: AWorker, attempts: list[int], status: int, seconds: float
    ) -> None:
        for attempt in attempts:
            tid, _ = worker.attempts.pop(attempt)
            worker.asked_back.pop(attempt, None)
            if status == words.OK_HELD:
                worker.held[tid] = None
        count = len(attempts)
        value = b"oops" if status == words.ERROR else b"v" if status == words.OK_INLINE else b""
        message = words.Done(attempts, [status] * count, [seconds] * count, [8] * count,
                             [value] * count)  # fmt: skip
        self.tell(peer, message)

    @precondition(lambda self: any(each.asked_back for each in self.workers.values()))
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        """What was asked back had not begun."""
        for peer, worker in self.workers.items():
            attempts = [each for each in worker.asked_back if each in worker.attempts]
            worker.asked_back.clear()
            for attempt in attempts:
                del worker.attempts[attempt]
            self.tell(peer, words.Returned(attempts))

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), pinned=st.booleans(), missing=st.booleans())
    def cannot_start(self, data: st.DataObject, *, pinned: bool, missing: bool) -> None:
        """An input is not where it should be, or cannot leave it."""
        peer, worker = self.some_worker(data)
        for attempt, (_, far) in list(worker.attempts.items())[:2]:
            places = [each for each in self.workers.values() if far and far[0] in each.held]
            if not far or (pinned and (not places or worker in places)):
                continue
            del worker.attempts[attempt]
            worker.asked_back.pop(attempt, None)
            place = " ".join(each.address for each in places)
            if pinned:
                self.tell(peer, words.Pinned([attempt], far[:1], [place], [b"stuck"]))
            elif missing:
                for each in places:
                    each.held.pop(far[0], None)
                self.tell(peer, words.Unrunnable([attempt], far[:1], [place]))
            else:
                self.tell(peer, words.Returned([attempt]))

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def replicas(self, data: st.DataObject) -> None:
        """A worker fetched inputs."""
        peer, worker = self.some_worker(data)
        tids = self.some_of(data, {tid: None for _, far in worker.attempts.values() for tid in far})
        worker.held.update(dict.fromkeys(tids))
        self.tell(peer, words.Replicas(tids))

    @precondition(lambda self: self.workers and self.clients)
    @rule(data=st.data())
    def stored(self, data: st.DataObject) -> None:
        """A value arrives at a worker."""
        peer, worker = self.some_worker(data)
        _, client = self.some_client(data)
        tids = self.some_of(data, client.open_puts)
        worker.held.update(dict.fromkeys(tids))
        self.tell(peer, words.Stored(tids, [10] * len(tids)))

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), begun=st.integers(0, 2))
    def runner_dies(self, data: st.DataObject, begun: int) -> None:
        """The process ends, with all it had but for functions, which the worker keeps; a new one comes."""
        peer, worker = self.some_worker(data)
        attempts = list(worker.attempts)
        lost = list(worker.held)
        worker.attempts.clear()
        worker.asked_back.clear()
        worker.held.clear()
        self.tell(peer, words.Slots(0))
        died = words.RunnerDied(attempts[:begun], attempts[begun:], lost, {"signal": 9})
        self.tell(peer, died)
        self.tell(peer, words.Slots(worker.nthreads))

    # ---------------------------------------------------------------- time

    @rule(seconds=st.sampled_from([0.1, 1.0, 100.0]))
    def tick(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds
        self.core.tick(self.now)
        self.hear()

    @precondition(lambda self: self.core.busy)
    @rule(slices=st.integers(1, 3))
    def work(self, slices: int) -> None:
        """Some of what is large is done."""
        assert self.core.work(slices) == []
        self.hear()

    @invariant()
    def books(self) -> None:
        """What must be true is, whenever no large job is under way."""
        if not self.core.busy:
            check(self.core.state)

    def teardown(self) -> None:
        """When all clients are gone and all attempts answered, nothing is left."""
        self._finish_jobs()
        for peer in list(self.clients):
            del self.clients[peer]
            self.core.left(peer, "test")
        self._finish_jobs()
        self.join_worker(0)
        self.join_worker(1)
        for _ in range(10_000):
            if not any(worker.attempts for worker in self.workers.values()):
                break
            for peer, worker in self.workers.items():
                self._end(peer, worker, list(worker.attempts), words.OK_INLINE, 0.001)
        self._finish_jobs()
        self.core.tick(self.now + 1)
        self.hear()
        self._nothing_left()

    def _finish_jobs(self) -> None:
        while self.core.busy:
            assert self.core.work() == []
        self.hear()
        check(self.core.state)

    def _nothing_left(self) -> None:
        state = self.core.state
        tables = (
            "tasks", "keys", "names", "refs", "retried", "deaths", "cancelling", "puts", "pinned",
            "waiting_puts", "waiting_asks", "unused_functions", "homes",
        )  # fmt: skip
        left = {name: getattr(state, name) for name in tables if getattr(state, name)}
        assert not left
        for worker in state.workers.values():
            assert not (worker.window)
            assert not (worker.held)
            assert not (worker.load)
            assert not (worker.recalled)
            assert worker.free_resources == worker.resources
            assert not worker.functions
        for known in self.workers.values():
            assert not known.functions


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
