"""The errors of trio_dask, one tree.

::

    TrioDaskError
    ├── ConfigError (ValueError)                  the settings cannot be used
    ├── CommError (OSError)
    │   ├── PeerClosed                            the other side ended the connection
    │   ├── AuthenticationError                   wrong or missing token, or not one of us
    │   ├── HandshakeRefused                      versions or roles do not fit
    │   ├── LocalProtocolError (ValueError)       we were about to break the rules
    │   ├── RemoteProtocolError                   the peer broke them
    │   └── SchedulerUnreachable                  nobody answers at the scheduler's address
    ├── NoWorkerError                             there is no worker to do it
    │   └── NoValidWorkerError                    there are workers, none of them may
    ├── SubmitError (TypeError)                   it cannot be pickled, or is no function
    └── TaskError                                 raised by a future's result
        ├── RemoteError                           the user's code raised what cannot be rebuilt here
        ├── KilledWorker                          the task's process died too often
        ├── DataLost                              the value is gone and cannot be made again
        └── TaskTimeout (TimeoutError)            its time was up

`TaskCancelled` is a `BaseException`, as it is to pass through what catches `Exception`: it
is raised inside a running function that was cancelled, and reaches no client.
`Reschedule` is no error either: a task raises it to be run again.
`CancelledError` is `concurrent.futures.CancelledError`'s child and stands outside
the tree, as a cancelled future is no failure.
"""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class TrioDaskError(Exception):
    """Base of everything trio_dask raises on its own account."""


class ConfigError(TrioDaskError, ValueError):
    """The settings cannot be used; the message names the setting."""


class CommError(TrioDaskError, OSError):
    """Something about a connection."""


class PeerClosed(CommError):
    """The other side ended the connection."""


class AuthenticationError(CommError):
    """The token is missing or wrong, or the other side is not one of us."""


class HandshakeRefused(CommError):
    """The two sides cannot work together: versions or roles do not fit."""


class LocalProtocolError(CommError, ValueError):
    """We were about to send what the protocol forbids."""


class RemoteProtocolError(CommError):
    """The peer sent what the protocol forbids."""


class SchedulerUnreachable(CommError):
    """Nobody answers at the scheduler's address."""


class NoWorkerError(TrioDaskError):
    """There is no worker to do it."""


class NoValidWorkerError(NoWorkerError):
    """There are workers, but the task's restrictions admit none of them."""


class SubmitError(TrioDaskError, TypeError):
    """A task cannot be described: it is no function, or it or an argument cannot be pickled."""


class TaskError(TrioDaskError):
    """A task did not give a value."""


class RemoteError(TaskError):
    """The task raised an exception that cannot be rebuilt in this process.

    `kind` is its type's name, the message is the original's, and `remote_traceback`
    its traceback as text.
    """

    def __init__(self, message: str = "", kind: str = "", remote_traceback: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.remote_traceback = remote_traceback

    def __str__(self) -> str:
        message = super().__str__()
        return ": ".join(part for part in (self.kind, message) if part)


class LastWorker(NamedTuple):
    """Where the last process died, of an error of type `KilledWorker`; empty is what is not known."""

    name: str = ""
    address: str = ""
    host: str = ""


class KilledWorker(TaskError):
    """The process that ran the task died, as often as is allowed; says what is known of the deaths.

    `deaths` has the same as data: a mapping for each of the last ones, with what is known
    of ``worker``, ``host``, ``pid``, ``attempt``, ``reason``, ``exit_code`` or ``signal``,
    ``oom`` (it was killed for want of memory), ``ran_s`` (how long the task had been
    running) and ``lasted_s`` (how long the process had), ``rss`` and ``peak_rss`` in bytes.
    The last one also has ``memory``, pairs of seconds before the end and bytes, and
    ``output``, the last lines that the process wrote.

    `task` is the task's key, `last_worker` the worker whose process was the last one to die,
    with a ``name``, an ``address`` and a ``host``, and `allowed_failures` how many deaths a
    task survives in this cluster.
    """

    def __init__(
        self,
        message: str = "",
        deaths: Sequence[Mapping[str, Any]] = (),
        *,
        task: str = "",
        last_worker: LastWorker | None = None,
        allowed_failures: int = 0,
    ) -> None:
        super().__init__(message)
        self.deaths = tuple(deaths)
        self.task = task
        self.last_worker = last_worker or LastWorker()
        self.allowed_failures = allowed_failures


class DataLost(TaskError):
    """The value is gone, and nothing knows how to make it again."""


class TaskTimeout(TaskError, TimeoutError):
    """The task's time was up.

    `phase` is ``"queued"`` if it had not begun, ``"running"`` if it had; it is empty where a
    whole scope was out of time. `ran_for` is how many seconds it had been running, None if
    that is not known, and `host` where.
    """

    def __init__(
        self, message: str = "", phase: str = "", ran_for: float | None = None, host: str = ""
    ) -> None:
        super().__init__(message)
        self.phase = phase
        self.ran_for = ran_for
        self.host = host


class TaskCancelled(BaseException):
    """The task was cancelled: raised inside the function that runs it, to end it."""


class Reschedule(Exception):
    """Raised by a task: run it again, on whichever worker is free then. It counts as no failure."""


class CancelledError(concurrent.futures.CancelledError):
    """The future was cancelled."""
