"""Functions for tasks, in a module that a runner cannot import: they travel by value."""

from __future__ import annotations

import threading
from typing import Any

from trio_dask.messages.inputs import input_value, note_input


def inc(x: int) -> int:
    """Of a test module, so it travels by value."""
    return x + 1


def fail(kind: type[BaseException], *args: Any) -> None:
    """Raise."""
    raise kind(*args)


def recurse() -> None:
    """For ever."""
    recurse()


class Thing:
    """An object with state, of a class that no other process can import."""

    def __init__(self, x: int) -> None:
        self.x = x

    def __call__(self, y: int) -> int:
        return self.x + y

    def method(self, y: int) -> int:
        return self.x * y

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    __hash__ = None  # type: ignore[assignment]


#: Where tasks of three slots meet.
BARRIER = threading.Barrier(3)


class Ref:
    """A future, as far as pickling is concerned."""

    def __init__(self, tid: int) -> None:
        self.tid = tid

    def __reduce__(self) -> Any:
        note_input(self.tid)
        return input_value, (self.tid,)
