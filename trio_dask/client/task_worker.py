"""What a task can ask about who runs it, and say through it. Light: a task that only asks loads no client."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from trio_dask.runner import current

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class TaskWorker:
    """The worker that runs the present task, and which task that is. See `get_worker`."""

    name: str
    address: str
    #: The host's name.
    host: str
    nthreads: int
    #: For files that may go with the worker.
    local_directory: str
    #: The task's key, and which attempt at it this is.
    key: str
    attempt: int
    #: For the worker's log.
    log: logging.Logger = field(repr=False)

    def __getattr__(self, name: str) -> Any:
        msg = f"{type(self).__name__!r} object has no attribute {name!r}"
        if not name.startswith("_"):
            msg += (
                f": it has {', '.join(self.__slots__)}, client, log_event; the worker itself is "
                "another process, and what is under way there is asked for with get_client()"
            )
        raise AttributeError(msg, name=name, obj=self)

    def get_current_task(self) -> str:
        """The task's key."""
        return self.key

    @property
    def client(self) -> Any:
        """The task's client, as `get_client` gives it."""
        from trio_dask.client.inside import get_client

        return get_client()

    def log_event(self, topic: str | list[str], msg: Any) -> None:
        """Say something under a topic, or several, as `Client.log_event` does.

        It is not waited for, also not in ``async def`` tasks: there is nothing to await. What a task
        says is in its order.

        Raises:
            SubmitError: it cannot be pickled.
            ValueError: it is too large, or this is not inside the task.

        Example:
            ``get_worker().log_event("training", {"epoch": 3, "loss": 0.2})``
        """
        from trio_dask.client import topics
        from trio_dask.client.inside import of_task

        client = of_task()
        if client is None:
            raise ValueError(_OUTSIDE.format("log_event"))
        topics.say(client, topics.names(topic), msg)


_OUTSIDE = "{}() is for functions that run as a task, in the thread that runs them"


def get_worker() -> TaskWorker:
    """Inside a task: the worker that runs it.

    Raises:
        ValueError: this is not inside a task.
    """
    import os

    nest = current()
    if nest is None:
        raise ValueError(_OUTSIDE.format("get_worker"))
    settings = nest.slots.settings
    return TaskWorker(
        name=settings.get("name", ""),
        address=settings.get("address", ""),
        host=os.uname().nodename,
        nthreads=nest.slots.count,
        local_directory=settings.get("local_directory", ""),
        key=nest.key,
        attempt=nest.attempt,
        log=logging.getLogger("trio_dask.task"),
    )


def with_worker(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The same, for a task, with the worker as `dask_worker`."""
    return partial(_call, fn)


def _call(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return fn(*args, **{"dask_worker": get_worker()} | kwargs)
