"""The cores of a worker process behind one log: they share values, so what counts is the order of all."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeAlias

from trio_dask.eventlog import EventLog, digest
from trio_dask.messages import Memory, Message, inquiring, session as hello, tasks as words, values
from trio_dask.worker.core import (
    AwaitDrain,
    Depart,
    FetchFrom,
    GiveUp,
    KillRunner,
    LookUp,
    Spill,
    StartRunner,
    ToPeer,
    ToRunner,
    ToScheduler,
    WorkerCore,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.messages import Payload
    from trio_dask.worker.core import Action
    from trio_dask.worker.core.state import WorkerState


class RecordedCore:
    """A worker's core behind a log. Without a log it is not in the way at all."""

    def __init__(self, core: WorkerCore, log: EventLog, index: int) -> None:
        """`index` is what the log calls this worker of the process."""
        self._core = core
        self._log = log
        self._index = index
        state = core.state
        rules = {
            "rules": asdict(state.restarts.rules),
            "drain_rules": asdict(state.drain_rules),
            "memory_rules": asdict(state.room.rules),
            "fetch_bytes_max": state.store.inwards.bytes_max,
            "processes": state.processes,
        }
        made = hello.RegisterWorker(
            state.name,
            state.address,
            state.nthreads,
            0,
            {},
            rules,
            secret="kept from logs" if state.bond is not None else "",
        )
        self._tell("made", made)

    def _tell(self, what: str, message: Message | None = None, number: int = 0) -> None:
        self._log.tell(what, self._index, message, number=number, now=time.monotonic())

    # ------------------------------------------------------------ told

    def on_scheduler(self, message: Message, now: float | None = None) -> None:
        """See `WorkerCore`."""
        now = time.monotonic() if now is None else now
        self._log.tell("on_scheduler", self._index, message, now=now)
        self._core.on_scheduler(message, now)

    def scheduler_lost(self) -> None:
        """See `WorkerCore`."""
        self._tell("scheduler_lost")
        self._core.scheduler_lost()

    def beat(self, metrics: dict[str, Any]) -> None:
        """See `WorkerCore`."""
        self._tell("beat", hello.Heartbeat(metrics))
        self._core.beat(metrics)

    def on_runner(self, number: int, message: Message) -> None:
        """See `WorkerCore`."""
        self._tell("on_runner", message, number)
        self._core.on_runner(number, message)

    def runner_ready(self, number: int) -> None:
        """See `WorkerCore`."""
        self._tell("runner_ready", number=number)
        self._core.runner_ready(number)

    def runner_died(self, number: int, running: Iterable[int], certificate: dict[str, Any]) -> None:
        """See `WorkerCore`."""
        attempts = list(running)
        self._tell("runner_died", words.RunnerDied(attempts, [], [], certificate), number)
        self._core.runner_died(number, attempts, certificate)

    def recycle(self, number: int, reason: str) -> None:
        """See `WorkerCore`."""
        self._tell("recycle", hello.Goodbye(reason), number)
        self._core.recycle(number, reason)

    def peer_joined(self, session: int, *, may_store: bool) -> None:
        """See `WorkerCore`."""
        self._tell("client_joined" if may_store else "peer_joined", number=session)
        self._core.peer_joined(session, may_store=may_store)

    def on_peer(self, session: int, message: Message) -> None:
        """See `WorkerCore`."""
        self._tell("on_peer", message, session)
        self._core.on_peer(session, message)

    def drained(self, session: int) -> None:
        """See `WorkerCore`."""
        self._tell("drained", number=session)
        self._core.drained(session)

    def told(self, message: inquiring.Told) -> None:
        """See `WorkerCore`."""
        self._tell("told", message)
        self._core.told(message)

    def peer_left(self, session: int) -> None:
        """See `WorkerCore`."""
        self._tell("peer_left", number=session)
        self._core.peer_left(session)

    def fetched(self, message: values.Values) -> None:
        """See `WorkerCore`."""
        self._tell("fetched", message)
        self._core.fetched(message)

    def fetch_failed(self, address: str) -> None:
        """See `WorkerCore`."""
        self._tell("fetch_failed", words.Unreachable([], address))
        self._core.fetch_failed(address)

    def uses(self, used: int, own: dict[int, int], now: float) -> None:
        """See `WorkerCore`."""
        self._log.tell("uses", self._index, words.Stored([0, *own], [used, *own.values()]), now=now)
        self._core.uses(used, own, now)

    def moved(self, tid: int, payload: Payload, *, shared: bool = False) -> None:
        """See `WorkerCore`."""
        moved = values.Values(int(shared), [tid], [values.FOUND], [], [payload], last=True)
        self._tell("moved", moved)
        self._core.moved(tid, payload, shared=shared)

    def unmoved(self, tid: int, why: str, now: float) -> None:
        """See `WorkerCore`."""
        self._log.tell("unmoved", self._index, words.Unreachable([tid], why), now=now)
        self._core.unmoved(tid, why, now)

    def tick(self, board: Iterable[tuple[int, float]], now: float) -> None:
        """See `WorkerCore`."""
        rows = list(board)
        self._log.tell("tick", self._index, _board(rows), now=now)
        self._core.tick(rows, now)

    def climb(self, board: Iterable[tuple[int, float]], now: float) -> None:
        """See `WorkerCore`."""
        rows = list(board)
        self._log.tell("climb", self._index, _board(rows), now=now)
        self._core.climb(rows, now)

    def drain(self, reason: str, *, patient: bool) -> None:
        """See `WorkerCore`."""
        self._tell("drain", hello.Goodbye(reason), number=int(patient))
        self._core.drain(reason, patient=patient)

    def go_on_draining(self, board: Iterable[tuple[int, float]], now: float) -> None:
        """See `WorkerCore`."""
        rows = list(board)
        self._log.tell("go_on_draining", self._index, _board(rows), now=now)
        self._core.go_on_draining(rows, now)

    def leave(self) -> None:
        """See `WorkerCore`."""
        self._tell("leave")
        self._core.leave()

    def flush(self) -> list[Action]:
        """See `WorkerCore`. What it wants done is recorded as its digest."""
        actions = self._core.flush()
        if self._log.open:
            self._tell("flush", number=digest_of(actions))
        return actions

    # ------------------------------------------------------------ asked

    @property
    def state(self) -> WorkerState:
        """See `WorkerCore`."""
        return self._core.state

    @property
    def stopping(self) -> bool:
        """See `WorkerCore`."""
        return self._core.stopping

    @property
    def draining(self) -> bool:
        """See `WorkerCore`."""
        return self._core.draining

    @property
    def look_at(self) -> float:
        """See `WorkerCore`."""
        return self._core.look_at

    def resume(self) -> hello.Resume:
        """See `WorkerCore`."""
        return self._core.resume()

    @property
    def memory(self) -> Memory:
        """See `WorkerCore`."""
        return self._core.memory

    def heeds(self, used: int) -> bool:
        """See `WorkerCore`."""
        return self._core.heeds(used)

    def fetching_from(self) -> list[str]:
        """See `WorkerCore`."""
        return self._core.fetching_from()

    def books(self) -> dict[str, int]:
        """See `WorkerCore`."""
        return self._core.books()


Core: TypeAlias = WorkerCore | RecordedCore


def _board(rows: list[tuple[int, float]]) -> words.Running:
    return words.Running([attempt for attempt, _ in rows], [since for _, since in rows])


def shown(action: Action) -> tuple[str, list[Message]]:  # noqa: C901 - a case for each action
    """What an action is, and what is said in it."""
    what, messages = "", list[Message]()
    match action:
        case ToScheduler(messages):
            what = "to the scheduler"
        case ToRunner(runner, messages):
            what = f"to runner {runner}"
        case ToPeer(session, messages):
            what = f"to peer {session}"
        case FetchFrom(address, serial, tids):
            what, messages = f"fetch from {address}", [values.Fetch(serial, tids)]
        case AwaitDrain(session):
            what = f"await peer {session}"
        case StartRunner(runner, delay_s):
            what = f"start runner {runner} in {delay_s:g} s" + ", for one task" * action.alone
        case KillRunner(runner, reason, starved, gently):
            how = " in want" if starved else " gently" if gently else ""
            what = f"end runner {runner}{how}: {reason}"
        case Spill(tids):
            what = f"spill {tids}"
        case LookUp(serial, topic, params):
            what, messages = "look up", [inquiring.Inquire(serial, topic, params)]
        case GiveUp(reason):
            what = f"give up: {reason}"
        case Depart(farewell):
            what, messages = "depart", [] if farewell is None else [farewell]
    return what, messages


def digest_of(actions: list[Action]) -> int:
    """The digest of what a core wants done at a time."""
    return digest(map(shown, actions))
