"""How many tasks are in which state, by function: counted when somebody wants to know.

A task that changes its state counts nothing, or a million tasks would pay for a page that
nobody looks at. Instead the table is read, in slices so that nobody waits for it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from trio_dask.scheduler.core.state import DONE, STATE_NAMES

if TYPE_CHECKING:
    from collections.abc import Generator

    from trio_dask.scheduler.core.state import ClusterState, Task

#: Of values that were put here: they have no function.
DATA: Final = "data"
_SLICE: Final = 4_000

#: For each name the number of tasks in each state, and the bytes of the values there are.
Counts = dict[str, list[int]]


def take_census(state: ClusterState) -> Generator[None, None, Counts]:
    """Count all tasks, a slice at a time; what changes meanwhile is counted as it was or is."""
    tasks = list(state.tasks.values())
    states: Counter[tuple[Any, int]] = Counter()
    nbytes: Counter[Any] = Counter()
    shared: dict[Task, None] = {}  # those that several clients want: they are in the table often
    for at in range(0, len(tasks), _SLICE):
        some = tasks[at : at + _SLICE]
        states.update([(task.spec, task.state) for task in some if not task.also])
        for task in some:
            if task.state == DONE and not task.also:
                nbytes[task.spec] += task.nbytes
            elif task.also:
                shared[task] = None
        yield
    for task in shared:
        states[task.spec, task.state] += 1
        nbytes[task.spec] += task.nbytes if task.state == DONE else 0
    counts: Counts = {}
    for (spec, at), count in states.items():
        row = counts.setdefault(_name(spec), [0] * (len(STATE_NAMES) + 1))
        row[at] += count
    for spec, total in nbytes.items():
        counts[_name(spec)][-1] += total
    return counts


def _name(spec: Any) -> str:
    return spec.function.prefix.name if spec.function is not None else DATA
