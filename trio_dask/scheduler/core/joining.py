"""Tasks that are there already when they are submitted, by their keys, or wanted by somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_dask.scheduler.core import state as st
from trio_dask.scheduler.core.expiring import joined as on_joined
from trio_dask.scheduler.core.failures import is_for_want_of_data
from trio_dask.scheduler.core.lifecycle import require, tell

if TYPE_CHECKING:
    from trio_dask.messages import tasks as words
    from trio_dask.scheduler.core.limits import Limit
    from trio_dask.scheduler.core.state import ClusterState, Task

#: So many tasks and inputs are looked at to see whether a task can still be made.
_LOOK: Final = 64
#: Ends that say nothing of what the task would have given.
_NOT_RUN: Final = (st.CANCELLED, st.LOST)


def is_known(
    state: ClusterState,
    message: words.Submit,
    row: int,
    joined: dict[int, Task],
    *,
    again: bool,
    limit: Limit | None,
) -> bool:
    """Whether there is a task with this row's key; then it is wanted, or noted in `joined`."""
    known = state.keys.get(message.keys[row])
    if known is not None and message.wanted and not again and not _will_do(state, known):
        return False  # it is kept for what came of it, or for who wants it; this one may do better
    if known is not None and message.wanted:
        join(state, known, message.first + row, limit)
    elif known is not None:
        joined[message.first + row] = known
    return known is not None


def _will_do(state: ClusterState, task: Task) -> bool:
    """Whether it is, or may become, what somebody asks for who submits its key.

    What failed fails for all: nobody knows better; but for what could not run, as an input was
    lost, since there may be another one now. What somebody has cancelled is not run for that
    one; the next one wants it again.
    """
    return not _was_not_run(task) and task.tid not in state.cancelling and _may_be_made(task)


def _was_not_run(task: Task) -> bool:
    """Whether it has come to an end that says nothing of what its function gives."""
    if task.state == st.FAILED:
        return is_for_want_of_data(task.value or b"")
    return task.state in _NOT_RUN


def _may_be_made(task: Task) -> bool:
    """Whether it has a value, or what it takes to make it, as far as a short look tells."""
    look, looked = [task] if task.state == st.RELEASED else [], 0
    while look:
        each = look.pop()
        looked += len(each.deps) + 1
        if each.args is None or looked > _LOOK:
            return False
        if any(map(_was_not_run, each.deps)):
            return False
        look += [dep for dep in each.deps if dep.state == st.RELEASED]
    return True


def join(state: ClusterState, task: Task, tid: int, limit: Limit | None = None) -> None:
    """The client wants, as `tid`, a task that exists already."""
    state.tasks[tid] = task
    if task.also is None:
        task.also = {}
    task.also[tid] = None
    if limit is not None or state.limits or state.late:
        on_joined(state, task, tid, limit)
    if task.state == st.RELEASED:
        require(state, [task])
    elif task.state not in st.PENDING:
        tell(state, task, tid)
