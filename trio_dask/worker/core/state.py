"""What a worker knows, and what it is about to say."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from trio_dask.messages.tasks import Replicas, Returned, Slots
from trio_dask.messages.values import Fetch, Give
from trio_dask.worker.core.actions import (
    Action,
    AwaitDrain,
    Depart,
    FetchFrom,
    KillRunner,
    LookUp,
    Spill,
    StartRunner,
    ToPeer,
    ToRunner,
    ToScheduler,
)
from trio_dask.worker.core.mirroring import Kept
from trio_dask.worker.core.nested_books import NestedBooks
from trio_dask.worker.core.resuming import to_say
from trio_dask.worker.core.room_books import NONE, Room

if TYPE_CHECKING:
    from trio_dask.messages import Message, Payload
    from trio_dask.messages.tasks import Traced
    from trio_dask.worker.core.apart import Apart
    from trio_dask.worker.core.draining import Draining, DrainRules
    from trio_dask.worker.core.inquiring import Inquired
    from trio_dask.worker.core.limits import Limited, Limits
    from trio_dask.worker.core.plugins import Plugging
    from trio_dask.worker.core.restart import GiveUp, Restarts
    from trio_dask.worker.core.resuming import Bond
    from trio_dask.worker.core.stopping import Stopping
    from trio_dask.worker.core.store import Store

#: The most values in one message: frames have a limit on their payloads.
VALUES_MAX: Final = 1024


class Outbox:
    """What is to be said and done since the last flush, but for what runners are told."""

    __slots__ = (
        "depart", "drains", "fetches", "look_ups", "peers", "runners", "scheduler", "spills",
    )  # fmt: skip

    def __init__(self) -> None:
        self.scheduler: list[Message] = []
        self.peers: dict[int, list[Message]] = {}
        self.fetches: dict[str, list[int]] = {}
        self.drains: dict[int, None] = {}
        self.look_ups: list[LookUp] = []
        self.spills: list[int] = []
        self.runners: list[StartRunner | KillRunner | GiveUp] = []
        self.depart: Depart | None = None

    def returned(self, attempts: list[int]) -> None:
        """Tell the scheduler that these attempts have not begun and will not."""
        last = self.scheduler[-1] if self.scheduler else None
        if type(last) is Returned:
            last.attempts += attempts
        elif attempts:
            self.scheduler.append(Returned(list(attempts)))

    def replica(self, tid: int) -> None:
        """Tell the scheduler about a copy."""
        last = self.scheduler[-1] if self.scheduler else None
        if type(last) is Replicas:
            last.tids.append(tid)
        else:
            self.scheduler.append(Replicas([tid]))

    def peer(self, session: int, message: Message) -> None:
        """Say something to a peer."""
        self.peers.setdefault(session, []).append(message)

    def take(self, state: WorkerState) -> list[Action]:
        """Everything, as actions."""
        out: list[Action] = []
        if self.scheduler or state.bond is not None:
            said = to_say(state)
            if said:
                out.append(ToScheduler(said))
        for runner in state.runners.values():
            if runner.out:
                out.append(ToRunner(runner.number, runner.out))
                runner.out = []
        if self.peers:
            out += [ToPeer(session, messages) for session, messages in self.peers.items()]
            self.peers = {}
        if self.fetches:
            for address, tids in self.fetches.items():
                serial = state.next_serial()
                state.requests[serial] = Request(address, dict.fromkeys(tids))
                out.append(FetchFrom(address, serial, tids))
            self.fetches = {}
        if self.drains:
            out += [AwaitDrain(session) for session in self.drains]
            self.drains = {}
        out += self._take_lives(state)
        self._take_rare(out)
        return out

    def _take_rare(self, out: list[Action]) -> None:
        if self.look_ups:
            out += self.look_ups
            self.look_ups = []
        if self.spills:
            out.append(Spill(self.spills))
            self.spills = []
        if self.depart is not None:
            out.append(self.depart)
            self.depart = None

    def _take_lives(self, state: WorkerState) -> list[StartRunner | KillRunner | GiveUp]:
        for runner in state.runners.values():
            if runner.kill:
                idle = bool(runner.recycled or runner.alone) and not runner.given
                end = KillRunner(runner.number, runner.kill, runner.starved, gently=idle)
                self.runners.append(end)
                runner.kill = ""
        taken, self.runners = self.runners, []
        return taken


@dataclass(slots=True, eq=False)
class Row:
    """An attempt that waits for inputs: its row of `Run`, and what is missing."""

    attempt: int
    tid: int
    fid: int
    rank: int
    args: bytes
    key: str
    deps: list[int]
    inline: list[bytes | None]
    refs: list[int]
    missing: dict[int, None]
    limits: Limits


@dataclass(slots=True, eq=False)
class Want:
    """A value that is being fetched: from whom, whom else to ask, and for which attempts."""

    candidates: list[str]
    nbytes: int = 0  # of a large one, as far as it is known
    entered: bool = False  # it has been taken in by `Inwards`,
    queued: bool = False  # where it waits for its turn
    tried: list[str] = field(default_factory=list)
    waiting: dict[int, None] = field(default_factory=dict)
    copy: bool = False  # it goes into the store, too
    moving: bool = False  # another runner of ours was asked for it,
    moved: bool = False  # and has answered


@dataclass(slots=True, eq=False)
class Request:
    """A question to another worker, and the values it has not told about yet."""

    address: str
    tids: dict[int, None]


@dataclass(slots=True, eq=False)
class Session:
    """Whoever opened a data connection, and what is still to be answered."""

    number: int
    may_store: bool
    queue: deque[Answering] = field(default_factory=deque)
    expected: int = 0  # bytes that the runner was asked for
    unsent: int = 0  # bytes said since the connection was last known to be drained
    copies: int = 0  # of both, what was packed for it, and is nowhere else
    draining: bool = False
    gone: bool = False


@dataclass(slots=True, eq=False)
class Answering:
    """A `Fetch` that is being answered, in parts."""

    session: Session
    serial: int
    tids: list[int]
    at: int = 0
    exporting: int = 0  # values that the runner was asked for


@dataclass(slots=True, eq=False)
class Runner:
    """A runner process, from the wish for one to its end: what is in it, and what it is told."""

    number: int
    ready: bool = False
    answered: int = 0  # attempts
    functions: set[int] = field(default_factory=set)
    given: dict[int, int] = field(default_factory=dict)  # attempt → task
    held: dict[int, int] = field(default_factory=dict)  # task → bytes
    stopping: dict[int, Stopping] = field(default_factory=dict)  # of the attempts given
    abandoned: set[int] = field(default_factory=set)  # of these, reported in its place
    #: Values that these have made: to be dropped when no other makes them there.
    twice: dict[int, None] = field(default_factory=dict)
    condemned: str = ""  # why it takes nothing more, and ends when what runs in it has ended
    since: float | None = None  # since when what runs has limited time; None: it is in no hurry
    bound: set[int] = field(default_factory=set)  # values that cannot leave it
    recycled: str = ""  # why another is to take its place, in no hurry
    alone: int = 0  # the one attempt that it is for; 0: it is for all others
    replaced: bool = False  # another has been started in its place,
    successor: int = 0  # which takes over when it is ready
    sealed: dict[int, Payload] = field(default_factory=dict)  # of attempts that are about to end
    unsealed: list[int] = field(default_factory=list)  # values to be put into the store
    forgotten: bool = False  # it is about to end, and nothing that it says counts
    kill: str = ""  # why it is to be killed now
    starved: bool = False  # as it has too much memory: its tasks are to blame
    level: int = NONE  # how short of memory it has been told that we are
    to_unload: list[int] = field(default_factory=list)  # values to go to files
    unloading: dict[int, dict[int, None]] = field(default_factory=dict)  # serial → tasks
    numbers: dict[int, int] = field(default_factory=dict)  # the last given to clients in it
    numbers_wanted: int = 0  # more of them
    to_export: list[int] = field(default_factory=list)
    exporting: dict[int, dict[int, None]] = field(default_factory=dict)  # serial → tasks
    out: list[Message] = field(default_factory=list)

    @property
    def takes_tasks(self) -> bool:
        """Whether it may be given more to do."""
        return self.ready and not self.condemned and not self.forgotten

    def give(self, tid: int, payload: Payload, nbytes: int) -> None:
        """Give it a value."""
        self.held[tid] = nbytes
        last = self.out[-1] if self.out else None
        if type(last) is Give and len(last.tids) < VALUES_MAX:
            last.tids.append(tid)
            last.payloads.append(payload)
        else:
            self.out.append(Give([tid], [payload]))


@dataclass(slots=True, eq=False)
class WorkerState:
    """All that a worker core knows."""

    name: str
    address: str
    nthreads: int  # of each runner
    count: int  # of runners that there shall be
    store: Store
    restarts: Restarts
    drain_rules: DrainRules
    slots: int  # as the scheduler knows them
    runners: dict[int, Runner] = field(default_factory=dict)
    taking: list[Runner] = field(default_factory=list)  # those that take tasks
    last_runner: int = 0
    functions: dict[int, tuple[str, bytes]] = field(default_factory=dict)  # name, pickled
    waiting: dict[int, Row] = field(default_factory=dict)
    apart: dict[int, Apart] = field(default_factory=dict)  # they have runners of their own
    traced: list[Traced] = field(default_factory=list)  # said of the `Run` to come
    processes: bool = True  # there can be such
    wants: dict[int, Want] = field(default_factory=dict)
    requests: dict[int, Request] = field(default_factory=dict)
    sessions: dict[int, Session] = field(default_factory=dict)
    exports: dict[int, list[tuple[Answering, int]]] = field(default_factory=dict)
    copies: int = 0  # bytes that were packed for peers and have not been sent
    serial: int = 0
    now: float = 0.0  # when the scheduler last said something
    limits: dict[int, Limited] = field(default_factory=dict)  # of attempts in runners
    looks: list[tuple[float, int]] = field(default_factory=list)  # a heap: when to look at which
    draining: Draining | None = None  # the worker is to leave
    renewals: dict[int, set[int]] = field(default_factory=dict)  # serial → runners to end first
    plugins: dict[str, bytes] = field(default_factory=dict)  # of every runner, by name
    plugging: dict[int, Plugging] = field(default_factory=dict)  # to be answered, by serial
    room: Room = field(default_factory=Room)
    nested: NestedBooks = field(default_factory=NestedBooks)
    inquired: dict[int, Inquired] = field(default_factory=dict)  # of runners, by serial
    mirror: Kept = field(default_factory=Kept)  # for the scheduler
    lingering: dict[int, None] = field(default_factory=dict)  # they have lost their clients
    bond: Bond | None = None  # where the conversation with the scheduler outlasts a connection
    out: Outbox = field(default_factory=Outbox)

    def next_serial(self) -> int:
        """A number for a question."""
        self.serial += 1
        return self.serial

    def ask_runners(self) -> None:
        """Ask runners for all values that have to leave them."""
        for runner in self.runners.values():
            if runner.to_export:
                serial = self.next_serial()
                runner.exporting[serial] = dict.fromkeys(runner.to_export)
                runner.out.append(Fetch(serial, runner.to_export))
                runner.to_export = []

    def given(self, attempt: int) -> Runner | None:
        """The runner that has been given the attempt."""
        return next((each for each in self.runners.values() if attempt in each.given), None)

    def holder(self, tid: int) -> Runner | None:
        """A runner that holds the value."""
        return next((each for each in self.runners.values() if tid in each.held), None)

    @property
    def usable_slots(self) -> int:
        """How many tasks the worker runs at once, where memory is not too short for that."""
        if self.room.paused and self.taking:
            return int(self.room.one_by_one)
        return self.nthreads * len(self.taking)

    def review(self) -> None:
        """A runner takes tasks now, or no more: the scheduler hears of the slots."""
        self.taking = [each for each in self.runners.values() if each.takes_tasks]
        slots = self.usable_slots
        if slots != self.slots:
            self.slots = slots
            self.out.scheduler.append(Slots(slots))
