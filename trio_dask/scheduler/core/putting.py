"""Values that clients bring: where each is to be stored, and those that no worker is there for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.messages import tasks as words
from trio_dask.messages.ids import client_of
from trio_dask.scheduler.core import copies, state as st
from trio_dask.scheduler.core.hosts import meant
from trio_dask.scheduler.core.misuse import Misuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_dask.scheduler.core.state import Client, ClusterState, Task, Worker


def on_put(state: ClusterState, client: Client, message: words.Put) -> None:
    """The client has values: say where they should go."""
    expect_values(state, client, message.tids)
    if not place_put(state, client, message):
        wait(state, client, message)


def wait(state: ClusterState, client: Client, put: words.Put) -> None:
    """There is no worker for these values yet. See `place_waiting`."""
    waiting = state.waiting_puts
    if not len(waiting) & (len(waiting) - 1):  # now and then: whoever gave up says so elsewhere
        waiting[:] = [each for each in waiting if _is_wanted(state, each[1])]
    waiting.append((client, put))


def _is_wanted(state: ClusterState, put: words.Put) -> bool:
    found = map(state.tasks.get, put.tids)
    return any(task is not None and is_awaited(task) for task in found)


def place_waiting(state: ClusterState) -> None:
    """There is another worker: it may be what some values wait for."""
    waiting, state.waiting_puts = state.waiting_puts, []
    state.waiting_puts += [
        (client, put)
        for client, put in waiting
        if client.number in state.clients and not place_put(state, client, put)
    ]


def expect_values(state: ClusterState, client: Client, tids: list[int]) -> None:
    """The client is about to bring these values."""
    for tid in tids:
        if client_of(tid) != client.number:
            raise Misuse(f"task id {tid:x} is not of client {client.number}")
        if client.nest is not None and not client.nest.make(tid):
            raise Misuse(f"task id {tid:x} was used before")
        if tid not in state.tasks and tid > client.last_put:  # else it is forgotten by now
            client.last_put = tid
            task = st.Task(tid, st.Spec(None, state.anywhere, 0), None, 0)
            task.wanted = True
            task.state = st.WAITING
            task.missing = 1  # the value itself
            state.tasks[tid] = task


def is_awaited(task: Task) -> bool:
    """Whether it is a value that a client is to bring."""
    return task.spec.function is None and task.state == st.WAITING


def place_put(state: ClusterState, client: Client, message: words.Put) -> bool:
    """Tell the client where to store its values, if there is a worker for them."""
    if client.nest is not None:
        workers = [client.nest.worker]  # its task's: that is where its values go through
    elif message.workers:
        found = [worker for name in message.workers for worker in meant(state, name)]
        workers = list(dict.fromkeys(found))
    else:
        workers = list(state.workers.values())
    if state.draining:
        workers = [worker for worker in workers if worker.draining is None]
    if not workers:
        return False
    workers.sort(key=lambda worker: (len(worker.held) / max(1, worker.nthreads), worker.number))
    for row, tid in enumerate(message.tids):
        worker = workers[row % len(workers)]
        task = state.tasks.get(tid)
        if task is None or task.tid != tid or task.spec.function is not None:
            continue  # nobody wants it any more, or it is another's
        have: Sequence[Worker] = task.holders or ()  # a scheduler that died may not have known
        if is_awaited(task):
            have = (worker,)
            state.puts[tid] = worker
            client.out.put_at(tid, worker.address)
        if have and message.broadcast:  # who has got it passes it on
            state.copies_asked[tid] = len(workers)
            copies.spread(state, task, (each for each in workers if each not in have))
    return True


def replace_puts(state: ClusterState, lost: Worker) -> None:
    """What was being stored at a worker that left is to be stored elsewhere.

    The client may believe that it is stored: it keeps values until it is told `Finished`.
    """
    for tid in [tid for tid, target in state.puts.items() if target is lost]:
        del state.puts[tid]
        task, client = state.tasks.get(tid), state.clients.get(client_of(tid))
        if task is not None and client is not None and task.state == st.WAITING:
            put = words.Put([tid], [task.nbytes], [], broadcast=False)
            if not place_put(state, client, put):
                wait(state, client, put)
