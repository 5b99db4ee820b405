"""What a task can ask about itself: who runs it, and that it leaves its slot."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from trio_dask.runner.nests import Nest, current


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
                f": it has {', '.join(self.__slots__)}; the worker itself is another process, "
                "and what is under way there is asked for with get_client()"
            )
        raise AttributeError(msg, name=name, obj=self)

    def get_current_task(self) -> str:
        """The task's key."""
        return self.key


def get_worker() -> TaskWorker:
    """Inside a task: the worker that runs it.

    Raises:
        ValueError: this is not inside a task.
    """
    import os

    nest = _here("get_worker")
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


def secede() -> None:
    """Inside a task: give up the slot for good, or until `rejoin`; the worker runs another task.

    Waiting for other tasks gives the slot up by itself. This is for a task that waits for
    something else, or hardly does anything, for long.

    Raises:
        ValueError: this is not inside a task.
    """
    _here("secede").secede()


def rejoin() -> Any:
    """Inside a task that has called `secede`: wait for a slot, ahead of tasks that have not begun.

    In an ``async def`` task it is to be awaited.

    Raises:
        ValueError: this is not inside a task.
    """
    return _here("rejoin").rejoin()


def _here(what: str) -> Nest:
    nest = current()
    if nest is None:
        msg = f"{what}() is for functions that run as a task, in the thread that runs them"
        raise ValueError(msg)
    return nest
