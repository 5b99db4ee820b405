"""What is true in a simulated cluster, whoever believes what: what tasks do, and must come to.

A task's arguments are its number. Its value is a digest of the number and its inputs'
values, so that a wrong input anywhere shows in the end.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.tasks import RAISE
from trio_dask.testing.simulation.plan import ALWAYS, PINNED
from trio_dask.testing.simulation.sharing import Shared

if TYPE_CHECKING:
    from trio_dask.testing.simulation.plan import Plan, PlannedTask

#: What a failing task reports, before its number.
FAILURE: Final = b"simulated failure of "
#: Why a pinned value cannot be moved, before its number.
BOUND: Final = b"simulated value that is bound to its place: "


#: Seconds of running, seconds from the submission, and when that was.
Limits = tuple[float, float, float]


class Truth:
    """The tasks of a plan, and what has happened to them so far."""

    def __init__(self, plan: Plan) -> None:
        self.tasks: dict[int, PlannedTask] = {}
        self.priorities: dict[int, int] = {}
        self.depths: dict[int, int] = {}  # inside so many others
        self.inputs: dict[int, tuple[int, ...]] = {}  # of what has been submitted
        self.scattered: dict[int, bytes] = {}
        self.stopped: dict[int, None] = {}  # somebody cancelled them
        self.failed: Counter[int] = Counter()  # how often each failed, wherever it ran
        self.runner_deaths = 0
        self.runners_ended = False  # some have, on purpose or not, with what they held
        self.starved: Counter[int] = Counter()  # how often each ran when memory ran out
        self.shared = Shared()
        self.restarted = False  # some client has had everything forgotten
        self.ended = 0  # attempts
        self.made: dict[int, None] = {}  # tasks that had a value, anywhere
        self.limits: dict[int, Limits] = {}  # by number, of what has some
        self.numbers: dict[int, int] = {}  # of those, by id
        self.began: dict[int, float] = {}  # when it did, the last time
        self.told: dict[int, float] = {}  # when its client was told how it ended
        for client in plan.clients:
            for step in client.steps:
                priority = step.options.get("priority", 0)
                for task in step.tasks:
                    self._know(task, priority)

    def submitted(
        self, numbers: list[int], first: int, options: dict[str, Any], now: float
    ) -> None:
        """A client has asked for these."""
        timeout, deadline = options.get("timeout", math.inf), options.get("deadline", math.inf)
        if min(timeout, deadline) < math.inf:
            self.limits.update(dict.fromkeys(numbers, (timeout, deadline, now)))
            self.numbers.update((first + row, number) for row, number in enumerate(numbers))

    def _know(self, task: PlannedTask, priority: int, depth: int = 0) -> None:
        self.tasks[task.number] = task
        self.priorities[task.number] = priority
        self.depths[task.number] = depth
        self.scattered.update((number, self.scattered_value(number)) for number in task.puts)
        for child in task.children:
            self._know(child, priority, depth + 1)

    @staticmethod
    def scattered_value(number: int) -> bytes:
        """A value that a client puts on a worker."""
        return b"scattered %d" % number

    @staticmethod
    def value(number: int, inputs: list[bytes]) -> bytes:
        """What a task returns."""
        return hashlib.blake2b(repr((number, inputs)).encode(), digest_size=8).digest()

    def attempt_fails(self, number: int) -> bool:
        """Whether the attempt that ends now fails."""
        self.ended += 1
        failures = self.tasks[number].failures
        fails = failures == ALWAYS or self.failed[number] < failures
        self.failed[number] += fails
        if not fails:
            self.made[number] = None
        return fails

    @staticmethod
    def stops(number: int, way: int) -> bool:
        """Whether a running task stops when it is told to: some when asked, some never."""
        obedience = number % 4
        return obedience == 1 or (way == RAISE and obedience != 0)

    # ---------------------------------------------------------------- what must come out

    def causes(self, number: int) -> dict[str, set[int]]:
        """What can keep a task from having a value: itself and everything before it."""
        found: dict[str, set[int]] = {
            "fails": set(), "stopped": set(), "scattered": set(), "pinned": set(), "limited": set(),
            "made": set(),
        }  # fmt: skip
        todo, seen = [number], {number}
        while todo:
            each = todo.pop()
            if each in self.limits:
                found["limited"].add(each)
            if each in self.stopped:
                found["stopped"].add(each)
            if each in self.scattered:
                found["scattered"].add(each)
                continue
            if each in self.made:
                found["made"].add(each)
            if self.tasks[each].failures == ALWAYS:
                found["fails"].add(each)
            if self.tasks[each].value == PINNED:
                found["pinned"].add(each)
            deps = self._needs(each)
            todo += [dep for dep in deps if dep not in seen]
            seen.update(deps)
        return found

    def _needs(self, number: int) -> tuple[int, ...]:
        """What its value is made of: inputs, and tasks that it waits for."""
        task = self.tasks[number]
        awaited = tuple(child.number for child in task.awaited)
        return self.inputs.get(number, task.deps) + awaited

    def expected(self, number: int) -> bytes:
        """The value of a task."""
        known: dict[int, bytes] = {}
        todo = [number]
        while todo:
            each = todo[-1]
            if each in self.scattered:
                known[each] = self.scattered[each]
            if each in known:
                todo.pop()
                continue
            deps = self._needs(each)
            missing = [dep for dep in deps if dep not in known]
            if missing:
                todo += missing
            else:
                known[each] = self.value(each, [known[dep] for dep in deps])
                todo.pop()
        return known[number]
