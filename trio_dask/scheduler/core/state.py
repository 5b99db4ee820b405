"""What the scheduler knows: tasks, functions, workers, clients.

Records point at one another and are compared by identity. The links between a
task and its inputs run both ways, so `forget` (in `wants`) cuts them: the garbage
collector is off in the scheduler and nothing here may need it.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakValueDictionary

from trio_dask.messages.ids import DATA, TaskId, auto_key, first_attempt, task_of_key
from trio_dask.messages.tasks import INTERRUPT
from trio_dask.scheduler.coordination import Records
from trio_dask.scheduler.core.books import Membership, Reunion, Sessions
from trio_dask.scheduler.core.chronicle import KEPT as _HAPPENED_KEPT
from trio_dask.scheduler.core.inquiry import Inquiries
from trio_dask.scheduler.core.mirror_books import Mirrors
from trio_dask.scheduler.core.pacing import Pace
from trio_dask.scheduler.core.plugin_books import PluginBooks
from trio_dask.scheduler.core.ready import ReadyQueue
from trio_dask.scheduler.core.sendings import Sendings
from trio_dask.scheduler.policies.placement import home_of, load_s, worth_moving

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from trio_dask.scheduler.core.chronicle import Happened
    from trio_dask.scheduler.core.copies import Order
    from trio_dask.scheduler.core.deaths import Deaths
    from trio_dask.scheduler.core.draining import Draining
    from trio_dask.scheduler.core.limits import Limit
    from trio_dask.scheduler.core.nests import Nest
    from trio_dask.scheduler.core.outbox import ClientOutbox, Outbox, WorkerOutbox
    from trio_dask.scheduler.core.restarting import Renewal
    from trio_dask.scheduler.core.settings import CoreSettings
    from trio_dask.scheduler.policies.relaying import Relay

# States of a task. What is true in each:
RELEASED: Final = 0  # described, has no value, nobody needs one
WAITING: Final = 1  # needed; `missing` of its inputs have no value yet
READY: Final = 2  # needed; all inputs have values; waits in a queue
ASSIGNED: Final = 3  # in `worker`'s window as `attempt`
DONE: Final = 4  # has a value: `value` (inline) or at `holders`
FAILED: Final = 5  # `value` is the encoded failure
CANCELLED: Final = 6  # will not run
LOST: Final = 7  # had a value that cannot be made again

STATE_NAMES: Final = (
    "released", "waiting", "ready", "assigned", "done", "failed", "cancelled", "lost",
)  # fmt: skip

PENDING: Final = (WAITING, READY, ASSIGNED)


class Prefix:
    """Tasks that share a function name, and what is known of how long they take."""

    __slots__ = ("_at", "_recent", "failed", "mean_s", "name", "runs", "seconds")

    def __init__(self, name: str) -> None:
        self.name = name
        self.mean_s = -1.0
        self.runs = 0  # attempts that ran to their end, since it is known
        self.seconds = 0.0  # and how long they took together
        self.failed = 0  # tasks that failed by themselves
        self._recent: list[float] = []
        self._at = 0

    def ended(self, total_s: float, count: int, longest_s: float) -> None:
        """`count` runs came to their end: for the books, and for the estimate."""
        self.runs += count
        if 0 <= total_s < math.inf:
            self.seconds += total_s
            self.observe(total_s, count, longest_s)

    def observe(self, total_s: float, count: int, longest_s: float) -> None:
        """Take in `count` runs that took `total_s` together, the longest `longest_s`."""
        if not 0 <= total_s < math.inf:
            return  # a broken clock somewhere: it would spoil the mean for good
        mean = total_s / count
        if self.mean_s < 0:
            self.mean_s = mean
        else:
            weight = 1 - 0.8 ** min(count, 16)
            self.mean_s += weight * (mean - self.mean_s)
        if len(self._recent) < _RECENT:
            self._recent.append(longest_s)
        else:
            self._recent[self._at] = longest_s
            self._at = (self._at + 1) % _RECENT

    def estimate_s(self) -> float:
        """How long the next one is expected to take; negative when nothing is known."""
        if self.mean_s < 0:
            return -1.0
        return max(self.mean_s, max(self._recent) / 4)


_RECENT: Final = 16
#: Some programs make a name for every function: the oldest are forgotten.
_PREFIXES_MAX: Final = 10_000


@dataclass(slots=True, eq=False)
class Function:
    """A pickled function, as the client sent it."""

    fid: int
    name: str
    blob: bytes
    prefix: Prefix
    forgotten: bool = False  # by its client; tasks may still have it


@dataclass(slots=True, eq=False, weakref_slot=True)
class Requirement:
    """Which workers may run a task: tasks with equal requirements share one queue.

    `workers` are names, addresses or hosts, empty for any; `resources` are units taken from
    the worker while the task runs.
    """

    workers: tuple[str, ...] = ()
    allow_others: bool = False
    resources: tuple[tuple[str, float], ...] = ()
    queue: ReadyQueue = field(default_factory=ReadyQueue)

    @property
    def open(self) -> bool:
        """Whether any worker will do."""
        return not self.workers and not self.resources


@dataclass(slots=True, eq=False)
class Spec:
    """What the tasks of one submission have in common."""

    function: Function | None  # None: a value that a client put here
    requirement: Requirement
    retries: int
    way: int = INTERRUPT  # in which it is stopped while it runs
    timeout_s: float = math.inf  # for which it may run, each time
    once: bool = False  # it is never made again: an actor would be another, a call be done twice
    trace: str = ""  # the span that submitted it
    apart: bool = False  # each attempt has a process of its own


class Task:
    """One task. Many exist at once, so it has only what most of them need."""

    __slots__ = (
        "also",
        "args",
        "attempt",
        "dependents",
        "deps",
        "holders",
        "missing",
        "nbytes",
        "needed",
        "queue",
        "rank",
        "spec",
        "state",
        "tid",
        "value",
        "wanted",
        "worker",
    )

    def __init__(self, tid: TaskId, spec: Spec, args: bytes | None, rank: int) -> None:
        self.tid = tid
        self.spec = spec
        self.args = args  # None: cannot be run (again)
        self.rank = rank
        self.state = RELEASED
        self.deps: tuple[Task, ...] = ()
        self.dependents: dict[Task, None] | None = None
        self.missing = 0
        self.needed = 0  # dependents that are pending
        self.wanted = False  # under its own id, by the client that made it
        self.also: dict[TaskId, None] | None = None  # other ids under which it is wanted; 0: kept
        self.attempt = 0
        self.worker: Worker | None = None
        self.value: bytes | None = None
        self.nbytes = 0
        self.holders: list[Worker] | None = None
        self.queue: ReadyQueue | None = None  # while READY

    def __lt__(self, other: object) -> bool:
        return False  # ranks are unique: in a queue a task only ever meets itself

    def __repr__(self) -> str:
        return f"<Task {self.tid:x} {STATE_NAMES[self.state]}>"


class Worker:
    """A worker in the cluster: its window of attempts and the values it holds."""

    __slots__ = (
        "address",
        "alive",
        "away",
        "draining",
        "free_resources",
        "functions",
        "held",
        "home",
        "incoming",
        "info",
        "kept",
        "last_done",
        "last_seen",
        "load",
        "memory_limit",
        "metrics",
        "name",
        "nested",
        "nthreads",
        "number",
        "numbers",
        "out",
        "parked",
        "parting",
        "passed",
        "peer",
        "recalled",
        "resources",
        "running",
        "sent",
        "slots",
        "stamp",
        "stray",
        "told",
        "window",
        "worst",
    )

    def __init__(self, out: WorkerOutbox, number: int, name: str, address: str) -> None:
        self.peer = out.peer
        self.number = number
        self.name = name
        self.address = address
        self.nthreads = 1
        self.told = 1  # slots as it says: 0 while it has no runner
        self.slots = 1  # as many as may be used: none also if it is to leave, or kept for a task
        self.kept: Task | None = None  # the task that runs alone there, or is to
        self.memory_limit = 0
        self.resources: dict[str, float] = {}
        self.free_resources: dict[str, float] = {}
        self.info: dict[str, Any] = {}
        self.metrics: dict[str, Any] = {}
        self.out = out
        self.alive = True
        self.away = False  # its connection broke, or it has not told yet what it has
        self.draining: Draining | None = None  # it is to leave
        self.incoming = 0  # bytes that it was told to copy, since it last said how it is
        self.window: dict[int, Task] = {}
        self.load: dict[Prefix, int] = {}  # how many of the window are of which prefix
        self.recalled: dict[int, bool] = {}  # asked back, not answered; whether to run elsewhere
        self.parked: dict[int, None] = {}  # of the window: they wait, and take no slot
        self.nested: dict[int, Client] = {}  # by attempt: clients inside tasks that run here
        # For clients inside tasks to come, each with its first id:
        self.numbers: dict[int, int] = {}
        self.parting: list[Client] = []  # clients whose attempts are over; all workers share it
        self.functions: set[int] = set()
        self.held: dict[TaskId, Task] = {}
        self.stray: dict[TaskId, None] = {}  # copies of what it is making anew at present
        self.home = ReadyQueue()  # ready tasks whose inputs are mostly here
        self.passed = 0  # so often in a row these went before what was submitted earlier
        self.worst = -(1 << 63)  # nothing un-begun in the window is of a higher rank
        self.stamp = 0  # changes with the window: outdates entries in the order of load
        self.last_done = 0.0
        self.last_seen = 0.0
        #: When it was given work. For people.
        self.sent = Sendings()
        #: Since when attempts run of which it last said that they had for a while. For people.
        self.running: dict[int, float] = {}

    def __repr__(self) -> str:
        return f"<Worker {self.name} {len(self.window)} in window>"

    @property
    def usable_slots(self) -> int:
        """Its slots, as far as tasks may be given to it."""
        usable = self.alive and not self.away and self.draining is None and self.kept is None
        return self.told if usable else 0

    def sent_ago_s(self, attempt: int, now: float) -> float | None:
        """How long ago it was given this attempt; None if that was too many batches ago."""
        when = self.sent.when(attempt)
        return None if when is None else max(0.0, now - when)


class FailedTask(NamedTuple):
    """A task that failed, or whose process died too often: what people will ask about."""

    tid: TaskId
    key: str
    prefix: str
    worker: str  # its name; empty if none ran it
    at: float  # when its worker was last heard of, the news included
    why: bytes  # the encoded failure


#: So many failures are remembered, each with all that is known of it.
_FAILURES_KEPT: Final = 256


@dataclass(slots=True, eq=False)
class Client:
    """A connected client."""

    peer: int
    number: int
    name: str
    out: ClientOutbox
    last_put: TaskId = 0  # of its values, which it puts in the order of their ids
    functions: dict[int, Function] = field(default_factory=dict)
    plain: dict[int, Spec] = field(default_factory=dict)  # by function: of tasks without options
    nest: Nest | None = None  # for one inside a task
    local: bool = False  # in the scheduler's process


@dataclass(slots=True, eq=False)
class ClusterState:
    """All the tables."""

    settings: CoreSettings
    cluster: str
    epoch: int
    #: The placement policy, as far as it is somebody's own: see `policies.proposals`.
    home_of: Callable[[Task], Worker | None] = home_of
    load_s: Callable[[Worker], float] = load_s
    worth_moving: Callable[[Task, Worker, Worker, CoreSettings], bool] = worth_moving
    policy_faults: list[str] = field(default_factory=list)
    now: float = 0.0  # when the last thing happened
    attempt: int = 0
    order: int = 0  # rank of the next task among those of its priority
    tasks: dict[TaskId, Task] = field(default_factory=dict)
    keys: dict[str, Task] = field(default_factory=dict)  # chosen by users
    names: dict[TaskId, str] = field(default_factory=dict)  # the same the other way round
    refs: dict[TaskId, list[TaskId]] = field(default_factory=dict)  # inputs by other ids
    retried: dict[TaskId, int] = field(default_factory=dict)
    unreached: dict[TaskId, int] = field(default_factory=dict)  # how often, for or by whom
    deaths: dict[TaskId, Deaths] = field(default_factory=dict)
    cancelling: dict[TaskId, str] = field(default_factory=dict)  # answered when recall is
    cancellers: dict[TaskId, str] = field(default_factory=dict)  # who had it cancelled; for people
    #: By when a task is wanted, by the ids under which it is: see `limits`.
    limits: dict[TaskId, Limit] = field(default_factory=dict)
    due: list[tuple[float, int, Limit]] = field(default_factory=list)  # a heap
    late: dict[TaskId, Limit] = field(default_factory=dict)  # with a worker, or at rest
    loosened: dict[TaskId, None] = field(default_factory=dict)  # more than its worker knows
    prefixes: dict[str, Prefix] = field(default_factory=dict)
    anywhere: Requirement = field(default_factory=Requirement)  # of tasks that may run anywhere
    #: All that some task has, by what they ask for.
    requirements: WeakValueDictionary[tuple[Any, ...], Requirement] = field(
        default_factory=WeakValueDictionary
    )
    restricted: dict[Requirement, None] = field(default_factory=dict)  # with ready tasks
    #: Of these: those that name a worker, by what they name; those that not only who is named may
    #: run; and those of which nobody has seen yet whether a worker has room for them.
    named: dict[str, dict[Requirement, None]] = field(default_factory=dict)
    unnamed: dict[Requirement, None] = field(default_factory=dict)
    fresh: dict[Requirement, None] = field(default_factory=dict)
    touched: dict[Worker, None] = field(default_factory=dict)  # their windows have changed
    homes: dict[Worker, None] = field(default_factory=dict)  # with ready tasks at home
    #: Of tasks that run alone on a worker, by what they ask for and where they are bound to.
    alone: dict[tuple[Requirement, Worker | None], ReadyQueue] = field(default_factory=dict)
    kept: dict[Worker, None] = field(default_factory=dict)  # for such a task
    workers: dict[str, Worker] = field(default_factory=dict)  # by address
    draining: dict[Worker, Draining] = field(default_factory=dict)  # those that are to leave
    worker_names: dict[str, Worker] = field(default_factory=dict)
    hosts: dict[str, dict[Worker, None]] = field(default_factory=dict)
    clients: dict[int, Client] = field(default_factory=dict)  # by number
    peers: dict[int, Client | Worker] = field(default_factory=dict)
    dirty: dict[int, Outbox] = field(default_factory=dict)  # peers to be told something
    clients_ever: int = 0
    workers_ever: int = 0
    stamps: int = 0
    worst: int = -(1 << 63)  # nothing un-begun in any window is of a higher rank
    by_load: list[tuple[float, int, Worker]] = field(default_factory=list)
    pinned: dict[TaskId, bytes] = field(default_factory=dict)  # cannot be moved, and why
    unused_functions: dict[int, None] = field(default_factory=dict)  # known to workers
    puts: dict[TaskId, Worker] = field(default_factory=dict)  # being stored there
    waiting_puts: list[tuple[Client, Any]] = field(default_factory=list)
    waiting_asks: list[tuple[Client, int, int]] = field(default_factory=list)
    dashboard: str = ""  # where it is, for people
    finished_ever: int = 0
    orders: dict[Order, None] = field(default_factory=dict)  # of clients that wait for copies
    copied: dict[TaskId, int] = field(default_factory=dict)  # looks at which none needed it
    copies_asked: dict[TaskId, int] = field(default_factory=dict)  # by clients: so many
    relays: dict[TaskId, Relay] = field(default_factory=dict)  # values that are passed on
    renewals: dict[int, Renewal] = field(default_factory=dict)  # workers get new runners
    renewals_ever: int = 0
    #: Questions that workers are to answer, by the serial that each was asked with.
    inquiries: Inquiries = field(default_factory=Inquiries)
    inquiries_ever: int = 0
    plugins: PluginBooks = field(default_factory=PluginBooks)  # in all runners
    closing: str = ""  # why all of it is to end
    records: Records = field(default_factory=Records)  # what the cluster keeps for clients
    mirrors: Mirrors = field(default_factory=Mirrors)  # and how workers keep that, too
    pace: Pace = field(init=False)
    numbers: dict[int, int] = field(default_factory=dict)  # used before, and the first id left
    parting: list[Client] = field(default_factory=list)
    failed_ever: int = 0
    #: The last failures, for people: their tasks may be forgotten by now.
    failures: deque[FailedTask] = field(default_factory=lambda: deque(maxlen=_FAILURES_KEPT))
    #: What has happened to workers and clients, for people.
    happened: deque[Happened] = field(default_factory=lambda: deque(maxlen=_HAPPENED_KEPT))
    sessions: Sessions = field(default_factory=Sessions)
    membership: Membership = field(default_factory=Membership)
    reunion: Reunion = field(default_factory=Reunion)

    def __post_init__(self) -> None:
        self.pace = Pace(self.settings.turn_max)
        self.attempt = self.mirrors.version = first_attempt(self.epoch)
        self.requirements[(), False, ()] = self.anywhere
        self.clients_ever = self.settings.clients_from

    @property
    def epoch_known(self) -> int:
        """The highest epoch heard of: while others come back, that of an earlier scheduler."""
        return max(self.epoch, self.reunion.epoch)

    def find_worker(self, name: str) -> Worker | None:
        """The worker with this name or address."""
        return self.worker_names.get(name) or self.workers.get(name)

    def prefix(self, name: str) -> Prefix:
        """The record of a function name, made on first use."""
        found = self.prefixes.get(name)
        if found is None:
            if len(self.prefixes) >= _PREFIXES_MAX:
                del self.prefixes[next(iter(self.prefixes))]
            found = self.prefixes[name] = Prefix(name)
        return found

    def runs_alone(self, task: Task) -> bool:
        """Whether nothing may run beside it on its worker: its process ran out of memory."""
        deaths = self.deaths.get(task.tid)
        return deaths is not None and deaths.starved > 0

    def key_of(self, task: Task) -> str:
        """The key that people see."""
        key = self.names.get(task.tid)
        if key is not None:
            return key
        function = task.spec.function
        return auto_key(function.name if function else DATA, task.tid)

    def task_with_key(self, key: str) -> Task | None:
        """The task people mean by `key`."""
        found = self.keys.get(key)
        if found is None:
            tid = task_of_key(key)
            found = self.tasks.get(tid) if tid is not None else None
            if found is not None and self.key_of(found) != key:
                return None
        return found


@dataclass(slots=True, eq=False)
class Job:
    """Something large that is done in slices; later messages of its peer wait behind it."""

    peer: int
    steps: Generator[None, None, None]
    backlog: deque[Any] = field(default_factory=deque)
