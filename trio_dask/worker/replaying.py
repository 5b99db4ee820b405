"""The event log of a worker process, told to its cores anew."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import inquiring, session as hello, tasks as words, values
from trio_dask.worker.core import DrainRules, MemoryRules, RestartRules, Store, WorkerCore
from trio_dask.worker.core.invariants import violations
from trio_dask.worker.recording import digest_of, shown

if TYPE_CHECKING:
    from trio_dask.eventlog import Record
    from trio_dask.messages import Message, recorded


class ReplayedWorkers:
    """The cores of a process, and the store they share, that live through a log."""

    def __init__(self) -> None:
        self.store = Store()
        self.cores: dict[int, WorkerCore] = {}
        self._seen: Counter[str] = Counter()
        self._quiet: WorkerCore | None = None  # it has just said all it has to say

    def apply(self, record: Record) -> str:
        """Tell the core that was told; what it now wants otherwise than then, or nothing.

        Raises:
            RemoteProtocolError: workers are not told such a thing.
        """
        event, message = record.event, record.message
        self._quiet = None
        if event.what == "made" and isinstance(message, hello.RegisterWorker):
            self.store.inwards.bytes_max = _fetch_bytes_max(message.info)
            self.cores[event.who] = WorkerCore(
                message.name,
                message.address,
                message.nthreads,
                self.store,
                secret=message.secret,
                **_rules(message.info),
            )
            return ""
        core = self.cores.get(event.who)
        if core is None:
            msg = f"{event.what!r} of a worker {event.who} that was not made"
            raise RemoteProtocolError(msg)
        if event.what == "flush":
            self._quiet = core
            return self._flush(core, event.number)
        if not (_hear(core, event, message) or _notice(core, event, message)):
            msg = f"{event.what!r} with {type(message).__name__} is nothing a worker is told"
            raise RemoteProtocolError(msg)
        self._seen[event.what] += 1
        return ""

    def _flush(self, core: WorkerCore, digest: int) -> str:
        actions = core.flush()
        if digest_of(actions) == digest:
            return ""
        parts = [
            f"{what} {' '.join(type(each).__name__ for each in messages)}".strip()
            for what, messages in map(shown, actions[:10])
        ]
        now = "; ".join(parts) or "nothing"
        return f"worker {core.state.name} does not want now what it wanted then. Now it is: {now}"

    def broken(self) -> list[str] | None:
        """Rules that do not hold; None while there is something to be said."""
        return None if self._quiet is None else violations(self._quiet.state)

    @property
    def size(self) -> int:
        """So many attempts and values there are with the worker that spoke last."""
        if self._quiet is None:
            return 0
        books = self._quiet.books()
        return books["in_runner"] + books["waiting"] + books["wants"]

    def summary(self) -> dict[str, str]:
        """Who there was, and what is left."""
        names = [core.state.name for core in self.cores.values()]
        books: Counter[str] = Counter()
        for core in self.cores.values():
            books.update(core.books())
        left = ", ".join(f"{count:,} {name}" for name, count in books.items() if count)
        return {
            "workers": f"{len(names):,}: {', '.join(names[:10])}{' …' if len(names) > 10 else ''}",
            "runners": f"ready {self._seen['runner_ready']:,} times, "
            f"dead {self._seen['runner_died']:,} times",
            "at the end": left or "nothing is left to be done",
            "store": f"{len(self.store):,} values, {self.store.nbytes:,} bytes",
        }


def _rules(info: dict[str, Any]) -> dict[str, Any]:
    try:
        return {
            "rules": RestartRules(**info["rules"]),
            "drain_rules": DrainRules(**info["drain_rules"]),
            "memory_rules": MemoryRules(**info["memory_rules"]),
            "processes": info["processes"] is True,
        }
    except (KeyError, TypeError) as error:
        msg = f"a worker with settings of another version: {error}"
        raise RemoteProtocolError(msg) from error


def _fetch_bytes_max(info: dict[str, Any]) -> int:
    found = info.get("fetch_bytes_max", 0)
    return found if type(found) is int else 0


def _hear(core: WorkerCore, event: recorded.Event, message: Message | None) -> bool:
    """Tell the core what somebody said; whether it was that."""
    if message is None:
        return False
    try:
        match event.what, message:
            case "on_scheduler", _:
                core.on_scheduler(message, event.now)
            case "beat", hello.Heartbeat():
                core.beat(message.metrics)
            case "on_runner", _:
                core.on_runner(event.number, message)
            case "on_peer", _:
                core.on_peer(event.number, message)
            case "fetched", values.Values():
                core.fetched(message)
            case "told", inquiring.Told():
                core.told(message)
            case _:
                return False
    except RemoteProtocolError:
        pass  # as it did then: whoever said so was let go
    return True


def _notice(core: WorkerCore, event: recorded.Event, message: Message | None) -> bool:
    """Tell the core what happened; whether it was that."""
    if _notice_peer(core, event):
        return True
    match event.what, message:
        case "runner_ready", None:
            core.runner_ready(event.number)
        case "recycle", hello.Goodbye(reason):
            core.recycle(event.number, reason)
        case "scheduler_lost", None:
            core.scheduler_lost()
        case "runner_died", words.RunnerDied():
            core.runner_died(event.number, message.running, message.certificate)
        case "fetch_failed", words.Unreachable():
            core.fetch_failed(message.address)
        case "drain", hello.Goodbye(reason):
            core.drain(reason, patient=bool(event.number))
        case "tick" | "climb" | "go_on_draining", words.Running():
            board = list(zip(message.attempts, message.seconds, strict=True))
            {"tick": core.tick, "climb": core.climb}.get(event.what, core.go_on_draining)(
                board, event.now
            )
        case "leave", None:
            core.leave()
        case _:
            return _notice_memory(core, event, message)
    return True


def _notice_memory(core: WorkerCore, event: recorded.Event, message: Message | None) -> bool:
    """Tell the core how much is in use, or where a value is now; whether it was that."""
    match event.what, message:
        case "uses", words.Stored([0, *numbers], [used, *own]):
            core.uses(used, dict(zip(numbers, own, strict=True)), event.now)
        case "moved", values.Values(serial=shared, tids=[tid], payloads=[payload]):
            core.moved(tid, payload, shared=bool(shared))
        case "unmoved", words.Unreachable([tid], why):
            core.unmoved(tid, why, event.now)
        case _:
            return False
    return True


def _notice_peer(core: WorkerCore, event: recorded.Event) -> bool:
    """Tell the core what became of somebody who asks it for values; whether it was that."""
    match event.what:
        case "peer_joined" | "client_joined":
            core.peer_joined(event.number, may_store=event.what == "client_joined")
        case "drained":
            core.drained(event.number)
        case "peer_left":
            core.peer_left(event.number)
        case _:
            return False
    return True
