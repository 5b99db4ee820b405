"""The event log of a worker process happens again, with all of its workers."""

from __future__ import annotations

import io
import itertools
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.worker.worker_driver import FID, ME, A, absent, found, run
from trio_dask.errors import RemoteProtocolError
from trio_dask.eventlog import EventLog, LogReader, Outcome, open_event_log, replay
from trio_dask.messages import recorded
from trio_dask.messages.session import RegisterPeer
from trio_dask.messages.tasks import (
    OK_HELD,
    OK_INLINE,
    Done,
    Free,
    Functions,
    Interrupt,
    Recall,
    Returned,
    Submit,
)
from trio_dask.messages.values import Fetch, Store as Put
from trio_dask.testing import Simulation
from trio_dask.testing.simulation import worker as simulated
from trio_dask.worker import ReplayedWorkers
from trio_dask.worker.core import (
    AwaitDrain,
    FetchFrom,
    Store,
    ToPeer,
    WorkerCore,
    machine,
)
from trio_dask.worker.recording import RecordedCore

if TYPE_CHECKING:
    from pathlib import Path


class Memory(io.RawIOBase):
    """A file that can be looked at when it is closed."""

    def __init__(self) -> None:
        self.content = b""

    def write(self, data: Any) -> int:
        self.content += bytes(data)
        return len(data)


def new_log() -> tuple[EventLog, Memory]:
    """A worker's log, and where it is written."""
    memory = Memory()
    beginning = recorded.Recording(recorded.FORMAT, "1", "worker", "", 0, {})
    return EventLog(memory, "a.log", beginning), memory


def again(content: bytes, every: int | None = 1) -> tuple[Outcome, ReplayedWorkers]:
    """What comes out when a log happens again."""
    cores = ReplayedWorkers()
    return replay(LogReader(io.BytesIO(content)), cores, every=every), cores


def story(log: EventLog) -> tuple[RecordedCore, RecordedCore]:
    """A bit of everything, of two neighbours."""
    store = Store()
    one = RecordedCore(WorkerCore("me", ME, 2, store), log, 0)
    two = RecordedCore(WorkerCore("two", "tcp://me:2", 2, store), log, 1)
    for core in (one, two):
        core.runner_ready(1)
        core.on_scheduler(Functions([FID], ["f"], [b"f"]))
        core.flush()
    one.on_scheduler(run((1, {}), (2, {50: A}), (3, {51: f"{A} tcp://b:1"}), (4, {52: A})))
    (fetch,) = [each for each in one.flush() if isinstance(each, FetchFrom)]
    one.fetched(found(fetch.serial, {50: b"x" * 100}, last=False))
    one.fetched(absent(fetch.serial, 51, 52))
    one.flush()
    one.fetch_failed("tcp://b:1")
    one.on_runner(1, Done([1, 2], [OK_HELD, OK_INLINE], [0.1, 0.2], [40 << 20, 5], [b"", b"12345"]))
    one.flush()
    one.peer_joined(1, may_store=True)
    one.on_peer(1, RegisterPeer("client"))
    one.on_peer(1, Put(1, [60, 61], [[b"ab", memoryview(b"c" * (70 << 20))], b"y"]))
    one.on_peer(1, Fetch(2, [60, 61]))
    two.peer_joined(1, may_store=False)
    with pytest.raises(RemoteProtocolError):
        two.on_peer(1, Put(1, [70], [b"z"]))
    (drain,) = [each for each in one.flush() if isinstance(each, AwaitDrain)]
    one.drained(drain.session)
    assert any(isinstance(each, ToPeer) for each in one.flush())
    one.peer_left(1)
    two.on_scheduler(run((9, {60: ME}), (10, {})))  # it is in the store they share
    two.on_scheduler(Interrupt([9], [1]))
    two.flush()
    two.climb([(9, 1.0)], 2.0)
    two.tick([(9, 1.0), (10, 1.0)], 12.0)
    two.flush()
    two.on_scheduler(Recall([10]))
    two.on_runner(1, Returned([10]))
    two.on_scheduler(Free([60]))
    two.flush()
    two.runner_died(1, [9], {"signal": 9})
    two.flush()
    one.leave()
    one.flush()
    return one, two


def test_a_log_happens_again() -> None:
    """The same is wanted, no rule is broken, and the books are the same at the end."""
    log, memory = new_log()
    one, two = story(log)
    log.close()
    outcome, cores = again(memory.content)
    assert outcome.violations == []
    assert outcome.looks > 8
    assert [core.books() for core in cores.cores.values()] == [one.books(), two.books()]
    assert (len(cores.store), cores.store.nbytes) == (
        len(one.state.store),
        one.state.store.nbytes,
    )
    assert cores.summary()["runners"] == "ready 2 times, dead 1 times"
    assert len(memory.content) < 6000, "values are not in there"


def test_another_decision_is_found_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """A core that does not drop what it is told to: the next time it speaks is named."""
    log, memory = new_log()
    core = RecordedCore(WorkerCore("me", ME, 2, Store()), log, 0)
    core.runner_ready(1)
    core.on_scheduler(Functions([FID], ["f"], [b"f"]))
    core.on_scheduler(run((1, {})))
    core.on_runner(1, Done([1], [OK_HELD], [0.1], [5], [b""]))
    core.flush()
    core.on_scheduler(Free([1001]))
    core.flush()
    log.close()
    assert again(memory.content)[0].violations == []
    monkeypatch.setitem(machine._FROM_SCHEDULER, Free, lambda *_: None)
    (violation,) = again(memory.content)[0].violations
    assert str(violation).startswith("event 8 (flush): worker me does not want now what it wanted")


def test_a_broken_rule_is_found_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """A core that forgets which value an attempt waits for."""
    log, memory = new_log()
    core = RecordedCore(WorkerCore("me", ME, 2, Store()), log, 0)
    core.runner_ready(1)
    core.on_scheduler(Functions([FID], ["f"], [b"f"]))
    core.on_scheduler(run((1, {50: A})))
    core.flush()
    core.on_scheduler(Free([7]))
    core.flush()
    log.close()
    monkeypatch.setitem(machine._FROM_SCHEDULER, Free, lambda state, _: state.wants.clear())
    first, second = again(memory.content)[0].violations
    assert str(first) == (
        "event 7 (flush): worker me: what attempt 1 misses is being fetched for it"
    )
    assert "each value that is wanted was asked for once" in second.text


@pytest.mark.parametrize(
    ("what", "message"),
    [("handle", None), ("on_peer", None), ("tick", Submit(1, [], [], [], [], [], [], True, {}))],
)
def test_what_a_worker_is_not_told_is_refused(what: str, message: Submit | None) -> None:
    """With its number."""
    log, memory = new_log()
    RecordedCore(WorkerCore("me", ME, 2, Store()), log, 0)
    log.tell(what, 0, message)
    log.close()
    with pytest.raises(RemoteProtocolError, match=r"event 2 cannot be replayed: .* is nothing a"):
        again(memory.content)


def test_a_worker_that_was_not_made_is_refused() -> None:
    """A log that somebody has cut from the front."""
    log, memory = new_log()
    log.tell("runner_ready", 3)
    log.close()
    with pytest.raises(RemoteProtocolError, match="of a worker 3 that was not made"):
        again(memory.content)


@pytest.mark.simulation
@pytest.mark.parametrize("seed", range(12))
def test_simulated_workers_happen_again(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens to them, each process's log does again."""
    with ExitStack() as stack:
        processes: dict[int, tuple[Store, EventLog]] = {}  # keeps stores, so that ids stay theirs
        indices = itertools.count()

        def make(*made: Any, **more: Any) -> RecordedCore:
            store: Store = made[3]
            if id(store) not in processes:
                path = tmp_path / str(len(processes))
                log = stack.enter_context(open_event_log(str(path), "worker", {}))
                processes[id(store)] = store, log
            core = WorkerCore(*made, **more)
            return RecordedCore(core, processes[id(store)][1], next(indices))

        monkeypatch.setattr(simulated, "WorkerCore", make)
        assert Simulation(seed=seed).run().ok
    assert processes
    for path in tmp_path.iterdir():
        outcome, _ = again(path.read_bytes(), every=None)
        assert outcome.violations == []
        assert outcome.events
