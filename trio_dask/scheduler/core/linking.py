"""New tasks and their inputs know each other.

A task may have very many inputs, and then others are heard between two slices of them. Until all
are known to it nobody knows the task; its inputs, which know that something takes them, stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_dask.scheduler.core import state as st
from trio_dask.scheduler.core.failures import data_lost
from trio_dask.scheduler.core.lifecycle import end, require, settle

if TYPE_CHECKING:
    from collections.abc import Generator

    from trio_dask.scheduler.core.state import ClusterState, Task

#: So many inputs are connected between two looks at other peers.
INPUTS_MAX: Final = 2_000


class Inputs:
    """The inputs of one task after the other, each with the id that it is called by.

    Args:
        joined: tasks by ids of the same submission that are not theirs: see `intake`.
    """

    __slots__ = ("_deps", "_joined", "_renamed", "_unknown")

    def __init__(self, joined: dict[int, Task]) -> None:
        self._joined: Final = joined
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._deps: dict[Task, int] = {}
        self._renamed = False  # whether one of them is called by an id that is not its own
        self._unknown: int | None = None  # the first one that does not exist

    def connect(self, state: ClusterState, task: Task, tids: list[int]) -> None:
        """These are inputs of the task, too; if one does not exist it has none at all."""
        tasks, joined, deps = state.tasks, self._joined, self._deps
        for tid in tids:
            dep = tasks.get(tid) or joined.get(tid)
            if dep is None or dep is task:
                self.disconnect(state, task)
                self._unknown = tid
                return
            deps[dep] = tid
            if dep.dependents is None:
                dep.dependents = {task: None}
            else:
                dep.dependents[task] = None
            if dep.tid != tid:
                self._renamed = True

    def connect_many(
        self, state: ClusterState, task: Task, tids: list[int]
    ) -> Generator[None, None, None]:
        """The same in slices. If nobody goes on with them, nothing is left of it."""
        try:
            for at in range(0, len(tids), INPUTS_MAX):
                self.connect(state, task, tids[at : at + INPUTS_MAX])
                if self._unknown is not None:
                    return
                yield
        except GeneratorExit:
            self.disconnect(state, task)
            raise

    def disconnect(self, state: ClusterState, task: Task) -> None:
        """The task has no inputs; those that were there for its sake only are forgotten."""
        deps = list(self._deps)
        for dep in deps:
            if dep.dependents:
                dep.dependents.pop(task, None)
        self._begin_anew()
        settle(state, deps)

    def begin(self, state: ClusterState, task: Task) -> None:
        """All are connected, and the task is known: begin it, if it is wanted."""
        unknown, deps, renamed = self._unknown, self._deps, self._renamed
        self._begin_anew()
        if unknown is not None:
            task.args = None  # without its inputs it can never run
            why = data_lost(f"{unknown:x}", "the scheduler does not know it")
            end(state, task, st.FAILED, why)
            return
        task.deps = tuple(deps)
        if renamed:
            state.refs[task.tid] = list(deps.values())
        if task.wanted:
            require(state, [task])
