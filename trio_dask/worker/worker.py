"""One worker: its core, and the hands that perform what the core wants done."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, Final, Protocol

import trio

from trio_dask.comm import LocalLoans, takes_here
from trio_dask.errors import CommError
from trio_dask.messages.inquiring import LOGS, PROFILE, TASK_LOGS, Profiled, Told
from trio_dask.messages.sealing import Sealed, Unread
from trio_dask.messages.session import CLIENT
from trio_dask.messages.speech import Spoken
from trio_dask.messages.values import Fetch, Values
from trio_dask.store import given_max
from trio_dask.worker import logs
from trio_dask.worker.core import (
    Action,
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
)
from trio_dask.worker.lending import Lending
from trio_dask.worker.peers import Peers
from trio_dask.worker.profiles import Profiles
from trio_dask.worker.rooms import Rooms
from trio_dask.worker.speech import Voices

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.comm import Connection, Keys
    from trio_dask.messages import Message
    from trio_dask.messages.fleet import Farewell
    from trio_dask.messages.session import RegisterWorker
    from trio_dask.worker.recording import Core

#: How often a connection that is full is looked at: less and less, while it stays so.
_LOOK_AGAIN_S: Final = 0.005
_LOOK_AGAIN_MAX_S: Final = 0.5
#: What tasks' clients say may go on when no more than this waits for the scheduler.
_SCHEDULER_BYTES_MAX: Final = 1 << 20
#: One of so many free descriptors is for the values of one peer.
_SHARE: Final = 16
#: A peer that has read nothing for so long, while values wait for it, is let go.
STALLED_S: Final = 60.0

logger: Final = logging.getLogger("trio_dask.worker")


class LocalSession:
    """A neighbour in the same process that asks for values: the answers are calls."""

    def __init__(self, asker: Worker, answer: Callable[[Values], None]) -> None:
        self.asker = asker
        self.answer = answer


class Keeper(Protocol):
    """Whoever keeps the worker's runners."""

    def start(self, wish: StartRunner) -> None:
        """Have one, some time from now."""

    def end(self, wish: KillRunner) -> None:
        """End one on purpose, if it is there."""

    def give_up(self, reason: str) -> None:
        """There is no point in starting more."""


class Worker:
    """What a worker's parts share: the core, the links, and `perform`.

    Whoever tells the core something calls `perform` afterwards; all of it is synchronous.
    """

    def __init__(
        self, core: Core, scheduler: Connection, keys: Keys, neighbours: dict[str, Worker]
    ) -> None:
        self.core: Final[Core] = core
        self.name: Final = core.state.name
        self.address: Final = core.state.address
        self.scheduler = scheduler  # another one, when this is lost
        self.runners: Final[dict[int, Connection]] = {}
        self._lent: Final[dict[int, Lending]] = {}  # to each of them
        self.keeper: Keeper | None = None
        self._ended: list[Lending] = []  # of runners that are gone, as long as their values live
        self.registered = trio.Event()
        self.lost_at: float | None = None  # since when the scheduler is being looked for
        self.registration: Callable[[], RegisterWorker] = _nothing_to_say
        self.peers: Final = Peers(self, keys)
        #: Set when something is to be stopped, or may have to be before the nannies look.
        self.stopping = trio.Event()
        self.looks_at = math.inf
        self.spill: Callable[[list[int]], None] = _nowhere
        self.performed: Callable[[], None] = _nothing
        #: Set when it is to leave, and when it may go; then there may be a farewell.
        self.draining, self.departing = trio.Event(), trio.Event()
        self.farewell: Farewell | None = None
        self.aged = False  # it leaves because its time is over
        self.profiles = Profiles(0.0)
        self.voices: Final = Voices()
        #: Where large values are put that come from other hosts.
        self.rooms = Rooms()
        #: The last lines of the process's log, and those that the runner has written.
        self.lines: Callable[[float], list[dict[str, Any]]] = _no_lines
        self.output: Callable[[], list[str]] = list
        #: What its slots run and since when, and what the runner uses.
        self.board: Callable[[], list[tuple[int, float]]] = list
        self.metrics: Callable[[], dict[str, Any]] = dict
        self._neighbours: Final = neighbours
        self._sessions: dict[int, Connection | LocalSession] = {}
        self._session_of: dict[Worker, int] = {}  # of neighbours
        self._nurseries: dict[int, trio.Nursery] = {}
        self._last_session = 0
        #: What goes through local connections as descriptors: with who asks, by session, and
        #: with all whose values live.
        self._loans: Final[dict[int, LocalLoans]] = {}
        self._all_loans: list[tuple[LocalLoans, Connection]] = []
        self._performing = False
        self._told = False  # the core was, since it was asked what is to be done

    # ------------------------------------------------------------ performing

    def perform(self) -> None:
        """Do what the core wants done.

        What that leads to here, as with neighbours, is done by the outermost call, so
        that everything leaves in the order in which it was decided.
        """
        if self._performing:
            self._told = True
            return
        self._performing = self._told = True
        try:
            while self._told:
                self._told = False  # unless what is done now leads to more
                for action in self.core.flush():
                    self._perform_one(action)
        finally:
            self._performing = False
        for number, connection in self.runners.items():
            _send_each(connection, self._lent[number].news())
        for loans, peer in self._all_loans:
            _send_each(peer, loans.news())
        self.wake_neighbours()
        self.performed()
        if self.core.stopping or self.core.look_at < self.looks_at:
            self.stopping.set()
        if self.core.draining:
            self.draining.set()

    def wake_neighbours(self) -> None:
        """Those of the process for whose values there is room now go on fetching."""
        inwards = self.core.state.store.inwards
        if not inwards.due or inwards.waking:
            return
        inwards.waking = True
        try:
            while (address := inwards.next_due()) is not None:
                if address in self._neighbours:
                    self._neighbours[address].perform()
        finally:
            inwards.waking = False

    def _perform_one(self, action: Action) -> None:
        match action:
            case ToScheduler(messages):
                _send_each(self.scheduler, messages)
            case ToRunner(runner, messages):
                if runner in self.runners:
                    _send_each(self.runners[runner], self._lent[runner].given(messages))
            case ToPeer(session, messages):
                self._tell_peer(session, messages)
            case FetchFrom(address, serial, tids):
                self._fetch(address, Fetch(serial, tids))
            case AwaitDrain(session):
                self._await_drain(session)
            case StartRunner() | KillRunner() | GiveUp():
                self._keep(action)
            case LookUp() | Spill() | Depart():
                self._perform_rare(action)

    def _perform_rare(self, action: LookUp | Spill | Depart) -> None:
        match action:
            case LookUp(serial, topic, params):
                self.core.told(self._looked_up(serial, topic, params))
                self._told = True
            case Spill(tids):
                self.spill(tids)
            case Depart(farewell):
                self.farewell = farewell
                self.departing.set()

    def _looked_up(self, serial: int, topic: str, params: dict[str, Any]) -> Told:
        now = trio.current_time()
        if topic == PROFILE:
            return Told(serial, ok=True, said=[self.profiles.answer(params, now)])
        if topic == LOGS:
            said = logs.answer(params, self.lines(now), self.output())
            return Told(serial, ok=True, said=[said])
        if topic == TASK_LOGS:
            return Told(serial, ok=True, said=[self.voices.answer(params)])
        return Told(serial, ok=False, said=[b"a worker does not know"])

    def _keep(self, action: StartRunner | KillRunner | GiveUp) -> None:
        assert self.keeper is not None, "nothing happens before the worker has one"
        match action:
            case StartRunner():
                self.keeper.start(action)
            case KillRunner():
                self.keeper.end(action)
            case GiveUp(reason):
                self.keeper.give_up(reason)

    def _fetch(self, address: str, question: Fetch) -> None:
        neighbour = self._neighbours.get(address)
        if neighbour is not None:
            neighbour.ask_here(self, question)
        else:
            self.peers.fetch(address, question)

    def _tell_peer(self, session: int, messages: list[Message]) -> None:
        peer = self._sessions.get(session)
        if isinstance(peer, LocalSession):
            for message in messages:
                if isinstance(message, Values):
                    peer.answer(message)
        elif peer is not None:
            loans = self._loans.get(session)
            if loans is not None:
                messages = list(map(loans.said, messages))
            _send_each(peer, messages)

    def runner_is_there(self, number: int, connection: Connection, pool_bytes_max: int) -> None:
        """A runner can take work."""
        self.runners[number], self._lent[number] = connection, Lending(pool_bytes_max, given_max())
        self.core.runner_ready(number)

    def runner_is_gone(self, number: int) -> None:
        """It has ended, and reads nothing any more."""
        if self.runners.pop(number, None) is not None:
            lent = self._lent.pop(number)
            lent.end()
            self._ended = [each for each in (*self._ended, lent) if each.alive_bytes]

    @property
    def shared_bytes(self) -> int:
        """Memory of values that its runners have made, or others of this host, and is kept for more."""
        made = sum(each.alive_bytes for each in (*self._lent.values(), *self._ended))
        came = sum(loans.alive_bytes for loans, _ in self._all_loans)
        return made + came + sum(map(self.idle_bytes, self._lent)) + self.rooms.nbytes

    def idle_bytes(self, number: int) -> int:
        """Memory that a runner keeps for values to come."""
        lent = self._lent.get(number)
        return lent.idle_bytes if lent is not None else 0

    def on_runner(self, number: int, message: Message) -> None:
        """A runner says something: what it reads is not the core's concern."""
        if type(message) is Profiled:
            self.profiles.take(message, trio.current_time())
            return
        if type(message) is Spoken:
            self.voices.take(message)
            return
        if type(message) in (Unread, Sealed) and number in self.runners:
            lent = self._lent[number]
            if type(message) is Unread:
                lent.unread(message)
                return
            if type(message) is Sealed:
                lent.sealed(message)
        self.core.on_runner(number, message)

    def drain(self, reason: str, *, patient: bool) -> None:
        """It is to leave: see `WorkerCore.drain`."""
        self.core.drain(reason, patient=patient)
        self.perform()

    # ------------------------------------------------------------ peers that ask

    async def serve_peer(self, connection: Connection) -> None:
        """Answer one peer, or client, until it leaves."""
        session = self._join(connection, may_store=connection.peer.role == CLIENT)

        loans = self.open_loans(connection)
        if loans is not None:
            self._loans[session] = loans

        def on_messages(messages: list[Message]) -> None:
            try:
                for message in messages if loans is None else loans.heard(messages):
                    self.core.on_peer(session, message)
            finally:
                self.perform()

        failure: CommError | None = None
        try:
            async with trio.open_nursery() as nursery:
                self._nurseries[session] = nursery
                try:
                    await connection.run(on_messages)
                except CommError as error:  # to be said by `serve`, and not in a group
                    failure = error
                nursery.cancel_scope.cancel("the peer left")
        finally:
            del self._nurseries[session]
            self._loans.pop(session, None)
            if loans is not None:
                loans.end()
            self._leave(session)
        try:
            if failure is not None:
                raise failure
        finally:
            del failure  # it refers to this frame, and to those that have what it was about

    def open_loans(self, connection: Connection) -> LocalLoans | None:
        """For a connection with somebody on this host, who is told at once how many we take.

        What others send is read to where runners read it.
        """
        if not connection.near:
            connection.make_room_by(self.rooms.make)
            return None
        loans = LocalLoans()
        self._all_loans = [each for each in self._all_loans if not each[0].is_over]
        self._all_loans.append((loans, connection))
        connection.send(takes_here(_SHARE))
        return loans

    def _join(self, peer: Connection | LocalSession, *, may_store: bool) -> int:
        self._last_session += 1
        self._sessions[self._last_session] = peer
        self.core.peer_joined(self._last_session, may_store=may_store)
        return self._last_session

    def _leave(self, session: int) -> None:
        del self._sessions[session]
        self.core.peer_left(session)
        self.perform()

    def _await_drain(self, session: int) -> None:
        if not session:
            self.peers.spawn(self._drain_scheduler)
            return
        connection = self._sessions.get(session)
        if isinstance(connection, LocalSession):
            self.core.drained(session)
            self._told = True
        elif connection is not None:
            self._nurseries[session].start_soon(self._drain, session, connection)

    async def _drain_scheduler(self) -> None:
        """Wait until the scheduler has been sent most of what was said to it."""
        pause = _LOOK_AGAIN_S
        while self.scheduler.queued_bytes > _SCHEDULER_BYTES_MAX:
            await trio.sleep(pause)
            pause = min(2 * pause, _LOOK_AGAIN_MAX_S)
        self.core.drained(0)
        self.perform()

    async def _drain(self, session: int, connection: Connection) -> None:
        """Wait until the peer has taken what was said to it."""
        before, since, pause = connection.queued_bytes, trio.current_time(), _LOOK_AGAIN_S
        while waiting := connection.queued_bytes:
            if waiting != before:
                before, since, pause = waiting, trio.current_time(), _LOOK_AGAIN_S
            elif trio.current_time() - since > STALLED_S:
                connection.cut(f"{waiting} bytes have waited for {STALLED_S:g} s")
                return
            await trio.sleep(pause)
            pause = min(2 * pause, _LOOK_AGAIN_MAX_S)
        self.core.drained(session)
        self.perform()

    # ------------------------------------------------------------ neighbours

    def ask_here(self, asker: Worker, question: Fetch) -> None:
        """A neighbour wants values; no bytes are copied for it."""
        session = self._session_of.get(asker)
        if session is None:

            def answer(values: Values) -> None:
                asker.core.fetched(values)
                asker.perform()

            session = self._join(LocalSession(asker, answer), may_store=False)
            self._session_of[asker] = session
        self.core.on_peer(session, question)
        self.perform()

    def open_for_neighbours(self) -> None:
        """From now on neighbours ask us by a call."""
        self._neighbours[self.address] = self

    def close_for_neighbours(self) -> None:
        """We end: what neighbours still wait for they will not get, and we ask nothing more."""
        self._neighbours.pop(self.address, None)
        for asker in self._session_of:
            asker.core.fetch_failed(self.address)
            asker.perform()
        for neighbour in self._neighbours.values():
            neighbour.forget_neighbour(self)

    def forget_neighbour(self, asker: Worker) -> None:
        """A neighbour has ended: its questions need no answer."""
        session = self._session_of.pop(asker, None)
        if session is not None:
            self._leave(session)


def _nothing_to_say() -> RegisterWorker:
    """There is no runner yet: who registers is given work."""
    msg = "the worker is not ready to register"
    raise RuntimeError(msg)


def _no_lines(_now: float) -> list[dict[str, Any]]:
    """Nobody keeps what is logged."""
    return []


def _nothing() -> None:
    """Nobody looks what was done."""


def _nowhere(_tids: list[int]) -> None:
    """Nobody writes files yet."""


def _send_each(connection: Connection, messages: list[Message]) -> None:
    """A frame for each message: together they might exceed what one may hold."""
    for message in messages:
        connection.send(message)
