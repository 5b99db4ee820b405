"""Who takes whose values: by function for any number of tasks, one by one for some thousands.

What is told has a bound, whatever is there: the largest functions, the rest of them as one, and
the most taken ways between them. What is done at once has one as well: a slice is so many tasks
and inputs together, as a single task may have more inputs than there are other tasks.
"""

from __future__ import annotations

from collections import Counter
from heapq import nlargest
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from trio_dask.scheduler.core.state import STATE_NAMES
from trio_dask.scheduler.observing.describing import task_name

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from trio_dask.scheduler.core.state import ClusterState, Task

    #: Something that is made a slice at a time.
    Sliced = Generator[None, None, Any]

#: So many functions are told one by one, the largest ones.
GROUPS_MAX: Final = 200
#: So many pairs of them of which one takes the other's values, those with the most values.
EDGES_MAX: Final = 1_000
#: So many lines between single tasks.
LINKS_MAX: Final = 20_000
#: Tasks and inputs that are looked at in one go.
SLICE: Final = 4_000


def take_graph(
    state: ClusterState, *, name: str, limit: int
) -> Generator[None, None, dict[str, Any]]:
    """Look at all tasks, a slice at a time; what changes meanwhile is told as it was or is.

    Where there are at most `limit` tasks (of the function `name`, and those beside them, if
    one is named), they are told one by one as well.
    """
    tasks = yield from _each_once(state)
    counts: Counter[tuple[str, int]] = Counter()
    for at in range(0, len(tasks), SLICE):
        counts.update([(task_name(task), task.state) for task in tasks[at : at + SLICE]])
        yield
    answer: dict[str, Any]
    names, answer = yield from _groups(counts)
    edges: Counter[tuple[str | None, str | None]] = yield from _edges(tasks, names)
    largest = set(nlargest(EDGES_MAX, edges, key=edges.__getitem__))
    answer |= {
        "edges": [[*pair, count] for pair, count in edges.items() if pair in largest],
        "edges_left_out": len(edges) - len(largest),
        "count": len(tasks),
    }
    shown: dict[Task, int] = yield from _chosen(tasks, name, limit)
    answer["complete"] = len(shown) <= limit
    if limit and answer["complete"]:
        answer["tasks"] = []
        rows = list(shown)
        for at in range(0, len(rows), SLICE):
            answer["tasks"] += [
                [state.key_of(task), task_name(task), STATE_NAMES[task.state]]
                for task in rows[at : at + SLICE]
            ]
            yield
        answer |= yield from _links(shown)
    return answer


def _each_once(state: ClusterState) -> Sliced:
    """The tasks; one that several clients want is in the table often."""
    tasks, once = list(state.tasks.values()), dict[Any, None]()
    for at in range(0, len(tasks), SLICE):
        once.update(dict.fromkeys(tasks[at : at + SLICE]))
        yield
    return list(once)


def _groups(counts: Counter[tuple[str, int]]) -> Sliced:
    """The names of the largest, and the answer's part about them and about the others."""
    rows = list(counts.items())
    totals: Counter[str] = Counter()
    for at in range(0, len(rows), SLICE):
        for (called, _), count in rows[at : at + SLICE]:
            totals[called] += count
        yield
    sizes, largest = list(totals.items()), list[tuple[str, int]]()
    for at in range(0, len(sizes), SLICE):
        largest = nlargest(GROUPS_MAX, chain(largest, sizes[at : at + SLICE]), key=itemgetter(1))
        yield
    kept = {called for called, _ in largest}
    nodes: dict[str, dict[str, int]] = {}
    others: Counter[str] = Counter()
    for at in range(0, len(rows), SLICE):
        for (called, how), count in rows[at : at + SLICE]:
            if called in kept:
                nodes.setdefault(called, {})[STATE_NAMES[how]] = count
            else:
                others[STATE_NAMES[how]] += count
        yield
    return kept, {
        "groups": [{"name": called, "states": states} for called, states in nodes.items()],
        "others": {"groups": len(totals) - len(kept), "states": dict(others)},
    }


def _edges(tasks: list[Task], names: set[str]) -> Sliced:
    """How many values go from which function to which; None: one of the others."""
    edges: Counter[tuple[str | None, str | None]] = Counter()
    for some in _inputs(tasks):
        if some is None:
            yield
            continue
        task, deps = some
        called = task_name(task)
        to = called if called in names else None
        for dep in deps:
            giver = task_name(dep)
            edges[giver if giver in names else None, to] += 1
    return edges


def _chosen(tasks: list[Task], name: str, limit: int) -> Sliced:
    """Those to be told one by one, with their numbers; one more than `limit` if they are too many."""
    shown: dict[Task, int] = {}
    seen = 0
    for task in tasks:
        seen += 1
        if not name:
            shown[task] = len(shown)
        elif name == task_name(task):
            for each in chain((task,), task.deps, task.dependents or ()):
                seen += 1
                shown.setdefault(each, len(shown))
                if len(shown) > limit:
                    return shown
        if len(shown) > limit:
            return shown
        if seen >= SLICE:
            seen = 0
            yield
    return shown


def _links(shown: dict[Task, int]) -> Sliced:
    """Which of these takes which, by their numbers."""
    links: list[list[int]] = []
    left_out = 0
    for some in _inputs(list(shown)):
        if some is None:
            yield
            continue
        task, deps = some
        found = [[shown[dep], shown[task]] for dep in deps if dep in shown]
        room = LINKS_MAX - len(links)
        links += found[:room]
        left_out += len(found) - len(found[:room])
    return {"links": links, "links_left_out": left_out}


def _inputs(tasks: Iterable[Task]) -> Generator[tuple[Task, tuple[Task, ...]] | None, None, None]:
    """Each task with its inputs, a part of them if they are many; None after each slice."""
    seen = 0
    for task in tasks:
        seen += 1
        deps = task.deps
        for at in range(0, len(deps), SLICE):
            part = deps[at : at + SLICE]
            seen += len(part)
            yield task, part
            if seen >= SLICE:
                seen = 0
                yield None
        if seen >= SLICE:
            seen = 0
            yield None
