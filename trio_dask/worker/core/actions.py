"""What the core wants done: the shell performs these, in order, without waiting.

One `WorkerCore.flush` has at most one action for each destination.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from trio_dask.worker.core.restart import GiveUp

if TYPE_CHECKING:
    from trio_dask.messages import Message
    from trio_dask.messages.fleet import Farewell


@dataclass(frozen=True, slots=True)
class ToScheduler:
    """Say this to the scheduler."""

    messages: list[Message]


@dataclass(frozen=True, slots=True)
class ToRunner:
    """Say this to a runner."""

    runner: int
    messages: list[Message]


@dataclass(frozen=True, slots=True)
class ToPeer:
    """Say this to whoever opened the data connection `session`."""

    session: int
    messages: list[Message]


@dataclass(frozen=True, slots=True)
class FetchFrom:
    """Ask the worker at `address` for values.

    Answered by `WorkerCore.fetched` with this serial, or `WorkerCore.fetch_failed`.
    """

    address: str
    serial: int
    tids: list[int]


@dataclass(frozen=True, slots=True)
class AwaitDrain:
    """Call `WorkerCore.drained` once what was said to `session` has been written.

    Session 0 is the scheduler's.
    """

    session: int


@dataclass(frozen=True, slots=True)
class StartRunner:
    """Have a runner, after so many seconds.

    Answered by `WorkerCore.runner_ready` with this number, and in the end, also if it
    could not be started, by `WorkerCore.runner_died`. One that is `alone` runs one task.
    """

    runner: int
    delay_s: float
    alone: bool = False


@dataclass(frozen=True, slots=True)
class KillRunner:
    """End a runner's process, on purpose; its death is reported like any other.

    One that is `starved` has too much memory: then what it was running is to blame. One that
    has nothing to do any more goes `gently`: it is told to leave first.
    """

    runner: int
    reason: str
    starved: bool = False
    gently: bool = False


@dataclass(frozen=True, slots=True)
class Spill:
    """Write these values of the store to files, one by one.

    Each is answered by `WorkerCore.moved` of all workers of the process, or `unmoved`.
    """

    tids: list[int]


@dataclass(frozen=True, slots=True)
class LookUp:
    """See what is known about `topic` beside the core, and call `WorkerCore.told` with it."""

    serial: int
    topic: str
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Depart:
    """The worker may go: say goodbye to the scheduler, and end.

    `farewell` is what the scheduler has said; None if it did not answer in time.
    """

    farewell: Farewell | None


Action: TypeAlias = (
    ToScheduler
    | ToRunner
    | ToPeer
    | FetchFrom
    | AwaitDrain
    | StartRunner
    | KillRunner
    | GiveUp
    | LookUp
    | Spill
    | Depart
)
