"""What is around a worker core: a scheduler, runners, other workers and peers that keep the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.worker.worker_driver import ME
from trio_dask.messages.apart import Reserve, Vacate
from trio_dask.messages.fleet import Leave, Uncopied
from trio_dask.messages.inquiring import Told
from trio_dask.messages.nested import Parked
from trio_dask.messages.tasks import (
    HERE,
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
from trio_dask.messages.values import Fetch, Give, Values
from trio_dask.worker.core import (
    AwaitDrain,
    Depart,
    FetchFrom,
    GiveUp,
    KillRunner,
    LookUp,
    Spill,
    StartRunner,
    Store,
    ToPeer,
    ToRunner,
    ToScheduler,
    WorkerCore,
)

if TYPE_CHECKING:
    from trio_dask.messages import Message


class RunnerWorld:
    """A runner that is there."""

    def __init__(self) -> None:
        self.fids: set[int] = set()  # functions that it has been sent
        self.queue: list[tuple[int, int]] = []  # attempts and their tasks; the first two run
        self.values: set[int] = set()
        self.exports: list[Fetch] = []
        self.to_be_killed = False
        self.asked: set[int] = set()  # slots that are to be kept,
        self.kept: set[int] = set()  # and those that are


class WorkerWorld:
    """A core, and around it a scheduler, runners, other workers and peers that keep the rules."""

    def __init__(self) -> None:
        self.core = WorkerCore("me", ME, 2, Store(fetch_bytes_max=1 << 20))
        self.last = 0
        self.open: set[int] = set()  # attempts that wait for their one answer
        self.fid_of: dict[int, int] = {}
        self.believed: set[int] = set()  # what the scheduler thinks we hold
        self.runners: dict[int, RunnerWorld] = {}
        self.starting: list[int] = []
        self.alone: set[int] = set()  # runners for one attempt each
        self.last_runner = 0
        self.slots = 2  # as the scheduler knows them
        self.known: set[int] = set()  # functions
        self.fetches: dict[int, FetchFrom] = {}
        self.sessions: dict[int, dict[int, set[int]]] = {}  # → serial → values not told yet
        self.drains: set[int] = set()
        self.serial = 0
        self.now = 0.0
        self.hears = True  # whether the runner hears what it is told to stop
        self.copies: dict[int, str] = {}  # that it is to have, and has not answered
        self.leaves: list[Leave] = []
        self.departed = False

    # ------------------------------------------------------------ the world around the core

    def act(self) -> None:  # noqa: C901, PLR0912 - a case for each action
        for action in self.core.flush():
            match action:
                case ToRunner(number, messages):
                    for message in messages:
                        self.runner_hears(number, message)
                case ToPeer(session, messages):
                    for message in messages:
                        self.peer_hears(session, message)
                case FetchFrom(address, serial, tids):
                    assert address != ME
                    asked = [tid for each in self.fetches.values() for tid in each.tids]
                    assert not set(tids) & set(asked), "one fetch for each value"
                    for runner in self.runners.values():
                        assert runner.values.isdisjoint(tids), "what is held is not fetched"
                    assert all(self.core.state.store.get(tid) is None for tid in tids)
                    self.fetches[serial] = action
                case AwaitDrain(session):
                    self.drains.add(session)
                case LookUp(serial):
                    self.core.told(Told(serial, ok=True, said=[b"looked up"]))
                case KillRunner(number, _):
                    self.runners[number].to_be_killed = True
                case Depart() | Spill():
                    assert isinstance(action, Depart), "no memory is short"
                    self.departed = True
                case StartRunner(number, _, alone):
                    if alone:
                        self.alone.add(number)
                    assert number > self.last_runner, "numbers are used once"
                    self.last_runner = number
                    self.starting.append(number)
                case GiveUp(reason):
                    raise AssertionError(reason)
                case ToScheduler(messages):
                    for message in messages:
                        self.scheduler_hears(message)

    def runner_hears(self, number: int, message: Message) -> None:  # noqa: C901 - a case for each
        runner = self.runners[number]
        match message:
            case Functions():
                runner.fids.update(message.fids)
            case ForgetFunctions():
                assert set(message.fids) <= runner.fids
                runner.fids.difference_update(message.fids)
            case Give():
                runner.values.update(message.tids)
            case Free():
                assert set(message.tids) <= runner.values
                runner.values.difference_update(message.tids)
            case Fetch():
                runner.exports.append(message)
            case Run():
                assert set(message.fids) <= runner.fids
                here = zip(message.dep_tids, message.dep_at, strict=True)
                assert {tid for tid, at in here if at == HERE} <= runner.values
                runner.queue += zip(message.attempts, message.tids, strict=True)
                assert number not in self.alone or len(runner.queue) == 1, "one runs one alone"
            case Reserve():
                assert number not in self.alone, "who runs one task keeps no slots"
                runner.asked.update(message.seats)
            case Vacate():
                assert set(message.seats) <= runner.asked | runner.kept, "they were asked for"
                runner.asked.difference_update(message.seats)
                runner.kept.difference_update(message.seats)
            case Interrupt():
                begun = [attempt for attempt, _ in runner.queue[:2]]
                unbegun = [each for each in message.attempts if each not in begun]
                runner.queue = [each for each in runner.queue if each[0] not in unbegun]
                self.core.on_runner(number, Returned(unbegun))
                if self.hears:
                    self.core.on_runner(number, Interrupting(message.attempts))
            case Recall():
                back = [each for each in runner.queue[2:] if each[0] in message.attempts]
                runner.queue = [each for each in runner.queue if each not in back]
                self.core.on_runner(number, Returned([attempt for attempt, _ in back]))
            case _:
                raise AssertionError(message)

    def board(self) -> list[tuple[int, float]]:
        queues = [each.queue for each in self.runners.values()]
        return [(attempt, 0.0) for queue in queues for attempt, _ in queue[:2]]

    def busy(self) -> list[int]:
        return [number for number, each in self.runners.items() if each.queue]

    def scheduler_hears(self, message: Message) -> None:  # noqa: C901 - a case for each
        match message:
            case Done() | Returned():
                self.answered(message.attempts)
            case Parked():
                assert set(message.attempts) <= self.open
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
                self.slots = message.nthreads
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
