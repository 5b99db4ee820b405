"""Who takes whose values: by function for any number of tasks, one by one for some thousands."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from trio_dask.scheduler.core.state import STATE_NAMES
from trio_dask.scheduler.observing.describing import task_name

if TYPE_CHECKING:
    from collections.abc import Generator

    from trio_dask.scheduler.core.state import ClusterState, Task

_SLICE: Final = 2_000


def take_graph(
    state: ClusterState, *, name: str, limit: int
) -> Generator[None, None, dict[str, Any]]:
    """Look at all tasks, a slice at a time.

    Where there are at most `limit` tasks (of the function `name`, and those beside them, if
    one is named), they are told one by one as well.
    """
    tasks = list(dict.fromkeys(state.tasks.values()))
    groups: Counter[tuple[str, int]] = Counter()
    edges: Counter[tuple[str, str]] = Counter()
    shown: dict[Task, int] = {}
    for at in range(0, len(tasks), _SLICE):
        for task in tasks[at : at + _SLICE]:
            called = task_name(task)
            groups[called, task.state] += 1
            for dep in task.deps:
                edges[task_name(dep), called] += 1
            if len(shown) <= limit and (not name or name == called):
                for each in (task, *task.deps, *(task.dependents or ())) if name else (task,):
                    shown.setdefault(each, len(shown))
        yield
    nodes: dict[str, dict[str, int]] = {}
    for (called, how), count in groups.items():
        nodes.setdefault(called, {})[STATE_NAMES[how]] = count
    answer: dict[str, Any] = {
        "groups": [{"name": called, "states": states} for called, states in nodes.items()],
        "edges": [[one, other, count] for (one, other), count in edges.items()],
        "count": len(tasks),
        "complete": len(shown) <= limit,
    }
    if limit and len(shown) <= limit:
        answer["tasks"] = [
            [state.key_of(task), task_name(task), STATE_NAMES[task.state]] for task in shown
        ]
        answer["links"] = [
            [shown[dep], number]
            for task, number in shown.items()
            for dep in task.deps
            if dep in shown
        ]
    return answer
