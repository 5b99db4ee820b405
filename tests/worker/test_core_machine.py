"""Whatever happens in whatever order: the rules that the worker's books obey."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.worker.core_world import RunnerWorld, WorkerWorld
from tests.worker.worker_driver import FID, ME, A, B, run
from trio_dask.messages.apart import Reserved
from trio_dask.messages.fleet import Copy
from trio_dask.messages.nested import Parked
from trio_dask.messages.tasks import (
    OK_HELD,
    OK_INLINE,
    STOPPED,
    Done,
    ForgetFunctions,
    Free,
    Functions,
    Interrupt,
    Recall,
)
from trio_dask.messages.values import ABSENT, FOUND, UNPICKLABLE, Fetch, Store as Put, Values
from trio_dask.worker.core import FetchFrom, apart
from trio_dask.worker.core.invariants import violations

FIDS = st.sampled_from([FID, FID, FID, FID + 1])
TIDS = st.integers(1, 6)
PLACES = st.sampled_from(["", A, B, f"{A} {B}", f"{ME} {A}", f"{B} {ME}"])


class WorkerMachine(WorkerWorld, RuleBasedStateMachine):
    """Whatever may happen to the core, and what holds then."""

    def __init__(self) -> None:
        RuleBasedStateMachine.__init__(self)
        WorkerWorld.__init__(self)

    # ------------------------------------------------------------ what may happen

    @initialize(held=st.integers(0, 3))
    def begin(self, held: int) -> None:
        """There is a runner, with some values, and somebody who may ask for them."""
        self.act()
        self.start_runner()
        self.peer_comes_or_goes(1)
        if held:
            self.run_tasks([{}] * held, FID)
            for _ in range(held):
                self.finish(1, held=True)

    @precondition(lambda self: self.starting)
    @rule()
    def start_runner(self) -> None:
        number = self.starting.pop(0)
        self.runners[number] = RunnerWorld()
        self.core.runner_ready(number)
        self.act()
        self.act()

    @precondition(lambda self: self.starting)
    @rule()
    def runner_does_not_start(self) -> None:
        self.core.runner_died(self.starting.pop(0), [], {})
        self.act()

    @precondition(lambda self: self.runners)
    @rule(data=st.data(), running=st.integers(0, 2))
    def kill_runner(self, data: Any, running: int) -> None:
        self.end(data.draw(st.sampled_from(sorted(self.runners))), running)

    def end(self, number: int, running: int) -> None:
        board = [attempt for attempt, _ in self.runners.pop(number).queue[:running]]
        self.core.runner_died(number, board, {})
        self.act()

    @precondition(lambda self: self.runners)
    @rule(data=st.data())
    def recycle(self, data: Any) -> None:
        self.core.recycle(data.draw(st.sampled_from(sorted(self.runners))), "old")
        self.act()

    @rule(fid=FIDS, forget=st.booleans())
    def functions(self, fid: int, *, forget: bool) -> None:
        # What a scheduler has not had answers about, it does not let a worker forget.
        if forget and fid in [self.fid_of[attempt] for attempt in self.open]:
            return
        if forget:
            self.core.on_scheduler(ForgetFunctions([fid, fid + 100]))
            self.known.discard(fid)
        else:
            self.teach(fid)
        self.act()

    def teach(self, fid: int) -> None:
        self.known.add(fid)
        for runner in self.runners.values():
            runner.fids.discard(fid)  # it may be another one now
        self.core.on_scheduler(Functions([fid], ["f"], [b"f"]))

    @rule(
        rows=st.lists(st.dictionaries(TIDS, PLACES, max_size=3), min_size=1, max_size=3),
        fid=FIDS,
        apart=st.sampled_from([0, 0, 1, 2]),
    )
    def run_tasks(self, rows: list[dict[int, str]], fid: int, apart: int = 0) -> None:
        """The first `apart` of them are to have runners of their own."""
        if fid not in self.known:
            self.teach(fid)
        attempts = range(self.last + 1, self.last + 1 + len(rows))
        self.last = attempts[-1]
        self.open.update(attempts)
        self.fid_of.update(dict.fromkeys(attempts, fid))
        message = run(*zip(attempts, rows, strict=True), fid=fid)
        message.apart = list(attempts[:apart])
        self.core.on_scheduler(message)
        self.act()

    @precondition(lambda self: any(each.asked for each in self.runners.values()))
    @rule(data=st.data())
    def keep_slot(self, data: Any) -> None:
        numbers = sorted(number for number, each in self.runners.items() if each.asked)
        number = data.draw(st.sampled_from(numbers))
        runner = self.runners[number]
        seat = data.draw(st.sampled_from(sorted(runner.asked)))
        runner.asked.remove(seat)
        runner.kept.add(seat)
        self.core.on_runner(number, Reserved([seat]))
        self.act()
        self.act()

    @precondition(lambda self: any(each.to_be_killed for each in self.runners.values()))
    @rule()
    def end_killed(self) -> None:
        for number in [each for each, runner in self.runners.items() if runner.to_be_killed]:
            self.end(number, 2)

    @precondition(lambda self: self.core.state.apart)
    @rule(parked=st.integers(0, 1))
    def wait_or_go_on(self, parked: int) -> None:
        for number in sorted(self.alone & self.runners.keys()):
            begun = [attempt for attempt, _ in self.runners[number].queue]
            self.core.on_runner(number, Parked(begun, [parked] * len(begun)))
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
        large = [each for tid in tids if tid % 2 for each in (tid, 1 << 20)]
        self.core.on_scheduler(Copy(tids, [0] * len(tids), [place], large))
        self.act()
        for tid in tids:
            asked = any(tid in fetch.tids for fetch in self.fetches.values())
            in_line = (ME, tid) in self.core.state.store.inwards.waiting
            want = self.core.state.wants.get(tid)
            moving = want is not None and want.moving  # another runner of ours is asked
            assert tid not in self.copies or asked or in_line or moving, "nobody will be asked"

    @rule(patient=st.booleans())
    def drain(self, *, patient: bool) -> None:
        """What has not begun comes back; it says that it is to leave."""
        self.core.drain("its time is over", patient=patient)
        self.act()
        self.act()
        assert self.leaves, "it did not say so"
        begun = {attempt for attempt, _ in self.board()}
        abandoned = [each.abandoned for each in self.core.state.runners.values()]
        assert self.open.issuperset(begun.difference(*abandoned))

    @precondition(lambda self: self.core.draining)
    @rule(seconds=st.sampled_from([0.05, 0.8, 6.0]))
    def go_on_draining(self, seconds: float) -> None:
        """It comes to an end in its time unless there is patience."""
        self.now += seconds
        self.core.go_on_draining(self.board(), self.now)
        self.act()
        self.act()

    @precondition(lambda self: self.core.stopping)
    @rule(seconds=st.sampled_from([0.05, 0.3, 2.0, 31.0]))
    def climb(self, seconds: float) -> None:
        self.now += seconds
        self.core.climb(self.board(), self.now)
        self.act()
        self.act()
        for number in [each for each, runner in self.runners.items() if runner.to_be_killed]:
            self.end(number, 2)

    @precondition(lambda self: self.busy() and self.core.stopping)
    @rule(data=st.data())
    def stop(self, data: Any) -> None:
        number = data.draw(st.sampled_from(self.busy()))
        attempt, _ = self.runners[number].queue.pop(0)
        self.core.on_runner(number, Done([attempt], [STOPPED], [0.1], [0], [b""]))
        self.act()

    @rule(tids=st.lists(TIDS, unique=True))
    def free(self, tids: list[int]) -> None:
        self.believed.difference_update(tids)
        self.core.on_scheduler(Free(tids))
        self.act()
        self.act()

    @precondition(lambda self: self.busy())
    @rule(data=st.data(), held=st.booleans())
    def finish_any(self, data: Any, *, held: bool) -> None:
        self.finish(data.draw(st.sampled_from(self.busy())), held=held)

    def finish(self, number: int, *, held: bool) -> None:
        runner = self.runners[number]
        attempt, tid = runner.queue.pop(0)
        if held:
            runner.values.add(tid)
            if attempt not in self.core.state.runners[number].abandoned:
                self.believed.add(tid)
        status = OK_HELD if held else OK_INLINE
        value = b"" if held else b"v"
        self.core.on_runner(number, Done([attempt], [status], [0.1], [1], [value]))
        self.act()

    @precondition(lambda self: any(each.exports for each in self.runners.values()))
    @rule(data=st.data(), picklable=st.booleans())
    def export_any(self, data: Any, *, picklable: bool) -> None:
        numbers = [number for number, each in self.runners.items() if each.exports]
        self.export(data.draw(st.sampled_from(numbers)), picklable=picklable)

    def export(self, number: int, *, picklable: bool = True) -> None:
        runner = self.runners[number]
        asked = runner.exports.pop(0)
        there = [tid in runner.values for tid in asked.tids]
        status = FOUND if picklable else UNPICKLABLE
        statuses = [status if here else ABSENT for here in there]
        values: Any = [b"v"] * sum(there)
        failures, payloads = ([], values) if picklable else (values, [])
        answer = Values(asked.serial, asked.tids, statuses, failures, payloads, last=True)
        self.core.on_runner(number, answer)
        self.act()
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
        assert violations(state) == []
        assert state.functions.keys() == self.known
        assert sorted(state.runners) == sorted([*self.runners, *self.starting])
        given: set[int] = set()
        for number, world in self.runners.items():
            runner = state.runners[number]
            assert runner.ready
            assert runner.functions == world.fids
            assert runner.held.keys() == world.values
            assert runner.given.keys() == {attempt for attempt, _ in world.queue}
            given |= runner.given.keys() - runner.abandoned
            alone = {tid for tid in runner.held if not state.store.holds("me", tid)}
            assert alone <= self.believed, "the scheduler knows what it has to free"
        assert given | state.waiting.keys() | set(apart.unbegun(state)) == self.open
        for number, world in self.runners.items():
            kept = {each.seat for each in state.apart.values() if each.keeper == number}
            assert kept == world.asked | world.kept, "slots are kept as long as they are needed"
        assert self.slots == state.slots

    def teardown(self) -> None:
        while self.fetches:  # what is in line follows
            for address in (A, B):
                self.lose_worker(address)
        self.core.on_scheduler(Recall(sorted(self.open)))
        self.act()
        self.act()
        while self.core.stopping and not self.core.draining:
            self.climb(31.0)
        self.end_killed()
        for number, runner in list(self.runners.items()):
            while runner.queue:  # one that is to leave ends nothing by force
                self.finish(number, held=False)
            while runner.exports:
                self.export(number)
        self.free([*range(1, 7), *range(1000, self.last + 1001)])
        assert not self.open, "each attempt is answered"
        assert not self.copies, "each copy is answered"
        assert all(not waiting for waiting in self.sessions.values()), "each question is answered"
        assert len(self.core.state.store) == self.core.state.store.nbytes == 0
        left = {name: count for name, count in self.core.books().items() if count}
        assert set(left) <= {"functions"}


TestWorkerMachine = WorkerMachine.TestCase
