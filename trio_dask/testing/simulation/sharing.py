"""What simulated clients share: queues, variables, events, data sets, locks. And what must hold of it.

The books know what each client was told. So they know when something that was acknowledged is
lost, when somebody is given what another has taken, and when two have a lock.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from trio_dask.client.core import PENDING, AllDone, group
from trio_dask.messages.reunion import Members

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_dask.messages import Message
    from trio_dask.messages.session import Answer
    from trio_dask.testing.simulation.client import SimClient
    from trio_dask.testing.simulation.cluster import Cluster

#: Who waits for something does so no longer than this, seconds.
LIMIT_S: Final = 1.5


@dataclass(slots=True)
class Shared:
    """What clients have been told of it."""

    violations: list[str] = field(default_factory=list)
    #: Whether everything may be gone: no worker that had it has come back to a new scheduler.
    excused: bool = False
    witnesses: dict[str, None] | None = None  # workers that had all, when the scheduler died
    asked: Counter[str] = field(default_factory=Counter)  # writes, each with a number in its name
    written: Counter[str] = field(default_factory=Counter)  # those that were acknowledged
    taken: dict[bytes, str] = field(default_factory=dict)  # items, and who has them
    put: dict[bytes, bool] = field(default_factory=dict)  # and whether that was acknowledged
    holders: dict[str, dict[str, int]] = field(default_factory=dict)  # of locks, with their number
    given_up: dict[int, None] = field(default_factory=dict)  # clients that came back too late
    known: dict[int, None] = field(default_factory=dict)  # clients, to the scheduler


class Sharing:
    """What one client does with all this, one after the other."""

    def __init__(self, client: SimClient, cluster: Cluster, ops: list[Any], then: Any) -> None:
        self._client = client
        self._cluster = cluster
        self._world = cluster.world
        self._books = cluster.truth.shared
        self._ops = list(ops)
        self._then = then
        self._tokens = client.tokens

    def go_on(self) -> None:
        """The next of it."""
        if self._client.dead:
            return
        if not self._ops:
            self._then()
            return
        do, name, number = self._ops.pop(0)
        getattr(self, f"_{do}")(name, number)
        self._client.flush()

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        def unless_dead() -> None:
            if not self._client.dead:
                call()
                self._client.flush()

        self._world.after(seconds, f"{self._client.name} shares", unless_dead)

    # ---------------------------------------------------------------- asking

    def _ask(self, topic: str, params: dict[str, Any], then: Any) -> int:
        def answered(answer: Answer) -> None:
            if not self._client.dead and not self._client.core.ended:
                self._later(0.0, partial(then, answer.data if answer.ok else None))

        return self._client.core.ask(topic, params, answered)

    def _write(self, topic: str, key: str, params: dict[str, Any]) -> None:
        """Something that is acknowledged, and then goes on."""
        self._books.asked[key] += 1

        def then(data: dict[str, Any] | None) -> None:
            self._books.written[key] += data is not None  # else a task in it is not known any more
            self.go_on()

        self._ask(topic, params, then)

    def _wait(self, topic: str, params: dict[str, Any], then: Any) -> int:
        """Something that comes in its turn: `then` with None if that is not in time."""
        token = next(self._tokens)
        over: list[bool] = []
        kind = topic.partition(".")[2] if topic.startswith("queue") else topic.partition(".")[0]

        def first(data: dict[str, Any] | None) -> None:
            if not over:
                over.append(True)
                then(data)

        def give_up() -> None:
            if not over:
                over.append(True)
                self._client.core.forget(serial)
                self._ask("ticket.give_up", {"token": token, "kind": kind}, gave_up)

        def gave_up(data: dict[str, Any] | None) -> None:
            assert data is not None
            then(data if data["done"] else None)

        serial = self._ask(topic, params | {"token": token}, first)
        self._later(LIMIT_S, give_up)
        return token

    def _end(self, how: str, token: int) -> None:
        self._ask(f"ticket.{how}", {"token": token}, lambda _: None)

    def _complain(self, what: str) -> None:
        if not self._books.excused:
            self._books.violations.append(f"{self._client.name}: {what}")

    # ---------------------------------------------------------------- queues

    def _put(self, name: str, number: int) -> None:
        data = f"{self._client.name} {name} {next(self._tokens)}".encode()
        self._books.put[data] = False
        tids = [self._client.tids[number]] if number in self._client.tids else []

        def then(answer: dict[str, Any] | None) -> None:
            if answer is not None:
                self._books.put[data] = True
            else:
                self._books.put.pop(data, None)
            self.go_on()

        self._wait("queue.put", {"name": name, "data": data, "tids": tids}, then)

    def _get(self, name: str, keeps: int) -> None:
        tokens: list[int] = []

        def then(data: dict[str, Any] | None) -> None:
            if data is None:
                self.go_on()
                return
            [item] = data["items"]
            if not keeps:  # it does not want it after all
                self._end("drop", tokens[0])
                self.go_on()
                return
            self._take(item["data"])
            self._open(item, lambda: self._end("took", tokens[0]))

        tokens.append(self._wait("queue.get", {"name": name, "want": 1}, then))

    def _take(self, data: bytes) -> None:
        before = self._books.taken.get(data)
        if before is not None and not self._may_be_back(before):
            self._complain(f"is given {data!r}, which {before} has")
        if data not in self._books.put:
            self._complain(f"is given {data!r}, which nobody has put")
        self._books.taken[data] = self._client.name

    def _may_be_back(self, name: str) -> bool:
        """Whether what this client has may be given to others: it has died with it, or was taken for dead."""
        client = self._cluster.clients[name]
        return client.dead or client.core.number in self._books.given_up

    def _open(self, item: dict[str, Any], then: Callable[[], None]) -> None:
        """Want the tasks whose futures are in it, and wait until they have ended."""
        client = self._client
        placed = client.core.want(item["tids"], item["keys"]) if item["tids"] else []
        self._later(0.001, then)

        def ended() -> None:
            if not client.dead:
                client.core.release([tid for _, tid in placed])
                self.go_on()

        pending = [(b, tid) for b, tid in placed if b.status[tid - b.first] == PENDING]
        if not pending:
            self._later(0.002, ended)
            return

        def done() -> None:
            client.core.unwatch(watch)
            client.waits.pop(watch, None)
            self._later(0.0, ended)

        watch = AllDone(len(pending), done)
        client.waits[watch] = None
        client.core.watch(watch, group(pending))

    # ---------------------------------------------------------------- values

    def _set(self, name: str, number: int) -> None:
        key = f"{self._client.name} {name}"
        data = str(self._books.asked[key] + 1).encode()
        tids = [self._client.tids[number]] if number in self._client.tids else []
        self._write("variable.set", key, {"name": key, "data": data, "tids": tids})

    def _read(self, name: str, _: int) -> None:
        before = self._books.written[name]
        tokens: list[int] = []

        def then(data: dict[str, Any] | None) -> None:
            if data is None:
                if before:
                    self._complain(f"{name!r} has no value, after {before} writes")
                self.go_on()
                return
            found = int(data["data"])
            if not before <= found <= self._books.asked[name]:
                self._complain(f"{name!r} is {found}, after {before} writes were acknowledged")
            self._open(data, lambda: self._end("took", tokens[0]))

        tokens.append(self._wait("variable.get", {"name": name}, then))

    def _publish(self, name: str, number: int) -> None:
        key = f"{self._client.name} {name}"
        tids = [self._client.tids[number]] if number in self._client.tids else []
        params = {"name": key, "data": b"1", "tids": tids, "override": True}
        self._write("dataset.publish", f"data {key}", params)

    def _load(self, name: str, _: int) -> None:
        before = self._books.written[f"data {name}"]
        tokens: list[int] = []

        def then(data: dict[str, Any] | None) -> None:
            if data is None or data.get("found") is False:
                if before:
                    self._complain(f"the data set {name!r} is gone")
                self.go_on()
                return
            self._open(data, lambda: self._end("took", tokens[0]))

        tokens.append(self._wait("dataset.get", {"name": name}, then))

    def _note(self, name: str, _: int) -> None:
        key = f"{self._client.name} {name}"
        self._write("metadata.set", f"meta {key}", {"path": [key, "x"], "tree": b"1"})

    def _look(self, name: str, _: int) -> None:
        before = self._books.written[f"meta {name}"]

        def then(data: dict[str, Any] | None) -> None:
            if data is None or (before and not data["found"]):
                self._complain(f"the metadata {name!r} are gone")
            self.go_on()

        self._ask("metadata.get", {"path": [name, "x"]}, then)

    def _flag(self, name: str, _: int) -> None:
        key = f"{self._client.name} {name}"
        self._write("event.set", f"event {key}", {"name": key})

    def _await(self, name: str, _: int) -> None:
        before = self._books.written[f"event {name}"]

        def then(data: dict[str, Any] | None) -> None:
            if data is None and before:
                self._complain(f"the event {name!r} is not set any more")
            if data is not None and not self._books.asked[f"event {name}"]:
                self._complain(f"the event {name!r} is set, and nobody has")
            self.go_on()

        self._wait("event.wait", {"name": name}, then)

    # ---------------------------------------------------------------- locks

    def _lock(self, name: str, ways: int) -> None:
        """A lock, or a semaphore of one, for a while."""
        topic, params = "lock.acquire", dict[str, Any](names=[name], need=1)
        if ways:
            topic, params = "semaphore.acquire", {"name": name, "limit": 1}
        tokens: list[int] = []

        def then(data: dict[str, Any] | None) -> None:
            if data is None:
                self.go_on()
                return
            holders = self._books.holders.setdefault(topic + name, {})
            for other in list(holders):
                if not self._may_be_back(other):
                    self._complain(f"has {name!r}, and so has {other}")
            holders[self._client.name] = tokens[0]
            self._later(0.4, release)

        def release() -> None:
            self._books.holders[topic + name].pop(self._client.name, None)
            self._end("drop", tokens[0])
            self.go_on()

        tokens.append(self._wait(topic, params, then))


def tokens() -> Iterator[int]:
    """Numbers for a client's tickets."""
    return count(1)


# ---------------------------------------------------------------- what must hold


def scheduler_died(cluster: Cluster) -> None:
    """Note who has all that was acknowledged."""
    books, mirrors = cluster.truth.shared, cluster.scheduler.core.state.mirrors
    if cluster.scheduler.core.state.reunion.recovering:
        return  # those of before have it
    books.witnesses = {
        worker.address: None
        for worker in cluster.workers.values()
        if worker.alive
        and mirrors.confirmed
        and worker.core.state.mirror.version >= mirrors.confirmed
    }


def what_was_acknowledged_is_there(
    cluster: Cluster, said: list[tuple[int, list[Message]]]
) -> Iterator[str]:
    """A new scheduler has all that a worker has kept for it; what two have is not lost with one."""
    books, state = cluster.truth.shared, cluster.scheduler.core.state
    gone = books.known.keys() - state.clients.keys() if not state.reunion.recovering else set()
    books.given_up.update(dict.fromkeys(gone))
    if not state.reunion.recovering:
        books.known = dict.fromkeys(state.clients)
    anew = any(
        isinstance(each, Members) and each.whole for _, messages in said for each in messages
    )
    if books.witnesses is not None and anew and not state.reunion.recovering:
        if not books.witnesses.keys() & state.workers.keys():
            books.excused = True
        books.witnesses = None
    found, books.violations = books.violations, []
    yield from found


def let_go_of_all(cluster: Cluster) -> None:
    """In the end nothing is to be shared any more."""
    records = cluster.scheduler.core.state.records
    questions: list[tuple[str, dict[str, Any]]] = []
    for topic, names in (
        ("queue.close", records.queues.names()),
        ("variable.delete", records.variables.names()),
        ("dataset.unpublish", records.datasets),
        ("event.set", records.flags.names()),
    ):
        questions += [(topic, {"name": name, "set": False}) for name in names]
    cluster.scheduler.ask_here(questions)


def no_records_are_left(cluster: Cluster) -> Iterator[str]:
    """Workers keep what is there, and the scheduler has a record of nothing else."""
    state = cluster.scheduler.core.state
    left = [head for head, _, _ in state.mirrors.rows.values() if head[0] not in _REMAIN]
    if left:
        yield f"records of {left[:5]} are left"
    if state.records.locks.shut or state.records.semaphores.shut:
        yield "nobody is given a lock any more"
    for worker in cluster.workers.values():
        rows = worker.core.state.mirror.rows
        if worker.registered and rows.keys() - state.mirrors.rows.keys():
            yield f"{worker.address} keeps {list(rows)[:5]}, which nobody needs"


#: Metadata cannot be taken back, and that something was answered is kept until it is heard.
_REMAIN: Final = ("metadata", "mark")


def nothing_put_is_lost(cluster: Cluster) -> Iterator[str]:
    """What was put into a queue, and acknowledged, is in it, or somebody has had it."""
    books, queues = cluster.truth.shared, cluster.scheduler.core.state.records.queues
    if books.excused or books.witnesses is not None:
        return
    there = {item.data for name in queues.names() for item in queues.items(name)}
    for data, acknowledged in books.put.items():
        if acknowledged and data not in books.taken and data not in there:
            yield f"{data!r} is neither in its queue nor with anybody"
