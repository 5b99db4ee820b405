"""What a worker knows about the clients of tasks that are in its runners."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio_dask.messages.nested import Nested
    from trio_dask.worker.core.state import Runner


@dataclass(slots=True, eq=False)
class Line:
    """What a task's client has said and the scheduler has not been told."""

    frames: deque[Nested] = field(default_factory=deque)
    nbytes: int = 0


@dataclass(slots=True, eq=False)
class Asked:
    """Values that a task's client waits for: how each is to be had, None while that is not known."""

    runner: Runner
    attempt: int
    serial: int
    found: dict[int, int | None]
    failures: dict[int, bytes] = field(default_factory=dict)
    missing: int = 0


@dataclass(slots=True, eq=False)
class NestedBooks:
    """All about the clients of tasks that are in the runners."""

    known: dict[int, None] = field(default_factory=dict)  # attempts that have said anything
    parked: dict[int, None] = field(default_factory=dict)  # attempts that have no slot
    lines: dict[int, Line] = field(default_factory=dict)
    under_way: int = 0
    draining: bool = False
    asked: dict[int, Asked] = field(default_factory=dict)  # by a number below zero
    asked_values: int = 0
    numbers_for: deque[int] = field(default_factory=deque)  # runners that have asked
