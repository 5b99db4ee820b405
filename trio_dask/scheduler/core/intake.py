"""What clients bring: functions, tasks, wants and values; and what they take back.

Everything a client says is checked here before it touches the tables: a client can
be wrong, and then it is let go (`Misuse`), but nobody else notices.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages import tasks as words
from trio_dask.messages.ids import client_of
from trio_dask.scheduler.core import limits, state as st
from trio_dask.scheduler.core.failures import packed
from trio_dask.scheduler.core.joining import is_known, join
from trio_dask.scheduler.core.lifecycle import (
    KEPT,
    MOVES_MAX,
    end,
    interrupt,
    is_out_of_reach,
    lose_copy,
    require,
    settle,
    tell,
    wants,
)
from trio_dask.scheduler.core.linking import INPUTS_MAX, Inputs
from trio_dask.scheduler.core.misuse import Misuse
from trio_dask.scheduler.core.nests import ORDER_BITS, PRIORITY_MAX
from trio_dask.scheduler.core.putting import is_awaited

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from trio_dask.scheduler.core.limits import Limit
    from trio_dask.scheduler.core.state import (
        Client,
        ClusterState,
        Task,
    )

#: A context of a span is no longer, in characters.
_TRACE_MAX: Final = 1024
#: Columns of a submission that have a row for each task, or none at all.
_OPTIONAL: Final = ("dep_counts", "keys", "orders")
SLICE: Final = 1000  # rows of a large message between two looks at other peers


# ---------------------------------------------------------------- submissions


def on_submit(
    state: ClusterState, client: Client, message: words.Submit, *, again: bool = False
) -> Generator[None, None, None]:
    """New tasks: one for each row. Some may be known already, if it is said again."""
    functions = _check_submit(state, client, message, again=again)
    rank0, requirement, specs = _specs(state, client, message, functions)
    limit = _limit(state, message)
    one = specs[message.fids[0]] if len(specs) == 1 else None
    at_once = message.wanted and requirement.open and not message.orders
    deps_at = after = 0
    ready: list[Task] = []
    joined: dict[int, Task] = {}  # rows not wanted that were made before
    inputs = Inputs(joined)
    for row, args in enumerate(message.args):
        tid, early = message.first + row, None
        deps_at, after = after, after + (message.dep_counts[row] if message.dep_counts else 0)
        if after - deps_at > INPUTS_MAX:  # before it is looked for: others may make it meanwhile
            early = st.Task(tid, one or specs[message.fids[row]], args, rank0 + row)
            yield from inputs.connect_many(state, early, message.dep_tids[deps_at:after])
        if (again and _want_again(state, tid)) or (
            message.keys and is_known(state, message, row, joined, again=again, limit=limit)
        ):
            if early is not None:
                inputs.disconnect(state, early)
        else:
            task = early or st.Task(tid, one or specs[message.fids[row]], args, rank0 + row)
            state.tasks[tid] = task
            task.wanted = message.wanted
            if message.keys or message.orders or limit is not None:
                _set_apart(state, task, message, limit)
            if after > deps_at:
                if early is None:
                    inputs.connect(state, task, message.dep_tids[deps_at:after])
                inputs.begin(state, task)
            elif at_once:
                task.state = st.READY
                ready.append(task)
            else:
                require(state, [task])
        if row % SLICE == SLICE - 1:
            requirement.queue.push_sorted(ready)
            ready = []
            yield
    requirement.queue.push_sorted(ready)
    _close(state, message, limit)


def _set_apart(state: ClusterState, task: Task, message: words.Submit, limit: Limit | None) -> None:
    """What most tasks do not have: a key of the user's, a place among others, a deadline."""
    row = task.tid - message.first
    if message.keys:
        state.keys[message.keys[row]] = task
        state.names[task.tid] = message.keys[row]
    if message.orders:
        task.rank += message.orders[row] - row
    if limit is not None:
        limits.begin(state, task.tid, limit)


def _close(state: ClusterState, message: words.Submit, limit: Limit | None) -> None:
    """All tasks of the submission have been made."""
    if limit is not None:
        limits.complete(limit)
    if not message.wanted:  # they were described for others of this message
        tids = range(message.first, message.first + len(message.args))
        settle(state, [state.tasks[tid] for tid in tids if tid in state.tasks])


def _want_again(state: ClusterState, tid: int) -> bool:
    """The client says again that it wants a task which it has made; whether that is known."""
    task = state.tasks.get(tid)
    if task is not None and task.tid == tid:
        task.wanted = True
        if task.state == st.RELEASED:
            require(state, [task])
    return task is not None


def _check_submit(
    state: ClusterState, client: Client, message: words.Submit, *, again: bool
) -> list[st.Function]:
    count = len(message.args)
    if len(message.fids) not in (1, count):
        raise Misuse(f"Submit.fids has {len(message.fids)} rows for {count} tasks")
    for name in _OPTIONAL:
        column: Sequence[object] = getattr(message, name)
        if column and len(column) != count:
            raise Misuse(f"Submit.{name} has {len(column)} rows for {count} tasks")
    counts = message.dep_counts
    if (counts or message.dep_tids) and (sum(counts) != len(message.dep_tids) or min(counts) < 0):
        raise Misuse("Submit.dep_counts and Submit.dep_tids do not agree")
    last = message.first + max(count, 1) - 1
    if client_of(message.first) != client.number or client_of(last) != client.number:
        raise Misuse(f"task ids from {message.first:x} are not of client {client.number}")
    if message.orders and not 0 <= min(message.orders) <= max(message.orders) < count:
        raise Misuse("Submit.orders are not ranks among its tasks")
    made = range(message.first, message.first + count)
    if not again and not state.tasks.keys().isdisjoint(made):
        raise Misuse(f"task ids from {message.first:x} were used before")
    try:
        return [client.functions[fid] for fid in message.fids]
    except KeyError as error:
        raise Misuse(f"function id {error} is unknown") from None


def _limit(state: ClusterState, message: words.Submit) -> Limit | None:
    """The deadline of a submission, if it has one."""
    deadline_s = message.options.get("deadline")
    if deadline_s is None or not message.args:
        return None
    if not is_amount(deadline_s):
        raise Misuse(f"deadline {deadline_s!r} is not a number of seconds")
    asked_s: Any = message.options.get("asked", deadline_s)
    if not is_amount(asked_s):
        raise Misuse(f"a deadline of {asked_s!r} is not a number of seconds")
    return limits.limit_for(
        state, message.first, len(message.args), float(deadline_s), asked_s=float(asked_s)
    )


def _specs(
    state: ClusterState, client: Client, message: words.Submit, functions: list[st.Function]
) -> tuple[int, st.Requirement, dict[int, st.Spec]]:
    """The first rank of a submission, what its tasks require, and by function what they have in common.

    Without options, as most are, that is the same each time.
    """
    rank0, requirement = state.order, state.anywhere
    by_fid = dict(zip(message.fids, functions, strict=True))
    if message.options:
        rank0, common = _options(state, message)
        requirement = common.requirement
        made = {fid: replace(common, function=function) for fid, function in by_fid.items()}
    else:
        for fid in by_fid.keys() - client.plain.keys():
            client.plain[fid] = st.Spec(by_fid[fid], requirement, 0)
        made = {fid: client.plain[fid] for fid in by_fid}
    state.order += len(message.args)
    return _place(client, message, rank0), requirement, made


def _options(state: ClusterState, message: words.Submit) -> tuple[int, st.Spec]:
    """The first rank of a submission, and what its tasks have in common, but for the function."""
    options = dict(message.options)
    priority = options.pop("priority", 0)
    retries = options.pop("retries", 0)
    workers = options.pop("workers", None) or []
    allow_others = options.pop("allow_other_workers", False)
    resources = options.pop("resources", None) or {}
    way = options.pop("on_cancel", words.INTERRUPT)
    timeout_s = options.pop("timeout", None)
    once = any([options.pop("actor", False) is True, options.pop("once", False) is True])
    trace = options.pop("trace", "")
    apart = options.pop("apart", False) is True
    options.pop("deadline", None)
    options.pop("asked", None)
    if options:
        raise Misuse(f"unknown option {min(options)!r}")
    if type(priority) is not int or not -PRIORITY_MAX < priority < PRIORITY_MAX:
        raise Misuse(f"priority {priority!r} is not a whole number below {PRIORITY_MAX}")
    if way not in (words.COOPERATE, words.INTERRUPT, words.KILL) or type(way) is not int:
        raise Misuse(f"on_cancel {way!r} is no way of stopping a task")
    if timeout_s is not None and not (is_amount(timeout_s) and timeout_s):
        raise Misuse(f"timeout {timeout_s!r} is not a number of seconds above 0")
    if type(trace) is not str or len(trace) > _TRACE_MAX:
        raise Misuse(f"trace {trace!r:.100} is no context of a span")
    if type(retries) is not int or retries < 0:
        raise Misuse(f"retries {retries!r} is not a number of times")
    if type(workers) is not list or not all(type(each) is str for each in workers):
        raise Misuse(f"workers {workers!r} is not a list of names")
    if type(resources) is not dict or not all(is_amount(units) for units in resources.values()):
        raise Misuse(f"resources {resources!r} is not a map from names to units")
    needs = tuple(sorted((name, units) for name, units in resources.items() if units))
    key = (tuple(workers), bool(workers and allow_others), needs)
    requirement = state.requirements.get(key)
    if requirement is None:
        requirement = state.requirements[key] = st.Requirement(*key)
    rank0 = (-priority << ORDER_BITS) + state.order
    return rank0, st.Spec(
        None, requirement, retries, way, float(timeout_s or math.inf), once, trace, apart
    )


def _place(client: Client, message: words.Submit, rank0: int) -> int:
    """The first rank of what the client submits, which is another inside a task."""
    nest = client.nest
    if nest is None:
        return rank0
    if not nest.make(message.first, len(message.args)):
        raise Misuse(f"task ids from {message.first:x} were used before")
    return nest.rank(rank0)


def is_amount(units: object) -> bool:
    """Whether this is so much of a resource."""
    return type(units) in (int, float) and 0 <= units < math.inf  # type: ignore[operator]


# ---------------------------------------------------------------- wants


def on_want(
    state: ClusterState, client: Client, message: words.Want
) -> Generator[None, None, None]:
    """The client wants tasks that others made."""
    for row, (tid, target) in enumerate(zip(message.tids, message.targets, strict=True)):
        if row % SLICE == SLICE - 1:
            yield
        task = state.tasks.get(target)
        if client_of(tid) != client.number or tid in state.tasks:
            raise Misuse(f"task id {tid:x} is not free for client {client.number}")
        if client.nest is not None and not client.nest.make(tid):
            raise Misuse(f"task id {tid:x} was used before")
        if task is None:
            client.out.lost(tid, "nobody held a future of it any more")
        else:
            join(state, task, tid)


def on_release(
    state: ClusterState, client: Client, message: words.Release
) -> Generator[None, None, None]:
    """The client no longer wants these."""
    for row, tid in enumerate(message.tids):
        if client_of(tid) != client.number:
            raise Misuse(f"task id {tid:x} is not of client {client.number}")
        unwant(state, tid)
        if row % SLICE == SLICE - 1:
            yield


def unwant(state: ClusterState, tid: int) -> None:
    """Whoever wanted something as `tid` no longer does."""
    task = state.tasks.get(tid)
    if task is None:
        return
    if task.tid == tid:
        task.wanted = False
    else:
        del state.tasks[tid]
        if task.also:
            task.also.pop(tid, None)
        if state.limits:
            limits.drop(state, tid)
    if not (task.wanted or task.needed or task.also):
        settle(state, [task])


def on_keep(
    state: ClusterState, client: Client, message: words.Keep
) -> Generator[None, None, None]:
    """Run these to their end, whoever wants them."""
    for row, tid in enumerate(message.tids):
        if row % SLICE == SLICE - 1:
            yield
        task = _own(state, client, tid)
        if task is None or task.state >= st.DONE:
            continue
        if task.also is None:
            task.also = {}
        task.also[KEPT] = None
        if task.state == st.RELEASED:
            require(state, [task])


def on_cancel(
    state: ClusterState, client: Client, message: words.Cancel
) -> Generator[None, None, None]:
    """Stop these; of what has begun, the outcome is the answer."""
    for row, tid in enumerate(message.tids):
        if row % SLICE == SLICE - 1:
            yield
        task = _own(state, client, tid)
        if task is None or task.state >= st.DONE:
            continue
        others = any(client_of(each) != client.number for each in wants(task))  # or it is kept
        if others:
            if tid in wants(task):
                client.out.cancelled(tid, message.reason)
                unwant(state, tid)
        else:
            stop(state, task, message.reason, client.name)


def stop(state: ClusterState, task: Task, reason: str, who: str) -> None:
    """Stop what has not ended, for all who want it."""
    if is_awaited(task):  # what needs it does not come to an end that nobody asked for
        end(state, task, st.LOST, packed(reason))
    elif task.state == st.ASSIGNED:
        state.cancelling[task.tid] = reason
        state.cancellers[task.tid] = who
        interrupt(task)
    else:
        state.cancellers[task.tid] = who
        end(state, task, st.CANCELLED, packed(reason))


def _own(state: ClusterState, client: Client, tid: int) -> Task | None:
    """The task that the client calls so."""
    if client_of(tid) != client.number:
        raise Misuse(f"task id {tid:x} is not of client {client.number}")
    return state.tasks.get(tid)


# ---------------------------------------------------------------- values that are not where they were


def on_unreachable(state: ClusterState, client: Client, message: words.Unreachable) -> None:
    """The client did not find values where it was told they were.

    It may look again: what breaks one connection does not cost others the value.
    """
    worker = state.workers.get(message.address)
    for tid in message.tids:
        task = _own(state, client, tid)
        if task is None or tid not in wants(task):
            continue
        if is_out_of_reach(state, task):
            reason = f"it could not be fetched, the last time from {message.address}"
            client.out.lost(tid, reason)
            unwant(state, tid)
            continue
        held = worker is not None and task.holders is not None and worker in task.holders
        if worker is not None and held and state.unreached[task.tid] > MOVES_MAX:
            worker.out.free(task.tid)
            lose_copy(state, task, worker, f"it could not be fetched from {worker.address}")
        if task.state == st.DONE:
            tell(state, task, tid)
