"""A scheduler and two workers in this process: they run tasks at once, or when told to."""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import trio

from trio_dask.client import AsyncClient, Client
from trio_dask.comm import AnyioConnection, anyio_connection_pair
from trio_dask.config import ClientConfig, Config
from trio_dask.errors import CommError, PeerClosed
from trio_dask.messages import Message, payload_bytes, session, tasks, values
from trio_dask.messages.exceptions import describe
from trio_dask.messages.payload import given, pack, unpack, unpack_function

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

T = TypeVar("T")

SCHEDULER = "tcp://scheduler:8786"
WORKERS = ["tcp://one:1", "tcp://two:2"]
ANSWERS: dict[str, tuple[bool, dict[str, Any]]] = {
    "flush": (True, {}),
    "info": (True, {"n_workers": 2}),
    "nthreads": (True, dict.fromkeys(WORKERS, 1)),
    "why": (
        True,
        {"key": "x", "state": "waiting", "lines": [b"Nobody is here."], "facts": {}, "error": b""},
    ),
    "nonsense": (False, {"error": "what?"}),
}
CONFIG = Config(token="0123456789abcdef" * 4, client=ClientConfig(reconnect_s=0.0))


class FakeCluster:
    """What a test sees of the cluster, and how it makes it misbehave.

    `held`: tasks wait for `run`. `inline_bytes_max`: longer results stay at workers.
    """

    def __init__(self, group: Any) -> None:
        self.group = group  # where its tasks run
        self.clients = 0
        self.held = False
        self.inline_bytes_max = 2048
        self.said: list[Message] = []  # all that clients told the scheduler
        self.connections: list[AnyioConnection] = []
        self.functions: dict[int, Any] = {}
        self.queue: deque[tuple[AnyioConnection, int, int, bytes, list[int]]] = deque()
        self.values: dict[int, Any] = {}  # the scheduler's: of all tasks that are done
        self.stores: dict[str, dict[int, Any]] = {address: {} for address in WORKERS}
        self.dead: set[str] = set()  # addresses nobody answers at
        self.runs: list[str] = []  # names of the functions that were run
        self.ran: dict[str, int] = {}  # by key
        self.store_errors: deque[str] = deque()
        self.puts: list[tuple[AnyioConnection, tasks.Put]] = []  # for workers that are not there

    # ------------------------------------------------------------ network

    async def dial(
        self, address: str, *, keys: object, role: str, expect: str, timeout_s: float
    ) -> AnyioConnection:
        """How a client connects."""
        if address in self.dead:
            raise PeerClosed(f"nobody answers at {address}")
        ours, theirs = anyio_connection_pair(role, expect)
        self.connections.append(theirs)
        self.group.start_soon(self._serve, address, theirs)
        return ours

    async def _serve(self, address: str, connection: AnyioConnection) -> None:
        def handle(messages: list[Message]) -> None:
            for message in messages:
                if address == SCHEDULER:
                    self.on_scheduler(connection, message)
                else:
                    self.on_worker(address, connection, message)

        with suppress(CommError):  # tests cut connections
            await connection.run(handle)

    def die(self) -> None:
        """The scheduler is gone, and does not come back."""
        self.dead.add(SCHEDULER)
        self.connections[0].cut("the cable")

    def told(self, kind: type[Message]) -> list[Any]:
        """All messages of one type that reached the scheduler."""
        return [message for message in self.said if type(message) is kind]

    def tids(self, kind: type[Message]) -> list[int]:
        """All task ids in them."""
        return [tid for message in self.told(kind) for tid in message.tids]

    # ------------------------------------------------------------ scheduler

    def on_scheduler(self, connection: AnyioConnection, message: Message) -> None:
        """What a scheduler does with a message, roughly."""
        self.said.append(message)
        match message:
            case session.RegisterClient():
                self.clients += 1
                connection.send(session.Welcome(self.clients, "fake", 1))
            case tasks.Functions():
                for fid, blob in zip(message.fids, message.blobs, strict=True):
                    self.functions[fid] = unpack_function(blob)
            case tasks.Submit():
                self.on_submit(connection, message)
            case tasks.Cancel():
                self.on_cancel(connection, message)
            case tasks.Put():
                self.on_put(connection, message)
            case tasks.Unreachable():
                self.stores[message.address].clear()
                self.tell(connection, [tid for tid in message.tids if tid in self.values])
            case session.Ask(topic=topic) if topic in ANSWERS:
                ok, data = ANSWERS[topic]
                connection.send(session.Answer(message.serial, ok, data))
            case _:
                pass

    def on_cancel(self, connection: AnyioConnection, message: tasks.Cancel) -> None:
        """Cancel what waits; the rest is over already."""
        waiting = {row[1] for row in self.queue}
        self.queue = deque(row for row in self.queue if row[1] not in message.tids)
        gone = [tid for tid in message.tids if tid in waiting]
        connection.send(tasks.Cancelled(gone, message.reason))

    def on_put(self, connection: AnyioConnection, message: tasks.Put) -> None:
        """To the first worker, or those whose addresses were named; names are of no worker here."""
        if message.workers == ["nobody"]:
            self.puts.append((connection, message))
            return
        targets = message.workers or WORKERS[:1]
        at = [row for row in range(len(targets)) for _ in message.tids]
        connection.send(tasks.PutAt(message.tids * len(targets), at, list(targets)))

    def place(self) -> None:
        """The first worker is the one that values have waited for."""
        for connection, message in self.puts:
            here = [0] * len(message.tids)
            connection.send(tasks.PutAt(message.tids, here, WORKERS[:1]))
        self.puts = []

    def on_submit(self, connection: AnyioConnection, message: tasks.Submit) -> None:
        """Queue the tasks; run them unless they are to be held."""
        deps = iter(message.dep_tids)
        for row, blob in enumerate(message.args):
            count = message.dep_counts[row] if message.dep_counts else 0
            fid = message.fids[row if len(message.fids) > 1 else 0]
            inputs = [next(deps) for _ in range(count)]
            self.queue.append((connection, message.first + row, fid, blob, inputs))
            if message.keys:
                self.ran[message.keys[row]] = self.ran.get(message.keys[row], 0) + 1
        if not self.held:
            self.run()

    def run(self, count: int | None = None) -> None:
        """Run so many of the waiting tasks, all by default, as far as they have their inputs."""
        left = len(self.queue) if count is None else count
        done: dict[AnyioConnection, list[int]] = {}
        while left and self.queue:
            left -= 1
            connection, tid, fid, blob, inputs = self.queue.popleft()
            if any(each not in self.values for each in inputs):
                self.queue.append((connection, tid, fid, blob, inputs))
                continue
            fn = self.functions[fid]
            self.runs.append(getattr(fn, "__name__", "partial"))
            try:
                with given(self.values):
                    args, kwargs = unpack(blob)
                    self.values[tid] = fn(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - users' functions raise what they like
                failure = describe(error, origin={}).to_bytes()
                connection.send(tasks.Failed([tid], [0], [failure]))
            else:
                done.setdefault(connection, []).append(tid)
        for connection, tids in done.items():
            self.tell(connection, tids)

    def tell(self, connection: AnyioConnection, tids: list[int]) -> None:
        """Say that these have values, and where."""
        blobs: list[bytes] = []
        sizes: list[int] = []
        at: list[int] = []
        for tid in tids:
            payload = pack(self.values[tid])
            sizes.append(payload_bytes(payload))
            if isinstance(payload, bytes) and len(payload) <= self.inline_bytes_max:
                blobs.append(payload)
                at.append(-1)
            else:
                blobs.append(b"")
                at.append(0)
                for address in WORKERS:
                    self.stores[address][tid] = payload
        connection.send(tasks.Finished(tids, sizes, blobs, at, [" ".join(WORKERS)]))

    # ------------------------------------------------------------ workers

    def on_worker(self, address: str, connection: AnyioConnection, message: Message) -> None:
        """What a worker's data listener does."""
        store = self.stores[address]
        match message:
            case session.RegisterPeer():
                connection.send(session.Welcome(1, "fake", 1))
            case values.Fetch():
                here = [tid in store for tid in message.tids]
                connection.send(
                    values.Values(
                        message.serial,
                        message.tids,
                        [values.FOUND if each else values.ABSENT for each in here],
                        [],
                        [store[tid] for tid in message.tids if tid in store],
                        last=True,
                    )
                )
            case values.Store():
                error = self.store_errors.popleft() if self.store_errors else ""
                connection.send(values.StoreDone(message.serial, error))
                if not error:
                    for tid, payload in zip(message.tids, message.payloads, strict=True):
                        store[tid] = payload
                        self.values[tid] = unpack(bytes(payload))  # type: ignore[arg-type]
                    self.stored(address, message.tids)
            case _:
                pass

    def stored(self, address: str, tids: list[int]) -> None:
        """The scheduler tells the client that its values are there."""
        scheduler = next(each for each in self.connections if each.peer.role == "client")
        sizes = [100] * len(tids)
        rows = [0] * len(tids)
        scheduler.send(tasks.Finished(tids, sizes, [b""] * len(tids), rows, [address]))
        if not self.held:
            self.run()


@asynccontextmanager
async def open_fake() -> AsyncIterator[FakeCluster]:
    """A fake cluster, for as long as the block lasts."""
    group = anyio.create_task_group()
    await group.__aenter__()
    try:
        yield FakeCluster(group)
    finally:  # a failing test's error comes out as it is, not in a group
        group.cancel_scope.cancel()
        await group.__aexit__(None, None, None)  # noqa: ASYNC102 - all of it is cancelled


@asynccontextmanager
async def open_client() -> AsyncIterator[tuple[AsyncClient, FakeCluster]]:
    """A client of a fake cluster."""
    async with open_fake() as fake, client_of(fake) as client:
        yield client, fake


class _SystemTasks:
    """Tasks of a loop that is not the test's own."""

    def start_soon(self, fn: Any, *args: Any) -> None:
        trio.lowlevel.spawn_system_task(fn, *args)


@contextmanager
def open_blocking() -> Iterator[tuple[Client, FakeCluster]]:
    """A blocking client, and a fake cluster on its loop: see `on_loop`."""
    fake = FakeCluster(_SystemTasks())
    with Client(SCHEDULER, config=CONFIG, dial=fake.dial) as client:
        yield client, fake


def on_loop(client: Client, fn: Callable[..., T], *args: Any) -> T:
    """Make the fake cluster of a blocking client do something."""

    async def act() -> T:
        await trio.lowlevel.checkpoint()
        return fn(*args)

    return client._loop.call(act)


def client_of(fake: FakeCluster, **options: Any) -> AsyncClient:
    """Another client of it."""
    return AsyncClient(SCHEDULER, config=CONFIG, dial=fake.dial, **options)
