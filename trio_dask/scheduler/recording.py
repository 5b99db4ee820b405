"""A core that keeps a log of all it is told: the same methods, each with a line in the log."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from trio_dask.eventlog import EventLog, digest, open_event_log
from trio_dask.messages import nested, session
from trio_dask.scheduler.core import SchedulerCore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_dask.messages import Message
    from trio_dask.scheduler.core import Misuse
    from trio_dask.scheduler.core.state import ClusterState

Secretive = TypeVar("Secretive", session.RegisterClient, session.RegisterWorker, session.Resume)


class RecordedCore:
    """The scheduler's core behind a log. Without a log it is not in the way at all."""

    def __init__(self, core: SchedulerCore, log: EventLog) -> None:
        self._core = core
        self._log = log

    # ------------------------------------------------------------ told

    def client_joined(self, peer: int, message: session.RegisterClient, now: float = 0.0) -> None:
        """See `SchedulerCore`."""
        self._log.tell("client_joined", peer, _veiled(message), now=now)
        self._core.client_joined(peer, message, now)

    def nested_joined(self, peer: int, at: int, join: nested.NestedJoin) -> None:
        """See `SchedulerCore`."""
        self._log.tell("nested_joined", peer, join, number=at)
        self._core.nested_joined(peer, at, join)

    def local_joined(self, peer: int, name: str) -> None:
        """See `SchedulerCore`."""
        self._log.tell("local_joined", peer, session.Goodbye(name))
        self._core.local_joined(peer, name)

    def worker_joined(self, peer: int, message: session.RegisterWorker, now: float) -> None:
        """See `SchedulerCore`."""
        self._log.tell("worker_joined", peer, _veiled(message), now=now)
        self._core.worker_joined(peer, message, now)

    def shown_at(self, link: str) -> None:
        """See `SchedulerCore`."""
        self._log.tell("shown_at", 0, session.Goodbye(link))
        self._core.shown_at(link)

    def resume(self, message: session.Resume, now: float) -> int | None:
        """See `SchedulerCore`."""
        self._log.tell("resume", 0, _veiled(message), now=now)
        return self._core.resume(message, now)

    def lost(self, peer: int, reason: str, now: float) -> None:
        """See `SchedulerCore`."""
        self._log.tell("lost", peer, session.Goodbye(reason), now=now)
        self._core.lost(peer, reason, now)

    def heard(self, peer: int, message: Message) -> None:
        """See `SchedulerCore`."""
        self._log.tell("heard", peer, message)
        self._core.heard(peer, message)

    def said(self, peer: int, message: Message) -> None:
        """See `SchedulerCore`."""
        self._log.tell("said", peer, message)
        self._core.said(peer, message)

    def left(self, peer: int, reason: str) -> None:
        """See `SchedulerCore`."""
        self._log.tell("left", peer, session.Goodbye(reason))
        self._core.left(peer, reason)

    def handle(self, peer: int, message: Message, now: float) -> None:
        """See `SchedulerCore`."""
        self._log.tell("handle", peer, message, now=now)
        self._core.handle(peer, message, now)

    def tick(self, now: float) -> list[int]:
        """See `SchedulerCore`. What has been recorded goes to the file."""
        self._log.tell("tick", 0, now=now)
        late = self._core.tick(now)
        self._log.write_out()
        return late

    def expire(self, now: float) -> None:
        """See `SchedulerCore`."""
        self._log.tell("expire", 0, now=now)
        self._core.expire(now)

    def work(self, slices: int = 1) -> list[tuple[int, Misuse]]:
        """See `SchedulerCore`."""
        self._log.tell("work", 0, number=slices)
        return self._core.work(slices)

    def flush(self, now: float | None = None) -> list[tuple[int, list[Message]]]:
        """See `SchedulerCore`. What it says is recorded as its digest."""
        said = self._core.flush(now)
        if self._log.open:
            self._log.tell("flush", 0, number=digest_of(said), now=now)
        return said

    # ------------------------------------------------------------ asked

    def awaited(self, peer: int) -> str | None:
        """See `SchedulerCore`."""
        return self._core.awaited(peer)

    def name_of(self, peer: int) -> str:
        """See `SchedulerCore`."""
        return self._core.name_of(peer)

    @property
    def due_at(self) -> float:
        """See `SchedulerCore`."""
        return self._core.due_at

    @property
    def busy(self) -> bool:
        """See `SchedulerCore`."""
        return self._core.busy

    @property
    def state(self) -> ClusterState:
        """See `SchedulerCore`."""
        return self._core.state

    @property
    def shrinks(self) -> int:
        """See `SchedulerCore`."""
        return self._core.shrinks


def _veiled(message: Secretive) -> Secretive:
    """The same with another secret, always the same for one: who reads a log learns none."""
    if not message.secret:
        return message
    digested = blake2b(message.secret.encode(errors="surrogatepass"), digest_size=16)
    return replace(message, secret=digested.hexdigest())


Core: TypeAlias = SchedulerCore | RecordedCore


def digest_of(said: list[tuple[int, list[Message]]]) -> int:
    """The digest of what a core says at a time."""
    return digest((str(peer), messages) for peer, messages in said)


@contextmanager
def recorded(core: SchedulerCore, path: str) -> Iterator[Core]:
    """The core, with a log at `path` until the block ends; without a path, itself.

    Raises:
        OSError: the log cannot be made.
    """
    if not path:
        yield core
        return
    state = core.state
    settings = asdict(state.settings)
    with open_event_log(
        path, session.SCHEDULER, settings, cluster=state.cluster, epoch=state.epoch
    ) as log:
        yield RecordedCore(core, log)
