"""What a failed task sends instead of a value."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.ids import auto_key

if TYPE_CHECKING:
    from trio_dask.messages.failure import Failure
    from trio_dask.runner.slots import Task

#: More than this of one failure would hold up the results of others.
_BYTES_MAX: Final = 4 << 20
_PICKLE_BYTES_MAX: Final = 256 * 1024


def failure_of(error: BaseException, task: Task, settings: dict[str, Any]) -> bytes:
    """The encoded failure of a task, with where it happened. Never raises."""
    _, _, attempt, tid, function, _, _, key = task
    about = {"key": key or auto_key(function.name, tid), "attempt": attempt}
    return failure_at(error, about, settings)


def failure_at(error: BaseException, about: dict[str, Any], settings: dict[str, Any]) -> bytes:
    """The encoded failure of users' code in this runner; `about` says of what. Never raises."""
    from trio_dask.messages.exceptions import describe  # only failing tasks pay for it

    origin = {
        "worker": settings.get("name", ""),
        "address": settings.get("address", ""),
        "host": os.uname().nodename,
        "pid": os.getpid(),
        **about,
    }
    return bounded(describe(error, origin=origin, pickle_limit=_PICKLE_BYTES_MAX))


def bounded(failure: Failure) -> bytes:
    """A failure as bytes; without what is behind it where that would be too much."""
    from trio_dask.messages.failure import Failure

    data = failure.to_bytes()
    if len(data) <= _BYTES_MAX:
        return data
    short = Failure(
        kind=failure.kind,
        message=failure.message,
        traceback=failure.traceback,
        notes=(*failure.notes[:8], "What it was raised from is too large to be sent."),
        pickled=b"" if failure.children else failure.pickled,
        origin=failure.origin,
    )
    return short.to_bytes()
