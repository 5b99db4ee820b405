"""What a worker knows about the clients of tasks that are in its runner."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio_dask.messages.nested import Nested


@dataclass(slots=True, eq=False)
class Line:
    """What a task's client has said and the scheduler has not been told."""

    frames: deque[Nested] = field(default_factory=deque)
    nbytes: int = 0


@dataclass(slots=True, eq=False)
class Asked:
    """Values that a task's client waits for: how each is to be had, None while that is not known."""

    attempt: int
    serial: int
    found: dict[int, int | None]
    failures: dict[int, bytes] = field(default_factory=dict)
    missing: int = 0


@dataclass(slots=True, eq=False)
class NestedBooks:
    """All about the clients of tasks that are in the runner."""

    known: dict[int, None] = field(default_factory=dict)  # attempts that have said anything
    parked: dict[int, None] = field(default_factory=dict)  # attempts that have no slot
    lines: dict[int, Line] = field(default_factory=dict)
    under_way: int = 0
    draining: bool = False
    asked: dict[int, Asked] = field(default_factory=dict)  # by a number below zero
    asked_values: int = 0
    numbers: dict[int, int] = field(default_factory=dict)  # the last that the runner was given
    wanted: int = 0  # more of them

    def clear(self) -> None:
        """The runner has ended."""
        for books in (self.known, self.parked, self.lines, self.asked):
            books.clear()
        self.numbers.clear()
        self.wanted = 0
        self.asked_values = 0
