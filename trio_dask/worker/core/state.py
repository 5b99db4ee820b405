"""What a worker knows, and what it is about to say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from trio_dask.messages.tasks import Replicas, Returned
from trio_dask.messages.values import Fetch, Give
from trio_dask.worker.core.actions import (
    Action,
    AwaitDrain,
    Depart,
    FetchFrom,
    KillRunner,
    LookUp,
    Spill,
    ToPeer,
    ToRunner,
    ToScheduler,
)
from trio_dask.worker.core.nested_books import NestedBooks
from trio_dask.worker.core.resuming import to_say
from trio_dask.worker.core.room_books import Room

if TYPE_CHECKING:
    from trio_dask.messages import Message, Payload
    from trio_dask.messages.plugins import Plugins
    from trio_dask.worker.core.draining import Draining, DrainRules
    from trio_dask.worker.core.limits import Limited, Limits
    from trio_dask.worker.core.resuming import Bond
    from trio_dask.worker.core.stopping import Stopping
    from trio_dask.worker.core.store import Store

#: The most values in one message: frames have a limit on their payloads.
VALUES_MAX: Final = 1024


class Outbox:
    """What is to be said and done since the last flush."""

    __slots__ = (
        "depart", "drains", "fetches", "kill", "look_ups", "peers", "runner", "scheduler", "spills",
        "starved",
    )  # fmt: skip

    def __init__(self) -> None:
        self.scheduler: list[Message] = []
        self.runner: list[Message] = []
        self.peers: dict[int, list[Message]] = {}
        self.fetches: dict[str, list[int]] = {}
        self.drains: dict[int, None] = {}
        self.kill = ""  # why the runner is to be ended
        self.look_ups: list[LookUp] = []
        self.starved = False  # it has too much memory: its tasks are to blame
        self.spills: list[int] = []
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

    def give(self, tid: int, payload: Payload) -> None:
        """Give the runner a value."""
        last = self.runner[-1] if self.runner else None
        if type(last) is Give and len(last.tids) < VALUES_MAX:
            last.tids.append(tid)
            last.payloads.append(payload)
        else:
            self.runner.append(Give([tid], [payload]))

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
        if self.runner:
            out.append(ToRunner(self.runner))
            self.runner = []
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
        self._take_rare(out)
        return out

    def _take_rare(self, out: list[Action]) -> None:
        if self.kill:
            out.append(KillRunner(self.kill, starved=self.starved))
            self.kill, self.starved = "", False
        if self.look_ups:
            out += self.look_ups
            self.look_ups = []
        if self.spills:
            out.append(Spill(self.spills))
            self.spills = []
        if self.depart is not None:
            out.append(self.depart)
            self.depart = None


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
    tried: list[str] = field(default_factory=list)
    waiting: dict[int, None] = field(default_factory=dict)
    copy: bool = False  # it goes into the store, too


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
    queue: list[Answering] = field(default_factory=list)
    expected: int = 0  # bytes that the runner was asked for
    unsent: int = 0  # bytes said since the connection was last known to be drained
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
class WorkerState:
    """All that a worker core knows."""

    name: str
    address: str
    nthreads: int
    store: Store
    drain_rules: DrainRules
    up: bool = False
    died: bool = False
    answered: int = 0  # attempts that the present runner has answered
    functions: set[int] = field(default_factory=set)
    given: dict[int, int] = field(default_factory=dict)  # attempt → task, in the runner
    waiting: dict[int, Row] = field(default_factory=dict)
    held: dict[int, int] = field(default_factory=dict)  # task → bytes, live in the runner
    wants: dict[int, Want] = field(default_factory=dict)
    requests: dict[int, Request] = field(default_factory=dict)
    sessions: dict[int, Session] = field(default_factory=dict)
    exports: dict[int, list[tuple[Answering, int]]] = field(default_factory=dict)
    exporting: dict[int, dict[int, None]] = field(default_factory=dict)  # serial → tasks
    to_export: list[int] = field(default_factory=list)
    serial: int = 0
    stopping: dict[int, Stopping] = field(default_factory=dict)  # attempts in the runner
    now: float = 0.0  # when the scheduler last said something
    limits: dict[int, Limited] = field(default_factory=dict)  # of attempts in the runner
    looks: list[tuple[float, int]] = field(default_factory=list)  # a heap: when to look at which
    abandoned: set[int] = field(default_factory=set)  # of these, reported in the runner's place
    #: Values that abandoned attempts have made: to be dropped when no other makes them there.
    twice: dict[int, None] = field(default_factory=dict)
    doomed: float | None = None  # since when the runner is to end
    draining: Draining | None = None  # the worker is to leave
    sealed: dict[int, Payload] = field(default_factory=dict)  # of attempts that are about to end
    renewals: list[int] = field(default_factory=list)  # to be answered by the next runner
    plugins: dict[str, bytes] = field(default_factory=dict)  # of every runner, by name
    plugging: dict[int, Plugins] = field(default_factory=dict)  # to be answered, by serial
    forgotten: bool = False  # the runner that is about to end: nothing that it says counts
    room: Room = field(default_factory=Room)
    nested: NestedBooks = field(default_factory=NestedBooks)
    inquired: dict[int, None] = field(default_factory=dict)  # serials that the runner is to answer
    bond: Bond | None = None  # where the conversation with the scheduler outlasts a connection
    out: Outbox = field(default_factory=Outbox)

    def next_serial(self) -> int:
        """A number for a question."""
        self.serial += 1
        return self.serial

    def ask_runner(self) -> None:
        """Ask the runner for all values that have to leave it."""
        if self.to_export:
            serial = self.next_serial()
            self.exporting[serial] = dict.fromkeys(self.to_export)
            self.out.runner.append(Fetch(serial, self.to_export))
            self.to_export = []
