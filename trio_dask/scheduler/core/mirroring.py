"""What the cluster keeps is kept by two workers, too, so that it outlives the scheduler.

They keep it as records that they do not look into. Whoever writes something is answered when
one of them has it; until then nobody is told anything that follows from it. So what anybody
knows of is with a worker, unless there is none.

Of a write the record says whose question it answers, until that answer was heard: whoever
asks again, as he does where the scheduler was lost in between, is told what came of it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.reunion import MIRRORED_BYTES_MAX, Mirror
from trio_dask.messages.session import Answer
from trio_dask.scheduler.core.mirror_books import Holder
from trio_dask.scheduler.core.misuse import Misuse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.messages import Message
    from trio_dask.messages.reunion import Mirrored
    from trio_dask.scheduler.core.mirror_books import Mirrors, Row
    from trio_dask.scheduler.core.state import Client, ClusterState, Task, Worker

# Kinds of records, the first in each: of a queue, its name, its bound, and the ids and keys of tasks
# whose futures are in it; of a queue with a bound, its name and that; and so on.
ITEM: Final = "item"
BOUND: Final = "bound"
VARIABLE: Final = "variable"
DATASET: Final = "dataset"
FLAG: Final = "flag"
METADATA: Final = "metadata"
VALUE: Final = "value"
MARK: Final = "mark"

#: So many workers keep the records.
HOLDERS: Final = 2
#: One message has no more than so many records, or so many bytes.
_ROWS_MAX: Final = 2000
_BYTES_MAX: Final = 4 << 20
#: So many changes wait for the clock at most, for a worker that is not the first to be told.
_ROWS_MANY: Final = 200
#: Each scheduler has numbers of its own for records, as for clients: it may have some already when
#: it hears of those that there were before.
_ROW_BITS: Final = 40
#: What a record takes besides its own bytes.
ROW_BYTES: Final = 100


# ---------------------------------------------------------------- records


def add(state: ClusterState, head: list[Any], blob: bytes, nbytes: int) -> int:
    """One more record; its id, or 0 where there are too many to be kept."""
    mirrors = state.mirrors
    nbytes += ROW_BYTES
    if mirrors.nbytes + nbytes > MIRRORED_BYTES_MAX:
        if not mirrors.complaint:
            mirrors.complaint = (
                f"more than {MIRRORED_BYTES_MAX:,} bytes are in queues, variables, data sets and "
                "metadata: what is beyond that is with this scheduler only, and gone if it dies"
            )
        return 0
    mirrors.ids_ever = max(mirrors.ids_ever, state.settings.clients_from << _ROW_BITS) + 1
    put(mirrors, mirrors.ids_ever, (head, blob, nbytes))
    mirrors.added[mirrors.ids_ever] = None
    mirrors.version += 1
    mirrors.needed = mirrors.version
    mirrors.due = True
    return mirrors.ids_ever


def put(mirrors: Mirrors, row: int, record: Row) -> None:
    """Keep this record."""
    mirrors.rows[row] = record
    mirrors.nbytes += record[2]


def remove(state: ClusterState, row: int, *, known: bool = True) -> None:
    """What this record is of is no more.

    Unless that is to be `known` before anybody is told anything, it is said with what comes next.
    """
    mirrors = state.mirrors
    found = mirrors.rows.pop(row, None)
    if found is None:
        return
    mirrors.nbytes -= found[2]
    if row in mirrors.added:
        del mirrors.added[row]
    else:
        mirrors.gone.append(row)
    mirrors.version += 1
    if known:
        mirrors.needed = mirrors.version
        mirrors.due = True


def ended(state: ClusterState, task: Task) -> None:
    """A task has come to an end: if the cluster keeps a future of it, and the value, keep that."""
    value = task.value
    if value is None or task.tid in state.mirrors.values or min(task.also or (0,)) >= 0:
        return
    row = add(state, [VALUE, task.tid, task.state], value, len(value))
    if row:
        state.mirrors.values[task.tid] = row


def forget_value(state: ClusterState, task: Task) -> None:
    """The cluster keeps a future less of the task."""
    row = state.mirrors.values.get(task.tid)
    if row is not None and min(task.also or (0,)) >= 0:
        del state.mirrors.values[task.tid]
        remove(state, row)


def forget_values(state: ClusterState) -> None:
    """All tasks are forgotten."""
    values, state.mirrors.values = state.mirrors.values, {}
    for row in values.values():
        remove(state, row)


# ---------------------------------------------------------------- answers


def answer(state: ClusterState, client: Client, message: Answer) -> None:
    """Tell the client, as soon as all that this follows from is with a worker."""
    mirrors = state.mirrors
    if mirrors.unsettled and mirrors.due:
        appoint(state)
    if mirrors.holders and mirrors.needed > mirrors.confirmed:
        mirrors.waiting.append((mirrors.needed, client, message))
    else:
        client.out.add(message)


def answer_in_time(state: ClusterState, client: Client, message: Answer) -> None:
    """Tell the client when all is with a worker, which is not hurried for it."""
    mirrors = state.mirrors
    if mirrors.holders and mirrors.version > mirrors.confirmed:
        mirrors.patient.append((mirrors.version, client, message))
    else:
        client.out.add(message)


def done(state: ClusterState, client: Client, serial: int, data: dict[str, Any]) -> None:
    """What the client has asked for is done: say so, and if it asks again, too."""
    if client.out.lasting is not None:
        row = add(state, [MARK, client.number, serial, data], b"", 0)
        if row:
            state.mirrors.marks.setdefault(client.number, {})[serial] = row
    answer(state, client, Answer(serial, ok=True, data=data))


def answered(state: ClusterState, client: Client, serial: int) -> bool:
    """Whether what is asked again has been done: then it is answered as it was."""
    row = state.mirrors.marks.get(client.number, {}).get(serial)
    if row is None:
        return False
    head = state.mirrors.rows[row][0]
    answer(state, client, Answer(serial, ok=True, data=head[3]))
    return True


def heard(state: ClusterState, client: Client, messages: Iterable[Message]) -> None:
    """The client has these answers: it does not ask again."""
    marks = state.mirrors.marks.get(client.number)
    if not marks:
        return
    for message in messages:
        row = marks.pop(message.serial, None) if type(message) is Answer else None
        if row is not None:
            remove(state, row, known=False)
    if not marks:
        del state.mirrors.marks[client.number]


def client_gone(state: ClusterState, number: int) -> None:
    """The client does not ask again."""
    for row in state.mirrors.marks.pop(number, {}).values():
        remove(state, row, known=False)


def _release(mirrors: Mirrors, clients: dict[int, Client], version: int) -> None:
    """All up to this version is with a worker: who waits for that is told."""
    for waiting in (mirrors.waiting, mirrors.patient):
        while waiting and waiting[0][0] <= version:
            _, client, message = waiting.popleft()
            if clients.get(client.number) is client:
                client.out.add(message)


def on_mirrored(state: ClusterState, worker: Worker, message: Mirrored) -> None:
    """A worker has the records of a version."""
    mirrors = state.mirrors
    if not 0 <= message.version <= mirrors.version:
        raise Misuse(f"it has records of the version {message.version}, and there is none")
    holder = next((each for each in mirrors.holders if each.worker is worker), None)
    if holder is None or holder.todo is None:
        return
    holder.waits = False
    if holder.todo:
        mirrors.due = True
    elif message.version > holder.confirmed:
        if not holder.whole:
            unsettle(state)
        holder.confirmed = message.version
        if message.version > mirrors.confirmed:
            mirrors.confirmed = message.version
            _release(mirrors, state.clients, message.version)


# ---------------------------------------------------------------- who keeps them


def unsettle(state: ClusterState) -> None:
    """Workers have come, or are about to leave: others may have to keep the records."""
    mirrors = state.mirrors
    mirrors.unsettled = True
    if mirrors.rows or mirrors.holders or mirrors.stale or mirrors.waiting or mirrors.patient:
        mirrors.due = True


def worker_gone(state: ClusterState, worker: Worker) -> None:
    """The worker has left, or does not know any more what it was told."""
    mirrors = state.mirrors
    mirrors.holders = [each for each in mirrors.holders if each.worker is not worker]
    mirrors.stale.pop(worker, None)
    unsettle(state)


def appoint(state: ClusterState) -> None:
    """See to it that there are holders, and that they are likely to be there for a while.

    One that is away, or is to leave, is one until others have all that it has.
    """
    mirrors = state.mirrors
    mirrors.unsettled = False
    staying = [each for each in mirrors.holders if _stays(each.worker)]
    staying = sorted(staying, key=lambda each: not each.whole)[:HOLDERS]
    leaving = [each for each in mirrors.holders if each not in staying]
    known = {each.worker for each in mirrors.holders}
    others = [each for each in state.workers.values() if each not in known and _stays(each)]
    while others and len(staying) < HOLDERS:
        here = [each.worker for each in (*staying, *leaving)]
        best = min(others, key=lambda each: (_nearness(each, here), each.number))
        others.remove(best)
        mirrors.stale.pop(best, None)
        staying.append(Holder(best))
    mirrors.holders = staying + leaving
    if not staying or not all(each.whole for each in staying):
        return
    if len(staying) == HOLDERS:
        mirrors.holders = staying
        mirrors.stale.update((each.worker, None) for each in leaving)
    for worker in mirrors.stale:
        worker.out.add(Mirror(0, anew=True, ids=[], heads={}, blobs=[], gone=[]))
    mirrors.stale.clear()


def _stays(worker: Worker) -> bool:
    """Whether it is there, and would come back to another scheduler."""
    here = worker.alive and not worker.away and worker.draining is None
    return here and worker.out.lasting is not None


def _nearness(worker: Worker, others: list[Worker]) -> int:
    """How likely it dies with one of the others: 2 in the same process, 1 on the same host."""
    host, process = worker.info.get("host"), worker.info.get("pid")
    near = [each for each in others if each.info.get("host") == host]
    return 0 if not near else 2 if any(each.info.get("pid") == process for each in near) else 1


# ---------------------------------------------------------------- what they are told


def tick(state: ClusterState) -> None:
    """Now and then all holders are told all."""
    mirrors = state.mirrors
    if any(each.told < mirrors.version for each in mirrors.holders):
        mirrors.due = mirrors.all_due = True


def tell(state: ClusterState) -> None:
    """Tell a holder what is new, and the others when that has become much.

    Without any, who waits for them is answered.
    """
    mirrors = state.mirrors
    mirrors.due = False
    if mirrors.unsettled:
        appoint(state)
    if not mirrors.holders:
        _release(mirrors, state.clients, mirrors.version)
    added, mirrors.added = mirrors.added, {}
    gone, mirrors.gone = mirrors.gone, []
    everybody, mirrors.all_due = mirrors.all_due, False
    first = next((each for each in mirrors.holders if each.whole and _stays(each.worker)), None)
    for holder in mirrors.holders:
        if holder.todo is None:
            holder.todo = deque(mirrors.rows)
            _send_some(state, holder, anew=True)
            continue
        _note(holder, added, gone)
        much = bool(holder.todo) or len(holder.added) + len(holder.gone) >= _ROWS_MANY
        if everybody or much or holder is first or first is None:
            _send_news(state, holder)
        if holder.todo and not holder.waits:
            _send_some(state, holder)


def _note(holder: Holder, added: dict[int, None], gone: list[int]) -> None:
    """This is to be told to it some time."""
    for row in gone:
        if row in holder.added:
            del holder.added[row]
        else:
            holder.gone.append(row)
    holder.added.update(added)


def _send_news(state: ClusterState, holder: Holder) -> None:
    """Send what is new."""
    if holder.told < state.mirrors.version:
        added, holder.added = list(holder.added), {}
        gone, holder.gone = holder.gone, []
        _send(state, holder, added, gone)


def _send_some(state: ClusterState, holder: Holder, *, anew: bool = False) -> None:
    """Send some of what there was before it became a holder; the next when it has that."""
    assert holder.todo is not None
    mirrors = state.mirrors
    some, nbytes = list[int](), 0
    while holder.todo and len(some) < _ROWS_MAX and nbytes < _BYTES_MAX:
        row = holder.todo.popleft()
        if row in mirrors.rows:
            some.append(row)
            nbytes += mirrors.rows[row][2]
    holder.waits = True
    _send(state, holder, some, [], anew=anew)


def _send(
    state: ClusterState, holder: Holder, added: list[int], gone: list[int], *, anew: bool = False
) -> None:
    """Send these records, in messages that are not too large."""
    mirrors, todo, out = state.mirrors, list(reversed(added)), holder.worker.out
    while True:
        message = Mirror(0, anew=anew, ids=[], heads={}, blobs=[], gone=gone)
        heads: list[Any] = []
        nbytes = 0
        while todo and len(heads) < _ROWS_MAX and nbytes < _BYTES_MAX:
            head, blob, size = mirrors.rows[todo[-1]]
            message.ids.append(todo.pop())
            heads.append(head)
            message.blobs.append(blob)
            nbytes += size
        if heads:
            message.heads["of"] = heads
        out.add(message)
        anew, gone = False, []
        if not todo:
            holder.told = mirrors.version
            message.version = 0 if holder.todo else mirrors.version
            return
