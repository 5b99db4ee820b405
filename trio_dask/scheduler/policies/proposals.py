"""A placement policy of somebody's own: it looks and proposes, the scheduler checks and decides.

So a bad policy can be slow, or place badly, but nothing that it returns or raises
hurts a task: where a proposal cannot be followed, the scheduler's own is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from trio_dask.scheduler.core.settings import CoreSettings
from trio_dask.scheduler.policies.placement import home_of, load_s, worth_moving
from trio_dask.scheduler.policies.views import TaskView, WorkerView

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.scheduler.core.state import ClusterState, Task, Worker

#: Of what is wrong with a policy so much is remembered at a time.
FAULTS_MAX: Final = 20


class Placement:
    """Which worker a task suits. Override what is to be decided otherwise.

    A policy is called often, and must answer at once, from what it is shown alone: no input
    or output, no clock, no chance but a `random.Random` with a seed of its own. Then a
    simulation of it can be repeated.

    Example:
        >>> class StayAtHome(Placement):
        ...     def is_worth_moving(
        ...         self, task: TaskView, home: WorkerView, idle: WorkerView
        ...     ) -> bool:
        ...         return False
    """

    def home(self, task: TaskView) -> WorkerView | None:
        """The worker that a task with inputs, which may run anywhere, should wait for.

        None if any will do. By default: the one that holds most of its inputs. One that is
        to leave will not do: then it is as by default.
        """
        found = home_of(task._task)  # noqa: SLF001 - a view is a window in this very room
        return None if found is None else WorkerView(found)

    def load_s(self, worker: WorkerView) -> float:
        """How much work the worker has been given; who has least per slot draws next.

        By default: the estimated running time of all that it has been given, seconds.
        """
        return load_s(worker._worker)  # noqa: SLF001

    def is_worth_moving(self, task: TaskView, home: WorkerView, idle: WorkerView) -> bool:
        """Whether an idle worker may take a task that waits for its home.

        By default: if moving what only its home has of its inputs takes less time than waiting.
        """
        return worth_moving(task._task, home._worker, idle._worker, _USUAL)  # noqa: SLF001


_USUAL: Final = CoreSettings()


def follow(state: ClusterState, policy: Placement) -> None:
    """Ask this policy from now on, about what it overrides."""
    proposals, kind = _Proposals(state, policy), type(policy)
    if kind.home is not Placement.home:
        state.home_of = proposals.home_of
    if kind.load_s is not Placement.load_s:
        state.load_s = proposals.load_s
    if kind.is_worth_moving is not Placement.is_worth_moving:
        state.worth_moving = proposals.worth_moving


class _Proposals:
    """What a policy proposes, checked."""

    def __init__(self, state: ClusterState, policy: Placement) -> None:
        self._state = state
        self._policy = policy

    def home_of(self, task: Task) -> Worker | None:
        found = self._asked(self._policy.home, TaskView(task))
        if found is None:
            return None
        worker = found._worker if isinstance(found, WorkerView) else None  # noqa: SLF001
        if worker is None or not worker.alive:
            self._blame("home", "is no worker that is there", found)
            return home_of(task)
        return worker if worker.draining is None else home_of(task)

    def load_s(self, worker: Worker) -> float:
        found = self._asked(self._policy.load_s, WorkerView(worker))
        if type(found) not in (int, float) or not 0 <= found < math.inf:  # type: ignore[operator]
            self._blame("load_s", "is no number of at least 0", found)
            return load_s(worker)
        return float(found)  # type: ignore[arg-type]

    def worth_moving(self, task: Task, home: Worker, idle: Worker, settings: CoreSettings) -> bool:
        views = TaskView(task), WorkerView(home), WorkerView(idle)
        found = self._asked(self._policy.is_worth_moving, *views)
        if type(found) is not bool:
            self._blame("is_worth_moving", "is neither true nor false", found)
            return worth_moving(task, home, idle, settings)
        return found

    def _asked(self, method: Callable[..., object], *views: TaskView | WorkerView) -> object:
        try:
            return method(*views)
        except Exception as error:  # noqa: BLE001 - somebody else's code
            return _Raised(error)

    def _blame(self, method: str, wrong: str, found: object) -> None:
        if len(self._state.policy_faults) < FAULTS_MAX:
            what = f"raised {found}" if isinstance(found, _Raised) else f"{found!r:.200} {wrong}"
            fault = f"{type(self._policy).__name__}.{method}: {what}"
            self._state.policy_faults.append(fault)


class _Raised:
    """In the place of an answer: an error. Its frames are let go, as they lead to everything."""

    def __init__(self, error: Exception) -> None:
        self._text = f"{type(error).__name__}: {error}"[:200]

    def __str__(self) -> str:
        return self._text
