"""Which transitions of the two machines a simulation went through, and which faults it saw.

The scheduler's machine is a task's state, the worker's is where an attempt is. A transition
that is not listed here is against the rules.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from trio_dask.messages import tasks as words
from trio_dask.messages.reunion import Announced
from trio_dask.scheduler.core import state as st
from trio_dask.worker.core import ToRunner, ToScheduler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_dask.messages import Message
    from trio_dask.worker.core import Action, WorkerCore

Transition = tuple[str, str]

#: What a task may go through at the scheduler.
TASKS: Final[tuple[Transition, ...]] = (
    ("released", "waiting"),
    ("released", "ready"),
    ("released", "failed"),
    ("released", "lost"),
    ("waiting", "released"),
    ("waiting", "ready"),
    ("waiting", "done"),
    ("waiting", "failed"),
    ("waiting", "cancelled"),
    ("waiting", "lost"),
    ("ready", "released"),
    ("ready", "waiting"),
    ("ready", "assigned"),
    ("ready", "failed"),
    ("ready", "cancelled"),
    ("assigned", "waiting"),
    ("assigned", "done"),
    ("assigned", "failed"),
    ("done", "released"),
    ("failed", "released"),
)
#: What an attempt may go through at a worker: it waits for inputs, or for a process of its own,
#: is with the runner, ends.
ATTEMPTS: Final[tuple[Transition, ...]] = (
    ("new", "waiting"),
    ("new", "runner"),
    ("new", "returned"),
    ("new", "unrunnable"),
    ("waiting", "runner"),
    ("waiting", "returned"),
    ("waiting", "unrunnable"),
    ("waiting", "pinned"),
    ("waiting", "died"),
    ("runner", "done"),
    ("runner", "returned"),
    ("runner", "died"),
)


@dataclass(slots=True)
class Coverage:
    """What has been seen, and how often."""

    tasks: Counter[Transition] = field(default_factory=Counter)
    attempts: Counter[Transition] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, other: Coverage) -> None:
        """Both together."""
        self.tasks.update(other.tasks)
        self.attempts.update(other.attempts)
        self.faults.update(other.faults)

    def missing(self) -> list[str]:
        """Transitions that were not gone through, of either machine."""
        lists = (("task", TASKS, self.tasks), ("attempt", ATTEMPTS, self.attempts))
        return [
            f"{machine} {before} → {after}"
            for machine, known, seen in lists
            for before, after in known
            if (before, after) not in seen
        ]

    def unlawful(self) -> list[str]:
        """Transitions that are against the rules."""
        lists = (("task", TASKS, self.tasks), ("attempt", ATTEMPTS, self.attempts))
        return [
            f"a {machine} went from {before} to {after}"
            for machine, known, seen in lists
            for before, after in seen
            if (before, after) not in known
        ]

    def summary(self) -> str:
        """In a line."""
        faults = ", ".join(f"{kind} ×{count}" for kind, count in sorted(self.faults.items()))
        return (
            f"{len(self.tasks)} of {len(TASKS)} transitions of tasks, "
            f"{len(self.attempts)} of {len(ATTEMPTS)} of attempts; faults: {faults or 'none'}"
        )


@contextmanager
def watched_tasks(seen: Counter[Transition]) -> Iterator[None]:
    """While it lasts, every task of a scheduler tells about its changes of state."""

    class WatchedTask(st.Task):
        __slots__ = ()

        def __setattr__(self, name: str, value: Any) -> None:
            if name == "state":
                before = getattr(self, "state", value)
                if before != value:
                    seen[st.STATE_NAMES[before], st.STATE_NAMES[value]] += 1
            super().__setattr__(name, value)

    with patch.object(st, "Task", WatchedTask):
        yield


class AttemptWatch:
    """Follows the attempts of one worker by what it is told and says."""

    def __init__(self, core: WorkerCore, seen: Counter[Transition]) -> None:
        self._state = core.state
        self._seen = seen
        self._where: dict[int, str] = {}
        self._said: dict[int, Message] = {}  # by identity: what is said again is nothing new

    def hears(self, message: Message) -> None:
        """The scheduler says this to the worker."""
        if isinstance(message, words.Run):
            self._where.update(dict.fromkeys(message.attempts, "new"))

    def does(self, actions: list[Action]) -> None:
        """The worker does this, having heard or seen something."""
        for attempt in [each for each in self._where if self._where[each] != "runner"]:
            if attempt in self._state.waiting or attempt in self._state.apart:
                self._move(attempt, "waiting")
        for action in actions:
            messages = action.messages if isinstance(action, ToRunner | ToScheduler) else []
            again = any(isinstance(message, Announced) for message in messages)
            for message in messages:
                if id(message) not in self._said:
                    self._said[id(message)] = message
                    if not again or isinstance(action, ToRunner):
                        self._moved_by(message)

    def _moved_by(self, message: Message) -> None:
        match message:
            case words.Run():
                self._all(message.attempts, "runner")
            case words.Done():
                self._all(message.attempts, "done")
            case words.Returned():
                self._all(message.attempts, "returned")
            case words.Unrunnable():
                self._all(message.attempts, "unrunnable")
            case words.Pinned():
                self._all(message.attempts, "pinned")
            case words.RunnerDied():
                self._all([*message.running, *message.queued], "died")
            case _:
                pass

    def _all(self, attempts: list[int], where: str) -> None:
        for attempt in dict.fromkeys(attempts):
            self._move(attempt, where)

    def _move(self, attempt: int, where: str) -> None:
        before = self._where.get(attempt, "over")
        if before != where:
            self._seen[before, where] += 1
        if where in ("waiting", "runner"):
            self._where[attempt] = where
        else:
            self._where.pop(attempt, None)
