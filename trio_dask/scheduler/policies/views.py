"""What a policy of somebody's own may see of tasks and workers: all of it read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio_dask.scheduler.core.state import Task, Worker


class TaskView:
    """A task, or an input of one."""

    __slots__ = ("_task",)

    def __init__(self, task: Task) -> None:
        self._task = task

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaskView) and other._task is self._task

    def __hash__(self) -> int:
        return hash(self._task)

    def __repr__(self) -> str:
        return f"<TaskView {self.function or 'data'}-{self.number:x}>"

    @property
    def number(self) -> int:
        """By which it is told from all others."""
        return self._task.tid

    @property
    def function(self) -> str:
        """The name of its function; empty for a value that a client has stored."""
        function = self._task.spec.function
        return function.name if function is not None else ""

    @property
    def estimate_s(self) -> float:
        """How long it is expected to take, seconds; negative when nothing is known."""
        function = self._task.spec.function
        return function.prefix.estimate_s() if function is not None else -1.0

    @property
    def nbytes(self) -> int:
        """The size of its value, once it has one."""
        return self._task.nbytes

    @property
    def inputs(self) -> tuple[TaskView, ...]:
        """What it needs."""
        return tuple(TaskView(dep) for dep in self._task.deps)

    @property
    def holders(self) -> tuple[WorkerView, ...]:
        """Workers that hold its value; none for small values, which travel with tasks."""
        holders = self._task.holders or ()
        return tuple(WorkerView(worker) for worker in holders if worker.alive)


class WorkerView:
    """A worker in the cluster."""

    __slots__ = ("_worker",)

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WorkerView) and other._worker is self._worker

    def __hash__(self) -> int:
        return hash(self._worker)

    def __repr__(self) -> str:
        return f"<WorkerView {self.name}>"

    @property
    def name(self) -> str:
        """What people call it."""
        return self._worker.name

    @property
    def address(self) -> str:
        """Where it is reached."""
        return self._worker.address

    @property
    def nthreads(self) -> int:
        """How many tasks it was made to run at once."""
        return self._worker.nthreads

    @property
    def slots(self) -> int:
        """How many tasks it can run at once now; 0 while it has no runner."""
        return self._worker.slots

    @property
    def assigned(self) -> int:
        """How many tasks it has been given that have not ended; without those that wait for others."""
        return len(self._worker.window) - len(self._worker.parked)

    @property
    def assigned_by_function(self) -> dict[str, int]:
        """The same by name of the function."""
        return {prefix.name: count for prefix, count in self._worker.load.items()}

    @property
    def waiting(self) -> int:
        """How many ready tasks wait for it, as their inputs are there."""
        return len(self._worker.home)

    @property
    def held(self) -> int:
        """How many values it holds."""
        return len(self._worker.held)

    @property
    def memory_limit(self) -> int:
        """Bytes; 0 for none."""
        return self._worker.memory_limit

    @property
    def resources(self) -> dict[str, float]:
        """What tasks may ask of it."""
        return dict(self._worker.resources)
