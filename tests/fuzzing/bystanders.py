"""A scheduler core among honest peers, who must not notice what a hostile one says."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from tests.fuzzing.wire import heard, said
from trio_dask.errors import LocalProtocolError, RemoteProtocolError
from trio_dask.messages import Message, encode, nested, session, tasks as words
from trio_dask.messages.ids import first_id
from trio_dask.scheduler.core import CoreSettings, Misuse, SchedulerCore
from trio_dask.scheduler.core.invariants import check
from trio_dask.scheduler.core.keeping import let_go

CLIENT, W0, W1, STRANGER = 1, 10, 11, 99
#: An honest client's first task id, and the one that a hostile client gets.
FIRST: Final = first_id(1)
THEIRS: Final = first_id(2)
ROUNDS_MAX: Final = 2000
TABLES: Final = (
    "tasks", "keys", "names", "refs", "retried", "deaths", "cancelling", "puts", "pinned",
    "waiting_puts", "waiting_asks", "homes",
)  # fmt: skip
FINAL: Final = (words.Finished, words.Failed, words.Cancelled, words.Lost)


class AClient:
    """Wants a few tasks and values, and stores what it has put."""

    def __init__(self) -> None:
        self.open: dict[int, None] = {}  # wanted, and without an end so far
        self.answers = 0
        self.late: list[words.PutAt] = []  # what it has not stored yet

    def begin(self) -> list[Message]:
        """Tasks with inputs and keys, and a value of its own."""
        deps: tuple[list[int], ...] = ([], [FIRST], [FIRST, FIRST + 1], [])
        self.open.update(dict.fromkeys(range(FIRST, FIRST + 11)))
        return [
            words.Functions([FIRST, FIRST + 1], ["inc", "add"], [b"INC", b"ADD"]),
            words.Submit(
                FIRST, [FIRST], [b"a"] * 4, [len(each) for each in deps],
                [tid for each in deps for tid in each], [], [], wanted=True, options={"retries": 1},
            ),
            words.Submit(
                FIRST + 4, [FIRST + 1], [b"a"], [1], [FIRST + 2], ["key"], [], wanted=True,
                options={"workers": ["w1"], "resources": {"GPU": 0.5}},
            ),
            words.Put([FIRST + 5], [10], [], broadcast=False),
            words.Submit(
                FIRST + 6, [FIRST], [b"a"], [1], [FIRST + 5], [], [], wanted=True, options={}
            ),
            words.Put([FIRST + 7], [10], [], broadcast=False),
            words.Submit(
                FIRST + 8, [FIRST], [b"a"], [1], [FIRST + 7], [], [], wanted=True, options={}
            ),
            words.Want([FIRST + 9, FIRST + 10], [FIRST, FIRST + 7]),
        ]  # fmt: skip

    def hear(self, message: Message) -> None:
        """Take in an answer."""
        if isinstance(message, words.Again):
            self.open.update(dict.fromkeys(message.tids))
        elif isinstance(message, FINAL):
            for tid in message.tids:
                self.open.pop(tid, None)
        elif isinstance(message, session.Answer):
            self.answers += 1


class AWorker:
    """Runs what it is given: at once, or when it is told to."""

    def __init__(self, name: str, *, eager: bool) -> None:
        self.name = name
        self.address = f"tcp://{name}:1"
        self.eager = eager
        self.given: dict[int, tuple[int, list[tuple[int, str]]]] = {}
        self.held: dict[int, None] = {}
        self.recalled: list[int] = []

    def hear(self, message: Message) -> None:
        """Take in what is to be done."""
        if isinstance(message, words.Run):
            deps = iter(zip(message.dep_tids, message.dep_at, strict=True))
            for row, attempt in enumerate(message.attempts):
                count = message.dep_counts[row] if message.dep_counts else 0
                far = [next(deps) for _ in range(count)]
                places = [(tid, message.places[at]) for tid, at in far if at != words.INLINE]
                self.given[attempt] = message.tids[row], places
        elif isinstance(message, words.Recall):
            self.recalled += message.attempts
        elif isinstance(message, words.Free):
            for tid in message.tids:
                self.held.pop(tid, None)

    def answers(self, holders: dict[str, AWorker], *, everything: bool) -> list[Message]:
        """What it has to say to that."""
        out: list[Message] = []
        back = [attempt for attempt in self.recalled if self.given.pop(attempt, None)]
        self.recalled.clear()
        if back:
            out.append(words.Returned(back))
        while self.given and (self.eager or everything):
            attempt = next(iter(self.given))
            tid, inputs = self.given.pop(attempt)
            missing = [
                (dep, places)
                for dep, places in inputs
                if not any(dep in holders[at].held for at in places.split() if at in holders)
            ]
            if missing:
                deps, places_ = [dep for dep, _ in missing], [at for _, at in missing]
                out.append(words.Unrunnable([attempt] * len(deps), deps, places_))
                continue
            held = tid % 2 == 0
            if held:
                self.held[tid] = None
            status, value = (words.OK_HELD, b"") if held else (words.OK_INLINE, b"v")
            out.append(words.Done([attempt], [status], [0.01], [8], [value]))
        return out


class Bystanders:
    """An honest client and two honest workers around a core; and somebody else."""

    def __init__(self) -> None:
        self.core = SchedulerCore(CoreSettings(allowed_failures=1), cluster="fuzz")
        self.now = 0.0
        self._ending = False
        self.client = AClient()
        self.workers = {W0: AWorker("w0", eager=True), W1: AWorker("w1", eager=False)}
        self.core.client_joined(CLIENT, session.RegisterClient("honest"))
        for peer, worker in self.workers.items():
            register = session.RegisterWorker(
                worker.name, worker.address, 2, 1 << 30, {"GPU": 1.0}, {"pid": peer}
            )
            self.core.worker_joined(peer, register, self.now)
        for message in self.client.begin():
            self.core.handle(CLIENT, message, self.now)
        self.deliver()

    def deliver(self) -> None:
        """Everyone hears what there is to hear; honest peers get only what can be sent."""
        while self.core.busy:
            assert all(peer == STRANGER for peer, _ in self.core.work())
        for peer, messages in self.core.flush():
            if peer == STRANGER:
                with suppress(LocalProtocolError):  # then it is cut off
                    encode(messages)
                continue
            for message in heard(said(messages)):
                self._hear(peer, message)

    def _hear(self, peer: int, message: Message) -> None:
        if peer == CLIENT:
            if isinstance(message, words.PutAt):
                late = FIRST + 7 in message.tids and not self._ending
                self.client.late += [message] * late
                self._store([] if late else [message])
            self.client.hear(message)
        else:
            self.workers[peer].hear(message)

    def _store(self, said: list[words.PutAt]) -> None:
        by_address = {worker.address: peer for peer, worker in self.workers.items()}
        for message in said:
            for tid, at in zip(message.tids, message.at, strict=True):
                peer = by_address.get(message.places[at])
                if peer is not None:
                    self.workers[peer].held[tid] = None
                    self.core.handle(peer, words.Stored([tid], [10]), self.now)

    def rest(self, *, everything: bool = False) -> None:
        """Honest peers answer until there is nothing more to say."""
        holders = {worker.address: worker for worker in self.workers.values()}
        for _ in range(ROUNDS_MAX):
            self.deliver()
            said_something = False
            for peer, worker in self.workers.items():
                for answer in worker.answers(holders, everything=everything):
                    said_something = True
                    self.core.handle(peer, answer, self.now)
            if not said_something and not self.core.busy and not self.core.state.dirty:
                return
        msg = "it never comes to rest"
        raise AssertionError(msg)

    def listen(self, data: bytes) -> None:
        """What the stranger says, up to the point where it is let go."""
        try:
            for message in heard(data):
                self.core.handle(STRANGER, message, self.now)
                self.now += 0.25
                self.core.tick(self.now)
                self.rest()
                check(self.core.state)
        except (Misuse, RemoteProtocolError):
            pass
        self._ask()

    def _ask(self) -> None:
        """The honest client asks how things are, and is answered."""
        for serial, topic in enumerate(("info", "counts", "nthreads", "who_has")):
            ask = session.Ask(serial, topic, {"tids": [FIRST, FIRST + 1]})
            self.core.handle(CLIENT, ask, self.now)
        self.client.answers = 0
        self.deliver()
        assert self.client.answers == 4

    def _take_out(self) -> None:
        """What is kept in queues and variables stays on purpose, with the tasks in it."""
        records = self.core.state.records
        assert not records.tickets
        assert not records.serials
        assert not records.reading
        assert not len(records.locks) + len(records.semaphores)
        for name in list(records.queues.names()):
            let_go(self.core.state, *records.queues.close(name)[1])
        for name in list(records.variables.names()):
            let_go(self.core.state, records.variables.delete(name))
        let_go(self.core.state, *records.datasets.values())
        assert not records.nbytes

    def end(self) -> None:
        """The stranger is gone: the honest get all they want, and leave nothing behind."""
        self._ending = True
        self.core.left(STRANGER, "fuzz")
        self._store(self.client.late)
        self.rest(everything=True)
        check(self.core.state)
        assert not self.client.open, f"left waiting: {self.client.open}"
        self.core.left(CLIENT, "done")
        self._take_out()
        self.rest(everything=True)
        self.core.tick(self.now + 1)
        self.rest(everything=True)
        state = self.core.state
        honest = list(self.workers.values())
        assert {each.address for each in honest} == set(state.workers)
        assert {each.name for each in honest} == set(state.worker_names)
        left = {name: getattr(state, name) for name in TABLES if getattr(state, name)}
        assert not left, f"left behind: {left}"
        for worker in state.workers.values():
            assert not (worker.window)
            assert not (worker.held)
            assert not (worker.load)
            assert not (worker.recalled)
            assert not (worker.parked)
            assert not (worker.nested)
            assert worker.free_resources == worker.resources


def hostile_client(data: bytes) -> None:
    """An authenticated client that says anything at all."""
    cluster = Bystanders()
    cluster.core.client_joined(STRANGER, session.RegisterClient("hostile"))
    cluster.listen(data)
    cluster.end()


def hostile_task(data: bytes) -> None:
    """The client inside a task of an honest worker, that says anything at all."""
    cluster = Bystanders()
    worker = cluster.core.state.workers["tcp://w1:1"]
    cluster.core.handle(W1, nested.NumbersWanted(1), cluster.now)
    [number] = worker.numbers
    attempt = next(iter(worker.window))
    cluster.core.nested_joined(STRANGER, W1, nested.NestedJoin(attempt, number))
    cluster.core.handle(W1, nested.Parked([attempt], [1]), cluster.now)
    cluster.listen(data)
    cluster.end()
    assert not cluster.core.state.parting


def hostile_worker(data: bytes) -> None:
    """An authenticated worker that registers as anything and says anything."""
    cluster = Bystanders()
    register = session.RegisterWorker("hostile", "tcp://x:1", 2, 1 << 30, {"GPU": 1.0}, {})
    messages: list[Message] = []
    with suppress(RemoteProtocolError):
        messages += list(heard(data))
    if messages and isinstance(messages[0], session.RegisterWorker):
        first = messages.pop(0)
        assert isinstance(first, session.RegisterWorker)
        register = first
    with suppress(Misuse):
        cluster.core.worker_joined(STRANGER, register, cluster.now)
        cluster.rest()
        cluster.listen(said(messages))
    cluster.end()
