"""Whatever happens in whatever order: the rules that the worker's books obey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.worker.worker_driver import FID, ME, A, B, run
from trio_dask.messages.fleet import Copy, Leave, Uncopied
from trio_dask.messages.inquiring import Told
from trio_dask.messages.tasks import (
    HERE,
    OK_HELD,
    OK_INLINE,
    STOPPED,
    Done,
    ForgetFunctions,
    Free,
    Functions,
    Interrupt,
    Interrupting,
    Recall,
    Replicas,
    Returned,
    Run,
    RunnerDied,
    Slots,
    Stored,
    Unrunnable,
)
from trio_dask.messages.values import ABSENT, FOUND, Fetch, Give, Store as Put, Values
from trio_dask.worker.core import (
    AwaitDrain,
    Depart,
    FetchFrom,
    KillRunner,
    LookUp,
    Spill,
    Store,
    ToPeer,
    ToRunner,
    ToScheduler,
    WorkerCore,
)

if TYPE_CHECKING:
    from trio_dask.messages import Message

FIDS = st.sampled_from([FID, FID, FID, FID + 1])
TIDS = st.integers(1, 6)
PLACES = st.sampled_from(["", A, B, f"{A} {B}", f"{ME} {A}", f"{B} {ME}"])


class WorkerMachine(RuleBasedStateMachine):
    """A core, and around it a scheduler, a runner, other workers and peers that keep the rules."""

    def __init__(self) -> None:
        super().__init__()
        self.core = WorkerCore("me", ME, 2, Store())
        self.last = 0
        self.open: set[int] = set()  # attempts that wait for their one answer
        self.fid_of: dict[int, int] = {}
        self.believed: set[int] = set()  # what the scheduler thinks we hold
        self.up = False
        self.slots: bool | None = None  # what the scheduler was told after its registration
        self.fids: set[int] = set()
        self.queue: list[tuple[int, int]] = []  # in the runner
        self.values: set[int] = set()  # in the runner
        self.exports: list[Fetch] = []
        self.fetches: dict[int, FetchFrom] = {}
        self.sessions: dict[int, dict[int, set[int]]] = {}  # → serial → values not told yet
        self.drains: set[int] = set()
        self.serial = 0
        self.now = 0.0
        self.hears = True  # whether the runner hears what it is told to stop
        self.to_be_killed = False
        self.copies: dict[int, str] = {}  # that it is to have, and has not answered
        self.leaves: list[Leave] = []
        self.departed = False

    # ------------------------------------------------------------ the world around the core

    def act(self) -> None:  # noqa: C901 - a case for each action
        for action in self.core.flush():
            match action:
                case ToRunner(messages):
                    assert self.up
                    for message in messages:
                        self.runner_hears(message)
                case ToPeer(session, messages):
                    for message in messages:
                        self.peer_hears(session, message)
                case FetchFrom(address, serial, tids):
                    assert address != ME
                    asked = [tid for each in self.fetches.values() for tid in each.tids]
                    assert not set(tids) & set(asked), "one fetch for each value"
                    assert not set(tids) & self.values, "what is held is not fetched"
                    assert all(self.core.state.store.get(tid) is None for tid in tids)
                    self.fetches[serial] = action
                case AwaitDrain(session):
                    self.drains.add(session)
                case KillRunner():
                    self.to_be_killed = True
                case LookUp(serial):
                    self.core.told(Told(serial, ok=True, said=[b"looked up"]))
                case Depart() | Spill():
                    assert isinstance(action, Depart), "no memory is short"
                    self.departed = True
                case ToScheduler(messages):
                    for message in messages:
                        self.scheduler_hears(message)

    def runner_hears(self, message: Message) -> None:
        match message:
            case Functions():
                self.fids.update(message.fids)
            case ForgetFunctions():
                assert set(message.fids) <= self.fids
                self.fids.difference_update(message.fids)
            case Give():
                self.values.update(message.tids)
            case Free():
                assert set(message.tids) <= self.values
                self.values.difference_update(message.tids)
            case Fetch():
                self.exports.append(message)
            case Run():
                assert set(message.fids) <= self.fids
                here = zip(message.dep_tids, message.dep_at, strict=True)
                assert {tid for tid, at in here if at == HERE} <= self.values
                self.queue += zip(message.attempts, message.tids, strict=True)
            case Interrupt():
                begun = [attempt for attempt, _ in self.queue[:2]]
                unbegun = [each for each in message.attempts if each not in begun]
                self.queue = [each for each in self.queue if each[0] not in unbegun]
                self.core.on_runner(Returned(unbegun))
                if self.hears:
                    self.core.on_runner(Interrupting(message.attempts))
            case Recall():
                back = [each for each in self.queue if each[0] in message.attempts]
                self.queue = [each for each in self.queue if each not in back]
                self.core.on_runner(Returned([attempt for attempt, _ in back]))
            case _:
                raise AssertionError(message)

    def scheduler_hears(self, message: Message) -> None:
        match message:
            case Done() | Returned():
                self.answered(message.attempts)
            case Unrunnable():
                self.answered(list(dict.fromkeys(message.attempts)))
                self.core.on_scheduler(
                    Free([t for t, p in zip(message.tids, message.places, strict=True) if ME in p])
                )
            case RunnerDied():
                self.answered([*message.running, *message.queued])
                self.believed.difference_update(message.lost)
            case Replicas() | Stored():
                self.believed.update(message.tids)
                for tid in message.tids:
                    self.copies.pop(tid, None)
            case Uncopied():
                for tid in message.tids:
                    self.copies.pop(tid, None)
            case Leave():
                self.leaves.append(message)
            case Slots():
                self.slots = bool(message.nthreads)
            case _:
                raise AssertionError(message)

    def answered(self, attempts: list[int]) -> None:
        for attempt in attempts:
            assert attempt in self.open, f"attempt {attempt} answered twice"
            self.open.remove(attempt)

    def peer_hears(self, session: int, message: Message) -> None:
        if isinstance(message, Values):
            waiting = self.sessions[session][message.serial]
            assert set(message.tids) <= waiting
            waiting.difference_update(message.tids)
            if message.last:
                assert not waiting
                del self.sessions[session][message.serial]

    # ------------------------------------------------------------ what may happen

    @initialize(held=st.integers(0, 3))
    def begin(self, held: int) -> None:
        """There is a runner, with some values, and somebody who may ask for them."""
        self.start_runner()
        self.peer_comes_or_goes(1)
        if held:
            self.run_tasks([{}] * held, FID)
            for _ in range(held):
                self.finish(held=True)

    @precondition(lambda self: not self.up)
    @rule()
    def start_runner(self) -> None:
        self.up, self.fids, self.values, self.queue, self.exports = True, set(), set(), [], []
        self.core.runner_ready()
        self.core.on_scheduler(Functions([FID], ["f"], [b"f"]))
        self.act()

    @precondition(lambda self: self.up)
    @rule(running=st.integers(0, 2))
    def kill_runner(self, running: int) -> None:
        self.up = False
        board = [attempt for attempt, _ in self.queue[:running]]
        self.queue, self.values, self.exports = [], set(), []
        self.to_be_killed = False
        self.core.runner_died(board, {})
        self.act()

    @rule(fid=FIDS, forget=st.booleans())
    def functions(self, fid: int, *, forget: bool) -> None:
        # A scheduler that has not heard of a death yet says it before, after, or twice; what
        # it has not had answers about, it does not let a worker forget.
        if forget and fid in [self.fid_of[attempt] for attempt in self.open]:
            return
        if forget:
            self.core.on_scheduler(ForgetFunctions([fid, fid + 100]))
        else:
            self.core.on_scheduler(Functions([fid], ["f"], [b"f"]))
        self.act()

    @rule(
        rows=st.lists(st.dictionaries(TIDS, PLACES, max_size=3), min_size=1, max_size=3), fid=FIDS
    )
    def run_tasks(self, rows: list[dict[int, str]], fid: int) -> None:
        attempts = range(self.last + 1, self.last + 1 + len(rows))
        self.last = attempts[-1]
        self.open.update(attempts)
        self.fid_of.update(dict.fromkeys(attempts, fid))
        self.core.on_scheduler(run(*zip(attempts, rows, strict=True), fid=fid))
        self.act()

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def recall(self, data: Any) -> None:
        attempts = data.draw(st.lists(st.sampled_from(sorted(self.open)), unique=True))
        self.core.on_scheduler(Recall([*attempts, 10**6]))
        self.act()
        self.act()

    @precondition(lambda self: self.open)
    @rule(data=st.data(), way=st.integers(0, 2), hears=st.booleans())
    def interrupt(self, data: Any, way: int, hears: bool) -> None:
        attempts = data.draw(st.lists(st.sampled_from(sorted(self.open)), unique=True))
        self.hears = hears
        self.core.on_scheduler(Interrupt([*attempts, 10**6], [way] * (len(attempts) + 1)))
        self.act()
        self.act()

    @rule(tids=st.lists(TIDS, min_size=1, unique=True), place=PLACES)
    def copy(self, tids: list[int], place: str) -> None:
        """Each is answered, as had or as not to be had."""
        self.copies.update(dict.fromkeys(tids, place))
        self.core.on_scheduler(Copy(tids, [0] * len(tids), [place]))
        self.act()
        for tid in tids:
            asked = any(tid in fetch.tids for fetch in self.fetches.values())
            assert tid not in self.copies or asked, "not answered, and nobody was asked"

    @rule(patient=st.booleans())
    def drain(self, *, patient: bool) -> None:
        """What has not begun comes back; it says that it is to leave."""
        self.core.drain("its time is over", patient=patient)
        self.act()
        self.act()
        assert self.leaves, "it did not say so"
        begun = [attempt for attempt, _ in self.queue]
        assert self.open.issuperset(begun)

    @precondition(lambda self: self.core.draining)
    @rule(seconds=st.sampled_from([0.05, 0.8, 6.0]))
    def go_on_draining(self, seconds: float) -> None:
        """It comes to an end in its time unless there is patience."""
        self.now += seconds
        self.core.go_on_draining([(attempt, 0.0) for attempt, _ in self.queue[:2]], self.now)
        self.act()
        self.act()

    @precondition(lambda self: self.core.stopping)
    @rule(seconds=st.sampled_from([0.05, 0.3, 2.0, 31.0]))
    def climb(self, seconds: float) -> None:
        self.now += seconds
        self.core.climb([(attempt, 0.0) for attempt, _ in self.queue[:2]], self.now)
        self.act()
        self.act()
        if self.to_be_killed:
            self.kill_runner(2)

    @precondition(lambda self: self.queue and self.core.stopping)
    @rule()
    def stop(self) -> None:
        attempt, _ = self.queue.pop(0)
        self.core.on_runner(Done([attempt], [STOPPED], [0.1], [0], [b""]))
        self.act()

    @rule(tids=st.lists(TIDS, unique=True))
    def free(self, tids: list[int]) -> None:
        self.believed.difference_update(tids)
        self.core.on_scheduler(Free(tids))
        self.act()
        self.act()

    @precondition(lambda self: self.queue)
    @rule(held=st.booleans())
    def finish(self, held: bool) -> None:
        attempt, tid = self.queue.pop(0)
        status = OK_HELD if held else OK_INLINE
        if held and attempt in self.core.state.abandoned:
            self.values.add(tid)
        elif held:
            self.values.add(tid)
            self.believed.add(tid)
        self.core.on_runner(Done([attempt], [status], [0.1], [1], [b"" if held else b"v"]))
        self.act()

    @precondition(lambda self: self.exports)
    @rule()
    def export(self) -> None:
        asked = self.exports.pop(0)
        there = [tid in self.values for tid in asked.tids]
        statuses = [FOUND if here else ABSENT for here in there]
        self.core.on_runner(
            Values(asked.serial, asked.tids, statuses, [], [b"v"] * sum(there), last=True)
        )
        self.act()

    @precondition(lambda self: self.fetches)
    @rule(data=st.data(), found=st.booleans(), last=st.booleans())
    def answer_fetch(self, data: Any, found: bool, last: bool) -> None:
        serial = data.draw(st.sampled_from(sorted(self.fetches)))
        tids = self.fetches[serial].tids
        told = data.draw(st.lists(st.sampled_from(tids), unique=True)) if tids else []
        self.fetches[serial] = FetchFrom(
            self.fetches[serial].address, serial, [tid for tid in tids if tid not in told]
        )
        if last:
            del self.fetches[serial]
        statuses = [FOUND if found else ABSENT] * len(told)
        payloads: Any = [b"v"] * len(told) if found else []
        self.core.fetched(Values(serial, told, statuses, [], payloads, last))
        self.act()
        self.act()

    @rule(address=st.sampled_from([A, B]))
    def lose_worker(self, address: str) -> None:
        self.fetches = {s: each for s, each in self.fetches.items() if each.address != address}
        self.core.fetch_failed(address)
        self.act()
        self.act()

    @rule(session=st.integers(1, 3))
    def peer_comes_or_goes(self, session: int) -> None:
        if session in self.sessions:
            del self.sessions[session]
            self.drains.discard(session)
            self.core.peer_left(session)
        else:
            self.sessions[session] = {}
            self.core.peer_joined(session, may_store=True)
        self.act()

    @precondition(lambda self: self.sessions)
    @rule(data=st.data(), tids=st.lists(TIDS | st.integers(1001, 1003), unique=True))
    def peer_fetches(self, data: Any, tids: list[int]) -> None:
        session = data.draw(st.sampled_from(sorted(self.sessions)))
        self.serial += 1
        self.sessions[session][self.serial] = set(tids)
        self.core.on_peer(session, Fetch(self.serial, tids))
        self.act()

    @precondition(lambda self: self.sessions)
    @rule(tid=TIDS)
    def client_stores(self, tid: int) -> None:
        self.core.on_peer(min(self.sessions), Put(0, [tid], [b"v"]))
        self.act()

    # ------------------------------------------------------------ what holds

    @invariant()
    def books_agree(self) -> None:
        state = self.core.state
        assert state.functions == (self.fids if self.up else set())
        assert set(state.held) == (self.values if self.up else set())
        assert set(state.given) - state.abandoned | set(state.waiting) == self.open
        assert state.abandoned <= state.stopping.keys() <= state.given.keys()
        assert set(state.given) == {attempt for attempt, _ in self.queue if self.up}
        for attempt, row in state.waiting.items():
            assert row.missing
            assert all(attempt in state.wants[tid].waiting for tid in row.missing)
        asked = [tid for each in state.requests.values() for tid in each.tids]
        assert sorted(asked) == sorted(state.wants)
        assert self.slots in {None, self.up and state.doomed is None}
        alone = {tid for tid in state.held if not state.store.holds("me", tid)}
        assert alone <= self.believed, "the scheduler knows what it has to free"

    def teardown(self) -> None:
        for address in (A, B, A, B):
            self.lose_worker(address)
        self.core.on_scheduler(Recall(sorted(self.open)))
        self.act()
        self.act()
        while self.core.stopping:
            self.climb(31.0)
        self.core.on_scheduler(Recall(sorted(self.open)))
        self.act()
        self.act()
        while self.exports and self.up:
            self.export()
        self.free([*range(1, 7), *range(1000, self.last + 1001)])
        assert not self.open, "each attempt is answered"
        assert not self.copies, "each copy is answered"
        assert all(not waiting for waiting in self.sessions.values()), "each question is answered"
        assert len(self.core.state.store) == self.core.state.store.nbytes == 0
        left = {name: count for name, count in self.core.books().items() if count}
        assert set(left) <= {"functions"}


TestWorkerMachine = WorkerMachine.TestCase
