"""What the cluster keeps, made anew from the records of workers and the tickets of clients.

The worker that has the latest version has all there is. Tasks of which the cluster keeps a future
are wanted, whoever has described them; those that nobody does are there as long as a worker has
the value. Nobody is given anything before all that clients hold is theirs again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from trio_dask.messages.ids import task_of_key
from trio_dask.messages.reunion import MIRRORED_BYTES_MAX, Mirror, Tickets
from trio_dask.scheduler.coordination import Item, Ticket
from trio_dask.scheduler.core import coordinating, mirroring, publishing, state as st
from trio_dask.scheduler.core.keeping import let_go, referring
from trio_dask.scheduler.core.lifecycle import end, finish
from trio_dask.scheduler.core.misuse import Misuse
from trio_dask.scheduler.core.record_shapes import are_ids, are_names, is_amount, is_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio_dask.messages import Message
    from trio_dask.scheduler.core.state import Client, ClusterState, Worker


#: Why a task that only the cluster wanted is lost.
_UNKNOWN: Final = (
    b"it had no value yet when the scheduler died, or the worker that held it did not come back, "
    b"and no client that is there has a future of it"
)


# ---------------------------------------------------------------- from workers


def adopt(state: ClusterState, told: Iterable[tuple[Worker, list[Message]]], *, anew: bool) -> None:
    """All that the worker with the latest version has; the others' is of no use.

    Nor is any, unless nothing was known before (`anew`).
    """
    mirrors = state.mirrors
    latest, best = -1, dict[int, tuple[list[Any], bytes]]()
    for worker, messages in told:
        found = [each for each in messages if isinstance(each, Mirror)]
        if not found:
            continue
        mirrors.stale[worker] = None
        version = max(each.version for each in found)
        if version > latest:
            latest, best = version, _rows(found)
    mirroring.unsettle(state)
    if not anew:
        return
    mirrors.ids_ever = max(mirrors.ids_ever, *best, 0)
    nbytes = 0
    for row, (head, blob) in sorted(best.items()):
        nbytes += len(blob)
        if nbytes > 2 * MIRRORED_BYTES_MAX:
            break  # no scheduler has had as much
        size = _ADOPT[head[0]](state, row, head, blob)
        mirroring.put(mirrors, row, (head, blob, size + mirroring.ROW_BYTES))
        mirrors.due = True


def _rows(messages: list[Mirror]) -> dict[int, tuple[list[Any], bytes]]:
    rows: dict[int, tuple[list[Any], bytes]] = {}
    for each in messages:
        records = zip(each.heads.get("of", []), each.blobs, strict=True)
        rows.update(zip(each.ids, records, strict=True))
    return rows


def _item(state: ClusterState, row: int, head: list[Any], blob: bytes) -> Item:
    """The value of a record; its tasks, which come last in the head, are wanted."""
    tids, keys = head[-2:]
    nbytes = len(blob) + 64 * (len(tids) + 1)
    for tid, key in zip(tids, keys, strict=True):
        if tid not in state.tasks:
            _expect(state, tid, key)
    state.records.nbytes += nbytes
    return referring(state, Item(blob, tuple(tids), 0, nbytes, row))


def _expect(state: ClusterState, tid: int, key: str) -> None:
    """Nobody describes the task: a worker may have its value."""
    task = st.Task(tid, st.Spec(None, state.anywhere, 0), None, 0)
    task.state = st.WAITING
    task.missing = 1  # the value itself
    state.tasks[tid] = task
    state.mirrors.expected[tid] = None
    if task_of_key(key) != tid and key not in state.keys:
        state.keys[key], state.names[tid] = task, key


def _adopt_item(state: ClusterState, row: int, head: list[Any], blob: bytes) -> int:
    item = _item(state, row, head, blob)
    state.records.queues.restore(head[1], [item], head[2])
    return item.nbytes


def _adopt_bound(state: ClusterState, row: int, head: list[Any], _: bytes) -> int:
    state.records.queues.restore(head[1], [], head[2])
    mirroring.remove(state, state.mirrors.bounds.get(head[1], 0))  # a newcomer's
    state.mirrors.bounds[head[1]] = row
    return len(head[1])


def _adopt_variable(state: ClusterState, row: int, head: list[Any], blob: bytes) -> int:
    item = _item(state, row, head, blob)
    before, _ = state.records.variables.set(head[1], item)
    let_go(state, before)
    return item.nbytes


def _adopt_dataset(state: ClusterState, row: int, head: list[Any], blob: bytes) -> int:
    item = _item(state, row, head, blob)
    let_go(state, state.records.datasets.pop(head[1], None))
    state.records.datasets[head[1]] = item
    return item.nbytes


def _adopt_flag(state: ClusterState, row: int, head: list[Any], _: bytes) -> int:
    state.records.flags.set(head[1], state.now)
    mirroring.remove(state, state.mirrors.flags.get(head[1], 0))  # a newcomer's
    state.mirrors.flags[head[1]] = row
    return len(head[1])


def _adopt_metadata(state: ClusterState, row: int, head: list[Any], _: bytes) -> int:
    publishing.restore_metadata(state, head[1], head[2], row)
    return publishing.size_of(head[2])


def _adopt_value(state: ClusterState, row: int, head: list[Any], blob: bytes) -> int:
    state.mirrors.values[head[1]] = row
    return len(blob)


def _adopt_mark(state: ClusterState, row: int, head: list[Any], _: bytes) -> int:
    state.mirrors.marks.setdefault(head[1], {})[head[2]] = row
    return 0


_Adopt: TypeAlias = "Callable[[ClusterState, int, list[Any], bytes], int]"
_ADOPT: Final[dict[str, _Adopt]] = {
    mirroring.ITEM: _adopt_item,
    mirroring.BOUND: _adopt_bound,
    mirroring.VARIABLE: _adopt_variable,
    mirroring.DATASET: _adopt_dataset,
    mirroring.FLAG: _adopt_flag,
    mirroring.METADATA: _adopt_metadata,
    mirroring.VALUE: _adopt_value,
    mirroring.MARK: _adopt_mark,
}


# ---------------------------------------------------------------- how tasks have ended


def learn_values(state: ClusterState) -> None:
    """Small values of tasks that the cluster keeps futures of."""
    for tid, row in list(state.mirrors.values.items()):
        task = state.tasks.get(tid)
        (_, _, how), value, _ = state.mirrors.rows[row]
        if task is not None and how == st.DONE and task.state in (st.WAITING, st.READY):
            if task.queue is not None:
                task.queue.discard(task)
            task.state = st.WAITING
            task.nbytes = len(value)
            finish(state, task, value, None)


def learn_ends(state: ClusterState) -> None:
    """Bad ends of such tasks; and those of which nothing is known are lost."""
    for tid, row in list(state.mirrors.values.items()):
        task = state.tasks.get(tid)
        (_, _, how), value, _ = state.mirrors.rows[row]
        if task is None or how == st.DONE or task.state not in (st.WAITING, st.READY):
            continue
        if task.args is None or how == st.FAILED:
            end(state, task, how, value)


def miss(state: ClusterState) -> None:
    """Tasks that nobody has described, and of which no worker has the value."""
    mirrors = state.mirrors
    for tid in [each for each in mirrors.values if not _is_kept(state, each)]:
        mirroring.remove(state, mirrors.values.pop(tid))
    expected, mirrors.expected = mirrors.expected, {}
    for tid in expected:
        task = state.tasks.get(tid)
        if task is not None and task.spec.function is None and task.state == st.WAITING:
            end(state, task, st.LOST, _UNKNOWN)


def _is_kept(state: ClusterState, tid: int) -> bool:
    task = state.tasks.get(tid)
    return task is not None and min(task.also or (0,)) < 0


# ---------------------------------------------------------------- from clients


def take_tickets(state: ClusterState, client: Client, messages: list[Message]) -> None:
    """What the client holds is its own again, unless others have got it meanwhile.

    Raises:
        Misuse: nobody can hold that.
    """
    for message in messages:
        if isinstance(message, Tickets):
            for kind, rows in message.held.items():
                if kind not in _TICKETS or type(rows) is not list:
                    raise Misuse(f"tickets that cannot be: {kind:.20}")
                for row in rows:
                    _take(state, client, kind, row)


def _take(state: ClusterState, client: Client, kind: str, row: Any) -> None:
    shape, take = _TICKETS[kind]
    own = state.records.tickets.get(client.number, {})
    try:
        right = type(row) is list and type(row[0]) is int and shape(*row[1:])
    except (TypeError, IndexError):
        right = False
    if not right or len(own) >= coordinating.TICKETS_MAX:
        raise Misuse("a ticket that nobody can have")
    if row[0] not in own:
        held = take(state, Ticket(client.number, row[0]), row)
        if held:
            state.records.tickets.setdefault(client.number, {})[row[0]] = held


def _take_lock(state: ClusterState, ticket: Ticket, row: list[Any]) -> str:
    return coordinating.LOCK if state.records.locks.restore(ticket, row[1], state.now) else ""


def _take_semaphore(state: ClusterState, ticket: Ticket, row: list[Any]) -> str:
    _, name, limit = row
    leased = state.records.semaphores.restore(ticket, name, limit, state.now)
    return coordinating.SEMAPHORE if leased else ""


def _take_items(state: ClusterState, ticket: Ticket, row: list[Any]) -> str:
    _, name, rows, tids = row
    known = dict.fromkeys(rows)
    if state.records.queues.hand_again(ticket, name, lambda item: item.row in known):
        return coordinating.GET
    return _take_reading(state, ticket, [ticket.token, tids])


def _take_reading(state: ClusterState, ticket: Ticket, row: list[Any]) -> str:
    """What is in somebody's hands keeps its tasks wanted until he has said that he has it."""
    state.records.reading[ticket] = referring(state, Item(b"", tuple(row[1]), 0, 0))
    return coordinating.READ


_TICKETS: Final[
    dict[str, tuple[Callable[..., bool], Callable[[ClusterState, Ticket, list[Any]], str]]]
] = {
    "locks": (are_names, _take_lock),
    "semaphores": (
        lambda name, limit: is_name(name) and is_amount(limit) and limit > 0,
        _take_semaphore,
    ),
    "items": (
        lambda name, rows, tids: is_name(name) and are_ids(rows) and are_ids(tids),
        _take_items,
    ),
    "reading": (are_ids, _take_reading),
}
