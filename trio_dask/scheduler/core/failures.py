"""Failures that the scheduler itself finds, in the form in which users' exceptions travel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.failure import Failure
from trio_dask.scheduler.core.chronicle import FAILURE, note
from trio_dask.scheduler.core.deaths import told
from trio_dask.scheduler.core.state import FailedTask

if TYPE_CHECKING:
    from trio_dask.scheduler.core.deaths import Deaths
    from trio_dask.scheduler.core.state import ClusterState, Task, Worker

#: What is remembered of a failure for people; more than that is not what they read.
_REMEMBERED_BYTES_MAX: Final = 64 * 1024
_LOST: Final = "trio_dask.errors.DataLost"


def remember(state: ClusterState, task: Task, why: bytes) -> None:
    """The task fails: keep what people will ask about, for it may be forgotten at once."""
    function, worker = task.spec.function, task.worker
    state.failed_ever += 1
    name = ""
    if function is not None:
        function.prefix.failed += 1
        name = function.prefix.name
    at = worker.last_seen if worker is not None else 0.0
    kept = why if len(why) <= _REMEMBERED_BYTES_MAX else _shortened(why)
    place = worker.name if worker is not None else ""
    note(state, FAILURE, name or "data", f"a task failed{f' on {place}' if place else ''}")
    state.failures.append(FailedTask(task.tid, state.key_of(task), name, place, at, kept))


def _shortened(why: bytes) -> bytes:
    """A failure without what only a client can use of it."""
    try:
        failure = Failure.from_bytes(why)
    except RemoteProtocolError:
        return b""
    half = _REMEMBERED_BYTES_MAX // 4
    return Failure(
        kind=failure.kind[:half],
        message=failure.message[:half],
        traceback=failure.traceback[-half:],
    ).to_bytes()


def packed(reason: str) -> bytes:
    """A reason as it is kept; a peer may have put lone surrogates into it."""
    return reason.encode(errors="surrogatepass")


def unpacked(why: bytes | None) -> str:
    """The reason that `packed` has made."""
    return (why or b"").decode(errors="surrogatepass")


def data_lost(key: str, reason: str) -> bytes:
    """The failure of a task one of whose inputs is gone for good."""
    return Failure(kind=_LOST, message=f"{key} is lost: {reason}").to_bytes()


def is_for_want_of_data(why: bytes) -> bool:
    """Whether this failure says that an input is gone or out of reach: the function has not failed."""
    try:
        failure = Failure.from_bytes(why)
    except RemoteProtocolError:
        return False
    return failure.kind == _LOST and not failure.origin


def unreached(key: str, worker: str, dep: str, places: str) -> bytes:
    """The failure of a task that found no worker which can reach all that it needs."""
    why = f"the last one, {worker}, could not fetch {dep} from {places}"
    message = f"{key} found no worker that can reach all of its inputs: {why}"
    return Failure(kind=_LOST, message=message).to_bytes()


def out_of_time(
    key: str, limit: tuple[str, float], worker: Worker | None, ran_for: float | None = None
) -> bytes:
    """The failure of a task whose time was up, as `limit` (its timeout or deadline) says.

    `worker` is where it had begun; None: nowhere.
    """
    what, allowed_s = limit
    origin: dict[str, Any] = {"key": key, "limit": what, "phase": "queued", "ran_for": 0.0}
    allowed = f"{allowed_s:.{2 if allowed_s >= 0.1 else 4}f}".rstrip("0").rstrip(".")
    message = f"{key} had not begun when its {what} of {allowed} s was over"
    if worker is not None:
        host = worker.info.get("host")
        host = host if isinstance(host, str) else ""
        if ran_for is not None and not 0 <= ran_for < math.inf:
            ran_for = None  # a broken clock somewhere
        ran = f"it had run for {ran_for:.2f} s" if ran_for is not None else "it was running"
        place = f" (host {host})" if host else ""
        message = (
            f"{key} was not done within its {what} of {allowed} s: "
            f"{ran} on worker {worker.name}{place}"
        )
        origin |= {"phase": "running", "ran_for": ran_for, "worker": worker.name, "host": host}
    kind = "trio_dask.errors.TaskTimeout"
    return Failure(kind=kind, message=message, origin=origin).to_bytes()


def killed(key: str, deaths: Deaths, address: str, allowed: int) -> bytes:
    """The failure of a task whose process died too often, with all that is known of it.

    `address` is that of the last one's worker, `allowed` how many deaths it would have survived.
    """
    return Failure(
        kind="trio_dask.errors.KilledWorker",
        message=told(key, deaths),
        origin={"deaths": deaths.kept, "key": key, "address": address, "allowed": allowed},
    ).to_bytes()
