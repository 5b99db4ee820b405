"""Values that the cluster keeps: opaque bytes, in bounds, and the tasks whose futures are in them.

Such tasks stay wanted, under an id below zero that is no client's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.kept import VALUE_BYTES_MAX
from trio_dask.scheduler.coordination import Item, Refusal
from trio_dask.scheduler.core import mirroring
from trio_dask.scheduler.core.expiring import joined
from trio_dask.scheduler.core.lifecycle import require, settle
from trio_dask.scheduler.core.state import PENDING, RELEASED

if TYPE_CHECKING:
    from trio_dask.scheduler.core.state import ClusterState

#: All together are no more than this.
TOTAL_BYTES_MAX: Final = 256 << 20
#: In one value are no more futures than this.
FUTURES_MAX: Final = 10_000


def item_of(
    state: ClusterState, params: dict[str, Any], *, bytes_max: int = VALUE_BYTES_MAX
) -> Item:
    """The value that a client brings.

    Raises:
        Refusal: it is too large, or one of its futures is unknown.
    """
    data, tids = params.get("data"), params.get("tids", [])
    listed = type(tids) is list and len(tids) <= FUTURES_MAX and {int}.issuperset(map(type, tids))
    if type(data) is not bytes or not listed:
        msg = f"a value is bytes, with at most {FUTURES_MAX:,} futures in it"
        raise Refusal(msg)
    if len(data) > bytes_max:
        msg = (
            f"a value of {len(data):,} bytes, where {bytes_max:,} is the most that the "
            "scheduler keeps: scatter it, and use its future"
        )
        raise Refusal(msg)
    nbytes = len(data) + 64 * (len(tids) + 1)
    if state.records.nbytes + nbytes > TOTAL_BYTES_MAX:
        msg = (
            f"the scheduler keeps {state.records.nbytes:,} bytes in queues, variables and data "
            f"sets, and {TOTAL_BYTES_MAX:,} is the most: take some away, or scatter large values"
        )
        raise Refusal(msg)
    tasks = [state.tasks.get(tid) for tid in tids]
    for tid, task in zip(tids, tasks, strict=True):
        if task is None:
            msg = f"the scheduler does not know the task {tid:x} whose future is in the value"
            raise Refusal(msg)
    state.records.nbytes += nbytes
    return referring(state, Item(data, tuple(task.tid for task in tasks if task), 0, nbytes))


def recorded(state: ClusterState, item: Item, *head: Any) -> Item:
    """The cluster has the value from now on, as what `head` says."""
    if not item.row:
        keys = [_key(state, tid) for tid in item.tids]
        more = sum(map(len, keys))
        row = [*head, list(item.tids), keys]
        item.row = mirroring.add(state, row, item.data, item.nbytes + more)
    return item


def copied(state: ClusterState, item: Item) -> Item:
    """The same value once more, for somebody who has not taken it yet: it keeps its tasks wanted."""
    return referring(state, Item(item.data, item.tids, 0, 0))


def referring(state: ClusterState, item: Item) -> Item:
    """The value, of which the tasks are wanted from now on."""
    if item.tids:
        state.records.refs -= 1
        item.ref = state.records.refs
    for tid in item.tids:
        task = state.tasks.get(tid)
        if task is None:
            continue  # after a restart
        if task.also is None:
            task.also = {}
        task.also[item.ref] = None
        if state.limits or state.late:
            joined(state, task, item.ref, None)
        if task.state == RELEASED:
            require(state, [task])
        if task.state not in PENDING:
            mirroring.ended(state, task)
    return item


def let_go(state: ClusterState, *items: Item | None, known: bool = True) -> None:
    """These values are not kept any more; whether that is to be known at once."""
    for item in items:
        if item is None:
            continue
        state.records.nbytes -= item.nbytes
        if item.row:
            mirroring.remove(state, item.row, known=known)
            item.row = 0
        for tid in item.tids:
            task = state.tasks.get(tid)
            if task is not None and task.also:
                task.also.pop(item.ref, None)
                mirroring.forget_value(state, task)
                settle(state, [task])


def told(state: ClusterState, item: Item) -> dict[str, Any]:
    """A value as a client is told of it."""
    keys = [_key(state, tid) for tid in item.tids]
    return {"data": item.data, "tids": list(item.tids), "keys": keys}


def _key(state: ClusterState, tid: int) -> str:
    task = state.tasks.get(tid)
    return state.key_of(task) if task is not None else f"{tid:x}"
