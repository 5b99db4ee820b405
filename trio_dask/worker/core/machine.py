"""The worker's core: what is said to it goes in, what it wants done comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import (
    Memory,
    Message,
    agreeing as counting,
    apart as places,
    fleet,
    inquiring as looking,
    nested as inner,
    plugins as plugging,
    reunion,
    sealing as seals,
    session as hello,
    tasks as words,
    values,
)
from trio_dask.worker.core import (
    agreeing,
    announcing,
    apart,
    attempts,
    condemning,
    copying,
    draining,
    inputs,
    inquiring,
    limits,
    lingering,
    mirroring,
    nested,
    plugins,
    renewing,
    resuming,
    room,
    runners,
    sealing,
    serving,
    stopping,
)
from trio_dask.worker.core.draining import DrainRules
from trio_dask.worker.core.restart import RestartRules, Restarts
from trio_dask.worker.core.room_books import MemoryRules
from trio_dask.worker.core.state import Runner, Session, WorkerState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio_dask.messages import Payload
    from trio_dask.worker.core.actions import Action
    from trio_dask.worker.core.store import Store

#: Attempts that have been running for so long are told to the scheduler.
RUNNING_S: Final = 1.0
_RULES: Final = RestartRules()

_FROM_SCHEDULER: Final[dict[type[Message], Callable[[WorkerState, Any], None]]] = {
    words.Run: attempts.on_run,
    words.Traced: attempts.on_traced,
    words.Recall: attempts.on_recall,
    words.Interrupt: attempts.on_interrupt,
    words.Free: attempts.on_free,
    words.Functions: attempts.on_functions,
    words.ForgetFunctions: attempts.on_forget_functions,
    inner.Nested: nested.on_answer,
    inner.Numbers: nested.on_numbers,
    fleet.Copy: copying.on_copy,
    fleet.Dismiss: draining.on_dismiss,
    fleet.Farewell: draining.on_farewell,
    fleet.Renew: renewing.on_renew,
    looking.Inquire: inquiring.on_inquire,
    plugging.Plugins: plugins.on_plugins,
    reunion.Disown: stopping.on_disown,
    reunion.Mirror: mirroring.on_mirror,
    counting.Recount: agreeing.on_recount,
}
_FROM_RUNNER: Final[dict[type[Message], Callable[[WorkerState, Runner, Any], None]]] = {
    words.Done: attempts.on_done,
    words.Returned: attempts.on_returned,
    words.Interrupting: stopping.on_interrupting,
    values.Values: serving.on_values,
    seals.Sealed: sealing.on_sealed,
    seals.Slab: sealing.on_slab,
    places.Reserved: apart.on_reserved,
    inner.Nested: nested.on_nested,
    inner.NumbersWanted: nested.on_numbers_wanted,
    inner.Parked: nested.on_parked,
    inner.NestedFetch: nested.on_fetch,
    inner.NestedStore: nested.on_store,
    looking.Told: inquiring.on_told,
    plugging.PluginsDone: plugins.on_done,
}
_FROM_PEER: Final[dict[type[Message], Callable[[WorkerState, Session, Any], None]]] = {
    hello.RegisterPeer: serving.on_register,
    values.Fetch: serving.on_fetch,
    values.Store: serving.on_store,
}


class WorkerCore:
    """One worker: attempts, values, and who is waiting for which.

    Calls do not answer: after any of them, `flush` gives what is to be done. A runner's
    story is `runner_ready`, what it says, `runner_died`, all with the number by which it was
    asked for; a number is never used again.
    """

    def __init__(  # noqa: PLR0913 - the rules of its parts
        self,
        name: str,
        address: str,
        nthreads: int,
        store: Store,
        *,
        secret: str = "",
        rules: RestartRules = _RULES,
        drain_rules: DrainRules = DrainRules(),  # noqa: B008 - it cannot change
        memory_rules: MemoryRules = MemoryRules(),  # noqa: B008 - nor can this
        processes: bool = True,
    ) -> None:
        """With a secret the conversation with the scheduler outlasts its connection.

        Without `processes` there is no runner for one attempt alone: all run in the same.
        """
        self.state = WorkerState(
            name, address, nthreads, 1, store, Restarts(rules), drain_rules, nthreads
        )
        if secret:
            self.state.bond = resuming.Bond(secret)
        self.state.room.rules = memory_rules
        self.state.processes = processes
        runners.start(self.state)

    def on_scheduler(self, message: Message, now: float | None = None) -> None:
        """Take in what the scheduler said; `now` may be left out where nothing has a deadline.

        Raises:
            RemoteProtocolError: schedulers do not say that.
        """
        if type(message) is hello.Welcome:
            announcing.welcomed(self.state, message)
            return
        if resuming.hears(self.state, message):
            return
        handle = _FROM_SCHEDULER.get(type(message))
        if handle is None:
            msg = f"a scheduler does not say {type(message).__name__} to a worker"
            raise RemoteProtocolError(msg)
        if now is not None:
            self.state.now = now
        handle(self.state, message)

    def on_runner(self, number: int, message: Message) -> None:
        """Take in what a runner said.

        Raises:
            RemoteProtocolError: runners do not say that, or not now. The runner is to be
                ended: user code may have spoiled it.
        """
        handle = _FROM_RUNNER.get(type(message))
        runner = self.state.runners.get(number)
        if runner is not None and runner.forgotten:
            return  # it is about to end, and nothing of it counts
        if handle is None or runner is None or not runner.ready:
            msg = f"a runner does not say {type(message).__name__} now"
            raise RemoteProtocolError(msg)
        handle(self.state, runner, message)

    def scheduler_lost(self) -> None:
        """The connection to the scheduler broke: what is said waits for the next one."""
        resuming.lost(self.state)

    def resume(self) -> hello.Resume:
        """What to say first on the next connection."""
        bond = self.state.bond
        assert bond is not None, "only with a secret there is a next connection"
        return hello.Resume(bond.secret, bond.lasting.heard)

    @property
    def memory(self) -> Memory:
        """What is remembered of the cluster."""
        return self.state.bond.memory if self.state.bond is not None else Memory()

    def beat(self, metrics: dict[str, Any]) -> None:
        """Say that the worker is alive."""
        bond = self.state.bond
        agreeing.beat(self.state, metrics)
        if bond is not None and bond.lasting.owes:
            bond.due = True

    # ------------------------------------------------------------ runners' lives

    def runner_ready(self, number: int) -> None:
        """The runner of a `StartRunner` can take work."""
        runners.on_ready(self.state, self.state.runners[number])

    def runner_died(self, number: int, running: Iterable[int], certificate: dict[str, Any]) -> None:
        """A runner has ended; `running` is what its board says it was doing."""
        runners.on_died(self.state, self.state.runners[number], running, certificate)

    def recycle(self, number: int, reason: str) -> None:
        """Have another runner take the place of this one, in no hurry and without loss.

        For whoever decides that a runner has lived long enough, or has too much memory. What
        it holds is put into the store, then another is started, and it takes tasks until that
        is ready; then what it has not begun goes back, and it is ended when what it runs has
        ended, however long that takes. Its death is on purpose: nobody is blamed. A runner is
        left alone that is not ready, is to end anyway, or holds what cannot leave it; and so
        are all while another is recycled, or when the worker is to leave.
        """
        runner = self.state.runners.get(number)
        if runner is not None and not self.state.draining:
            condemning.recycle(self.state, runner, reason)

    # ------------------------------------------------------------ peers

    def peer_joined(self, session: int, *, may_store: bool) -> None:
        """Somebody opened a data connection; clients may store."""
        self.state.sessions[session] = Session(session, may_store)

    def on_peer(self, session: int, message: Message) -> None:
        """Take in what a peer said.

        Raises:
            RemoteProtocolError: it makes no sense; the peer is to be let go.
        """
        handle = _FROM_PEER.get(type(message))
        if handle is None:
            msg = f"a peer does not say {type(message).__name__}"
            raise RemoteProtocolError(msg)
        handle(self.state, self.state.sessions[session], message)

    def drained(self, session: int) -> None:
        """What was said to the peer, or with `nested.SCHEDULER` to that, has been written."""
        if session == nested.SCHEDULER:
            nested.drained(self.state)
            return
        found = self.state.sessions.get(session)
        if found is not None:
            found.unsent, found.draining = 0, False
            serving.over(self.state, found, found.copies - found.expected)
            serving.pump(self.state, found)

    def told(self, message: looking.Told) -> None:
        """The answer to a `LookUp`."""
        inquiring.told(self.state, message)

    def peer_left(self, session: int) -> None:
        """The data connection ended."""
        found = self.state.sessions.pop(session)
        serving.over(self.state, found, found.copies)
        found.gone = True
        found.queue.clear()
        self.state.out.peers.pop(session, None)
        self.state.out.drains.pop(session, None)

    def fetched(self, message: values.Values) -> None:
        """A part of the answer to a `FetchFrom`."""
        inputs.on_values(self.state, message)

    def fetch_failed(self, address: str) -> None:
        """There is no answer to be had from `address`, not to any `FetchFrom` so far."""
        inputs.fetch_failed(self.state, address)

    # ------------------------------------------------------------ memory

    def heeds(self, used: int) -> bool:
        """Whether `uses` is to be called when so much is used."""
        room = self.state.room
        short = room.spilling or room.paused or room.full
        return bool(room.rules.limit) and (bool(short) or used > room.rules.heed_bytes)

    def uses(self, used: int, own: dict[int, int], now: float) -> None:
        """So many bytes are used by the worker's runners and its values, `own` by each alone."""
        room.on_memory(self.state, used, own, now)

    def moved(self, tid: int, payload: Payload, *, shared: bool = False) -> None:
        """A value of the store has been written to a file, by whichever worker of the process.

        `shared`: with others, although it is large.
        """
        room.moved(self.state, tid, payload, shared=shared)

    def unmoved(self, tid: int, why: str, now: float) -> None:
        """A value that was to be could not."""
        room.unmoved(self.state, tid, why, now)

    # ------------------------------------------------------------ time, end, books

    def tick(self, board: Iterable[tuple[int, float]], now: float) -> None:
        """Time has passed; `board` says since when which attempts have been running anywhere."""
        long = [
            (attempt, now - began)
            for attempt, began in board
            if now - began >= RUNNING_S and self.state.given(attempt)
        ]
        if long:
            columns = [attempt for attempt, _ in long], [seconds for _, seconds in long]
            self.state.out.scheduler.append(words.Running(*columns))

    @property
    def stopping(self) -> bool:
        """Whether attempts are being stopped: then `climb` is to be called, often."""
        return any(each.stopping or each.since is not None for each in self.state.runners.values())

    @property
    def look_at(self) -> float:
        """When `climb` is to be called, if nothing is being stopped: something may be out of time."""
        return limits.look_at(self.state)

    def climb(self, board: Iterable[tuple[int, float]], now: float) -> None:
        """Stop what is out of time, and go on with stopping; `board` says what runs anywhere."""
        there = [*board, *((attempt, now) for attempt in self.state.nested.parked)]
        limits.look(self.state, there, now)
        running = [attempt for attempt, _ in there]
        for runner in list(self.state.runners.values()):
            stopping.climb(self.state, runner, running, now)

    def drain(self, reason: str, *, patient: bool) -> None:
        """The worker is to leave; with patience for however long its values take to move.

        From now on `go_on_draining` is to be called, often, until there is a `Depart`.
        """
        draining.begin(self.state, reason, patient=patient)

    @property
    def draining(self) -> bool:
        """Whether the worker is to leave."""
        return self.state.draining is not None

    def go_on_draining(self, board: Iterable[tuple[int, float]], now: float) -> None:
        """Go on with leaving."""
        draining.go_on(self.state, board, now)

    def leave(self) -> None:
        """The worker ends: its neighbours in the process lose what only it held."""
        self.state.store.leave(self.state.name)
        self.state.store.inwards.leave(self.state.address)
        room.forget_absent(self.state)

    def flush(self) -> list[Action]:
        """Everything to be done since the last time."""
        room.relieve(self.state)
        inputs.go_on(self.state)
        self.state.ask_runners()
        if self.state.lingering:
            lingering.look(self.state)
        return self.state.out.take(self.state)

    def fetching_from(self) -> list[str]:
        """Addresses that still owe an answer."""
        return list(dict.fromkeys(each.address for each in self.state.requests.values()))

    def books(self) -> dict[str, int]:
        """How much is on the books, for people and for tests that look for leftovers."""
        state = self.state
        runners = state.runners.values()
        return {
            "in_runner": sum(len(each.given) for each in runners),
            "waiting": len(state.waiting),
            "apart": len(state.apart),
            "wants": len(state.wants),
            "requests": len(state.requests),
            "exports": len(state.exports) + sum(len(each.exporting) for each in runners),
            "unanswered": sum(len(each.queue) for each in state.sessions.values()),
            "held": sum(len(each.held) for each in runners),
            "functions": len(state.functions),
            "stopping": sum(len(each.stopping) for each in runners),
            "nested": len(state.nested.known) + len(state.nested.asked),
            "limits": len(state.limits),
            "inquired": len(state.inquired),
            "leaving": len(state.room.leaving) + sum(len(each.unloading) for each in runners),
        }
