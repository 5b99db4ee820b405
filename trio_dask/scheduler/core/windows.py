"""Windows: attempts go in, attempts come out, and the worker takes its place by load."""

from __future__ import annotations

import math
from heapq import heapify, heappush
from itertools import islice
from typing import TYPE_CHECKING, Final

from trio_dask.messages.tasks import Traced
from trio_dask.scheduler.core import state as st
from trio_dask.scheduler.core.expiring import add_limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_dask.scheduler.core.state import ClusterState, Function, Task, Worker

#: Resources are counted in fractions down to this decimal.
RESOURCE_DIGITS: Final = 6
#: Below every rank.
NOTHING: Final = -(1 << 63)


def touch(state: ClusterState, worker: Worker) -> None:
    """The worker's window changed: put it in its new place in the order of load."""
    state.stamps += 1
    worker.stamp = state.stamps
    state.touched[worker] = None
    if worker.alive and worker.slots:
        heappush(state.by_load, (state.load_s(worker) / worker.slots, worker.stamp, worker))
        if len(state.by_load) > 4 * len(state.workers) + 64:
            weed(state)


def weed(state: ClusterState) -> None:
    """Keep of the order of load what is still true."""
    state.by_load = [entry for entry in state.by_load if entry[1] == entry[2].stamp]
    heapify(state.by_load)


def assign(state: ClusterState, worker: Worker, tasks: list[Task]) -> None:
    """Make an attempt at each of these ready tasks on `worker`."""
    apart = _prepare(state, worker, tasks)
    run = worker.out.run()
    window = worker.window
    attempt = state.attempt
    for task in tasks:
        attempt += 1
        task.state = st.ASSIGNED
        task.attempt = attempt
        task.worker = worker
        window[attempt] = task
        spec = task.spec
        function = spec.function
        assert function is not None
        run.attempts.append(attempt)
        run.tids.append(task.tid)
        run.fids.append(function.fid)
        run.ranks.append(task.rank)
        run.args.append(task.args or b"")
        if task.deps:
            worker.out.inputs(run, task, state.refs.get(task.tid))
        elif run.dep_counts:
            run.dep_counts.append(0)
        if state.names or run.keys or state.limits or run.ways or spec.timeout_s < math.inf:
            _add_key(run.keys, len(run.attempts), state.names.get(task.tid, ""))
            add_limits(state, run, task)
        prefix = function.prefix
        worker.load[prefix] = worker.load.get(prefix, 0) + 1
        if spec.requirement.resources:
            for name, units in spec.requirement.resources:
                free = round(worker.free_resources[name] - units, RESOURCE_DIGITS)
                worker.free_resources[name] = free
    if apart:
        run.apart += [task.attempt for task in tasks if task.spec.apart]
    worker.sent.add(state.attempt + 1, state.now)
    state.attempt = attempt
    worker.worst = max(worker.worst, *[task.rank for task in tasks])
    state.worst = max(state.worst, worker.worst)


def _prepare(state: ClusterState, worker: Worker, tasks: list[Task]) -> bool:
    """Tell what is to be known before these attempts come; whether some have processes of their own."""
    spec, traced, apart = None, False, False
    for task in tasks:
        if task.spec is not spec:
            spec = task.spec
            traced = traced or spec.trace != ""
            apart = apart or spec.apart
            function = spec.function
            assert function is not None, "a value that was put here is never ready to run"
            if function.fid not in worker.functions:
                _teach(state, worker, function)
    if traced:
        _trace(state, worker, tasks)
    return apart


def _unload(worker: Worker, task: Task) -> None:
    function = task.spec.function
    if function is not None:
        left = worker.load[function.prefix] - 1
        if left:
            worker.load[function.prefix] = left
        else:
            del worker.load[function.prefix]


def wait(worker: Worker, attempt: int, task: Task) -> None:
    """The attempt has given up its slot for as long as it waits. What it took it keeps."""
    if attempt not in worker.parked:
        worker.parked[attempt] = None
        _unload(worker, task)


def go_on(state: ClusterState, worker: Worker, attempt: int, task: Task) -> None:
    """The attempt has a slot again."""
    if attempt not in worker.parked:
        return
    del worker.parked[attempt]
    function = task.spec.function
    if function is not None:
        worker.load[function.prefix] = worker.load.get(function.prefix, 0) + 1
    # Of those that were thought to have begun, one more has not.
    for later in islice(running(worker), worker.slots, worker.slots + 1):
        worker.worst = max(worker.worst, later.rank)
        state.worst = max(state.worst, later.rank)


def running(worker: Worker) -> Iterator[Task]:
    """What has a slot or is to have one, in the order in which it was given."""
    parked = worker.parked
    return (task for attempt, task in worker.window.items() if attempt not in parked)


def busy(worker: Worker) -> int:
    """How many attempts of the window have a slot, or are to have one."""
    return len(worker.window) - len(worker.parked)


def _teach(state: ClusterState, worker: Worker, function: Function) -> None:
    worker.functions.add(function.fid)
    worker.out.function(function)
    if function.forgotten:
        state.unused_functions[function.fid] = None


def _trace(state: ClusterState, worker: Worker, tasks: list[Task]) -> None:
    """Tell which of the attempts to come are part of which trace."""
    traces: dict[str, list[int]] = {}
    for attempt, task in enumerate(tasks, state.attempt + 1):
        if task.spec.trace:
            traces.setdefault(task.spec.trace, []).append(attempt)
    for trace, attempts in traces.items():
        worker.out.add(Traced(attempts, trace))


def _add_key(keys: list[str], rows: int, key: str) -> None:
    if key and not keys:
        keys += [""] * (rows - 1)
    if key or keys:
        keys.append(key)


def vacate(worker: Worker, attempt: int) -> Task | None:
    """Take an attempt out of the worker's window; None if it is not there."""
    task = worker.window.pop(attempt, None)
    if task is None:
        return None
    if worker.recalled:
        worker.recalled.pop(attempt, None)
    if worker.stray and task.tid in worker.stray:
        del worker.stray[task.tid]
        worker.out.free(task.tid)
    if worker.nested and attempt in worker.nested:
        worker.parting.append(worker.nested.pop(attempt))
    if not worker.window:
        worker.worst = NOTHING
    spec = task.spec
    if attempt in worker.parked:
        del worker.parked[attempt]
    else:
        _unload(worker, task)
    for name, units in spec.requirement.resources:
        # What is left of fractions must not be what the next task lacks.
        free = round(worker.free_resources[name] + units, RESOURCE_DIGITS)
        worker.free_resources[name] = min(free, worker.resources[name])
    return task
