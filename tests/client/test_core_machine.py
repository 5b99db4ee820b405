"""Whatever users, a scheduler and workers do, in whatever order: the client's books are right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hypothesis import settings, strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.client.core_world import FIRST, A, B, Fetching, Known, Waiting, Worker, World
from trio_dask.client.core import (
    CANCELLED,
    ERROR,
    FINISHED,
    LOST,
    PENDING,
    AllDone,
    EachDone,
    Rows,
)
from trio_dask.messages import tasks as words
from trio_dask.messages.session import Answer
from trio_dask.messages.values import ABSENT, FOUND, StoreDone, Values

if TYPE_CHECKING:
    from trio_dask.messages import Message

PLACES = st.sampled_from([A, B, f"{A} {B}"])
LARGE: Final = bytes(1 << 20)


class ClientMachine(World):
    """A user, a scheduler and two workers that do what they may."""

    # ------------------------------------------------------------ what users do

    @initialize(data=st.data(), keyed=st.booleans())
    def begin(self, data: st.DataObject, *, keyed: bool) -> None:
        """There is something to talk about from the beginning."""
        self.submit(data, 3, b"f", {}, keyed=keyed, with_inputs=False, large=False)
        self.put(2, held=True, broadcast=False)

    @rule(
        data=st.data(),
        count=st.sampled_from([1, 1, 2, 3, 256, 300]),
        blob=st.sampled_from([b"f", b"g"]),
        options=st.sampled_from([{}, {"priority": 1}]),
        keyed=st.booleans(),
        with_inputs=st.booleans(),
        large=st.sampled_from([False, False, False, True]),
    )
    def submit(
        self,
        data: st.DataObject,
        count: int,
        blob: bytes,
        options: dict[str, Any],
        *,
        keyed: bool,
        with_inputs: bool,
        large: bool,
    ) -> None:
        inputs = self.some(data, self.held()) if with_inputs else []
        first = self.core.table.next_tid
        args = [LARGE if large and row < 40 else bytes([row % 256]) for row in range(count)]
        keys = [f"key-{first + row}" for row in range(count)] if keyed else []
        rows = Rows(
            list(args),
            [len(inputs)] + [0] * (count - 1) if inputs else [],
            list(inputs),
            list(keys),
        )
        function = self.core.function("name", blob)
        function.uses += 1  # until it is submitted
        batch, got = self.core.submit(function, rows, dict(options))
        self.core.unuse(function)
        assert got == first
        for row in range(count):
            self.known[first + row] = Known(
                (
                    ("name", blob), args[row], [] if row else inputs, keys[row] if keys else "",
                    options,
                )
            )  # fmt: skip
            assert batch.key(first + row).startswith("key" if keyed else "name")

    @rule(data=st.data(), everything=st.booleans(), by_collector=st.booleans())
    def release(self, data: st.DataObject, *, everything: bool, by_collector: bool) -> None:
        tids = self.held()
        if not everything:
            tids = self.some(data, tids)
        for tid in tids:
            self.known[tid].held = False
        if by_collector:
            for tid in tids:
                self.core.table.drops.append(tid)
            self.flushed()
        else:
            self.core.release([*tids, *tids[:1]])

    @rule(data=st.data(), keep=st.booleans())
    def keep_or_cancel(self, data: st.DataObject, *, keep: bool) -> None:
        tids = self.some(data, self.held())
        if keep:
            self.core.keep(tids)
        else:
            self.core.cancel(tids, "enough")

    @rule(count=st.integers(1, 3), held=st.booleans(), broadcast=st.booleans())
    def put(self, count: int, *, held: bool, broadcast: bool) -> None:
        payloads: list[Any] = [b"value"] * count
        placed = self.core.put(payloads, broadcast=broadcast)
        if not held:
            self.core.let_go([tid for _, tid in placed])
        for _, tid in placed:
            self.known[tid] = Known(None, held=True)
            if not held:
                self.known[tid].row = ("not held",)

    @precondition(lambda self: self.held())
    @rule(data=st.data(), everything=st.booleans(), each=st.booleans())
    def watch(self, data: st.DataObject, *, everything: bool, each: bool) -> None:
        tids = self.held() if everything else self.some(data, self.held())
        tids = [tid for tid in tids if self.known[tid].status == PENDING]
        if tids:
            waiting = Waiting(tids)
            waiting.watch = EachDone(waiting.wake) if each else AllDone(len(tids), waiting.wake)
            self.core.watch(waiting.watch, self.groups(tids))
            self.waiting.append(waiting)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def unwatch(self, data: st.DataObject) -> None:
        waiting = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(waiting)
        assert waiting.watch is not None
        self.core.unwatch(waiting.watch)

    @rule(forget=st.booleans())
    def ask(self, *, forget: bool) -> None:
        name = str(len(self.answers))
        self.answers[name] = 0

        def answered(answer: Answer) -> None:
            assert answer.data == {"topic": name}
            self.answers[name] += 1

        serial = self.core.ask(name, {}, answered)
        if forget:
            self.core.forget(serial)
            self.answers[name] = -1

    @rule(data=st.data(), place=PLACES)
    def fetch(self, data: st.DataObject, place: str) -> None:
        self.finish(data, place, late=False)
        there = [tid for tid in self.of(FINISHED) if isinstance(self.known[tid].value, str)]
        tids = self.some(data, there)
        if tids:
            fetching = Fetching(tids, core=self.core)
            on_their_way = self.core._fetcher._fetching
            if self.core._out:
                self.late.update(tids)
            for tid in tids:
                if tid not in on_their_way:
                    self.sought[tid] = set(str(self.known[tid].value).split())
            wanted = [(tid, str(self.known[tid].value)) for tid in tids]
            fetching.request = self.core.request(wanted, fetching.wake)
            self.fetching.append(fetching)

    @precondition(lambda self: self.fetching)
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        fetching = data.draw(st.sampled_from(self.fetching))
        self.fetching.remove(fetching)
        assert fetching.request is not None
        self.core.abandon(fetching.request)

    # ------------------------------------------------------------ what the scheduler does

    @rule()
    def flush(self) -> None:
        self.flushed()

    @rule(data=st.data(), place=st.none() | PLACES, late=st.booleans())
    def finish(self, data: st.DataObject, place: str | None, *, late: bool) -> None:
        self.flushed()
        tids = self.some(data, self.of(PENDING))
        if late:  # what was released, and what never was
            tids += [tid for tid, known in self.known.items() if known.released][:2]
            tids += [5, FIRST + (1 << 30)]
        value = b"v" if place is None else b""
        at = [-1 if place is None else 0] * len(tids)
        places = [] if place is None else [place]
        self.tell(words.Finished(tids, [1] * len(tids), [value] * len(tids), at, places))
        mine = [tid for tid in tids if tid in self.known]
        self.settled(mine, FINISHED, [value if place is None else place] * len(mine))
        self.let_go(mine)

    @rule(data=st.data(), everything=st.booleans())
    def fail(self, data: st.DataObject, *, everything: bool) -> None:
        self.flushed()
        tids = self.of(PENDING) if everything else self.some(data, self.of(PENDING))
        self.tell(words.Failed(tids, [row % 2 for row in range(len(tids))], [b"one", b"two"]))
        self.settled(tids, ERROR, [(b"one", b"two")[row % 2] for row in range(len(tids))])
        self.let_go(tids)

    @rule(data=st.data(), lost=st.booleans())
    def cancel_or_lose(self, data: st.DataObject, *, lost: bool) -> None:
        states = (PENDING, FINISHED) if lost else (PENDING,)
        tids = self.some(data, self.of(*states))
        pending = [tid for tid in tids if self.known[tid].status == PENDING]
        self.tell(words.Lost(tids, "why") if lost else words.Cancelled(tids, "why"))
        self.settled(tids, LOST if lost else CANCELLED, ["why"] * len(tids))
        self.let_go(pending)

    def let_go(self, tids: list[int]) -> None:
        """Values that nobody holds are released when they have come to an end."""
        for tid in tids:
            if self.known[tid].row == ("not held",):
                self.known[tid].held = False

    @rule(data=st.data())
    def again(self, data: st.DataObject) -> None:
        tids = self.some(data, self.of(FINISHED))
        self.tell(words.Again(tids))
        self.settled(tids, PENDING, [None] * len(tids))

    @rule(count=st.integers(1, 3))
    def answer(self, count: int) -> None:
        self.flushed()
        asked, self.questions = self.questions[:count], self.questions[count:]
        for each in asked:
            if each.topic in self.answers and self.answers[each.topic] >= 0:
                assert self.answers[each.topic] == 0
            self.tell(Answer(each.serial, ok=True, data={"topic": each.topic}))
            if each.topic in self.answers:
                assert self.answers[each.topic] in {1, -1}

    @rule(rows=st.lists(st.sampled_from([0, 1, 5, -1]), min_size=3, max_size=3))
    def put_at(self, rows: list[int]) -> None:
        self.flushed()
        if not self.puts:
            return
        put = self.puts.pop(0)
        tids = [*put.tids, *put.tids] if put.broadcast else put.tids
        at = [rows[row % 3] for row in range(len(tids))]
        self.tell(words.PutAt(tids, at, [A, B]))
        # A scheduler that names no place at all says so again when there is one.
        if any(row not in (0, 1) for row in at):
            self.puts.append(put)

    # ------------------------------------------------------------ what workers do

    @rule(data=st.data(), address=st.sampled_from([A, B]), found=st.booleans(), last=st.booleans())
    def answer_fetch(self, data: st.DataObject, address: str, *, found: bool, last: bool) -> None:
        self.flushed()
        worker = self.workers[address]
        if not worker.fetches:
            return
        asked = worker.fetches[0]
        told = self.some(data, asked.tids)
        if last:
            worker.fetches.pop(0)
        odd = [5, *told[:1]]  # not asked for, and told twice
        statuses = [FOUND if found else ABSENT] * len(told) + [FOUND] * 2
        payloads: list[Any] = [b"v"] * statuses.count(FOUND)
        self.hear(address, Values(asked.serial, [*told, *odd][: len(statuses)],
                                  statuses[: len(told) + len(odd)], [], payloads, last))  # fmt: skip

    def hear(self, address: str, message: Message) -> None:
        before = set(self.of(FINISHED))
        self.core.handle_data(address, [message])
        self.reopened(before)

    def reopened(self, before: set[int]) -> None:
        """Values that could not be had from anywhere are awaited again, and may be given up."""
        for tid in [*before, *self.of(PENDING)]:
            batch = self.core.table.find(tid)
            assert batch is not None
            now = batch.status[tid - batch.first]
            known = self.known[tid]
            if known.status == FINISHED and now == PENDING:
                assert isinstance(known.value, str), "what is here need not be fetched"
                known.status, known.value = PENDING, None
                for fetching in self.fetching:
                    fetching.gave_up.add(tid)
            elif known.status == PENDING and now == LOST:
                assert known.row in {None, ("not held",)}, "only values to be stored are given up"
                known.status, known.value = LOST, batch.values[tid - batch.first]
        for fetching in self.fetching:
            assert fetching.request is not None
            ended = [tid for tid in fetching.tids if tid not in fetching.request.left]
            fetching.gave_up.update(tid for tid in ended if tid not in fetching.request.payloads)

    @rule(address=st.sampled_from([A, B]), error=st.sampled_from(["", "", "no room"]))
    def stored(self, address: str, error: str) -> None:
        self.flushed()
        worker = self.workers[address]
        if worker.stores:
            store = worker.stores.pop()
            self.core.handle_data(address, [StoreDone(store.serial, error), StoreDone(-1, "odd")])
            self.gave_up()
            if not error:
                tids = [tid for tid in store.tids if tid in self.of(PENDING)]
                self.tell(words.Finished(tids, [1] * len(tids), [b""] * len(tids),
                                         [0] * len(tids), [address]))  # fmt: skip
                self.settled(tids, FINISHED, [address] * len(tids))
                self.let_go(tids)

    @rule(address=st.sampled_from([A, B]))
    def lose_worker(self, address: str) -> None:
        self.flushed()
        self.workers[address] = Worker()
        before = set(self.of(FINISHED))
        self.core.data_lost(address, "gone")
        self.gave_up()
        self.reopened(before)

    def gave_up(self) -> None:
        """Values that were tried everywhere are lost; those nobody holds are let go of."""
        for tid in self.of(PENDING):
            known = self.known[tid]
            batch = self.core.table.find(tid)
            if known.row == ("not held",) and (
                batch is None or batch.status[tid - batch.first] != PENDING
            ):
                known.held = False
            elif known.row is None and batch is not None:
                row = tid - batch.first
                if batch.status[row] == LOST:
                    known.status, known.value = LOST, batch.values[row]

    # ------------------------------------------------------------ what holds

    @invariant()
    def the_user_sees_what_was_said(self) -> None:
        table = self.core.table
        assert len(table) == len(self.held())
        for tid in self.held():
            known, batch = self.known[tid], table.find(tid)
            assert batch is not None
            row = tid - batch.first
            assert (batch.status[row], batch.values[row]) == (known.status, known.value)
        for batch in table.batches:
            assert batch.pending == batch.status.count(PENDING)
            assert batch.live == len(batch) - batch.status.count(5)
            assert batch.live or batch.open

    @invariant()
    def who_waits_is_woken(self) -> None:
        for waiting in self.waiting:
            over = [
                tid
                for tid in waiting.tids
                if not self.known[tid].held or self.known[tid].status != PENDING
            ]
            if isinstance(waiting.watch, AllDone):
                assert waiting.woken or len(over) < len(waiting.tids), "all are done"
            elif isinstance(waiting.watch, EachDone):
                assert set(over) <= set(waiting.watch.tids), "each that is done is told"
                assert bool(waiting.watch.tids) == bool(waiting.woken)
        for fetching in self.fetching:
            assert fetching.request is not None
            assert fetching.woken == (not fetching.request.left), "once, when all is there"

    def teardown(self) -> None:
        """When everything is let go of and answered, nothing is left."""
        self.release_all()
        for waiting in self.waiting:
            assert waiting.watch is not None
            assert waiting.woken, "a released task is over"
            self.core.unwatch(waiting.watch)
        self.lose_worker(A)
        self.lose_worker(B)
        self.lose_worker(A)
        while self.questions:
            self.answer(3)
            self.flushed()
        assert all(fetching.woken == 1 for fetching in self.fetching)
        assert all(count in {1, -1} for count in self.answers.values())
        assert all(known.arrived and known.released for known in self.known.values())
        table, core = self.core.table, self.core
        assert len(table) == 0
        assert [len(batch) for batch in table.batches if not batch.open] == []
        core.end("over")
        left = (core._unheld, core._asked, core.storing._puts, core.storing._lines)
        assert not any(left)
        assert not core.watching._watched
        assert not core._fetcher._fetching
        assert not core._out
        assert core._out._under_way < 5 << 20

    def release_all(self) -> None:
        tids = self.held()
        for tid in tids:
            self.known[tid].held = False
        self.core.release(tids)
        self.flushed()
        while any(not known.arrived for known in self.known.values()):
            assert self.questions, "what is held back waits for an answer"
            self.answer(3)
            self.flushed()


TestClientMachine = ClientMachine.TestCase
TestClientMachine.settings = settings(
    max_examples=180, stateful_step_count=50, deadline=None, report_multiple_bugs=False
)
