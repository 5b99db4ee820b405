"""How a task leaves its slot, and comes back."""

from __future__ import annotations

from typing import Any

from trio_dask.runner.nests import Nest, current


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
