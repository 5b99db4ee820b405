"""Clients inside running tasks: how they join, what becomes of their tasks' slots, how they end.

Such a client is like any other, but it belongs to an attempt, and ends with it: what it alone
wanted is let go of, and stopped. Many come and go, while numbers of clients are few, so a
number is used again, by one after the other, each with ids above those of the ones before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.messages import nested as words, tasks
from trio_dask.messages.ids import CLIENT_MAX, client_of, first_id
from trio_dask.scheduler.core.misuse import Misuse
from trio_dask.scheduler.core.nests import NUMBERS_MAX, nest_of
from trio_dask.scheduler.core.outbox import ClientOutbox
from trio_dask.scheduler.core.runs import on_stored
from trio_dask.scheduler.core.state import Client
from trio_dask.scheduler.core.windows import go_on, touch, wait

if TYPE_CHECKING:
    from trio_dask.scheduler.core.state import ClusterState, Worker


def on_numbers_wanted(state: ClusterState, worker: Worker, message: words.NumbersWanted) -> None:
    """A runner of the worker will have tasks with clients.

    The oldest that were never used are taken back when there are too many: runners use theirs
    in turn, and have few, so those of a runner that has ended are among them.
    """
    if not 0 < message.count <= NUMBERS_MAX:
        raise Misuse(f"{message.count} numbers for clients of tasks, of {NUMBERS_MAX} at most")
    while len(worker.numbers) + message.count > NUMBERS_MAX:
        oldest = next(iter(worker.numbers))
        state.numbers[oldest] = worker.numbers.pop(oldest)
    answer = words.Numbers([], [], state.cluster)
    for _ in range(message.count):
        if state.numbers:
            number, first = state.numbers.popitem()
        elif state.clients_ever < CLIENT_MAX - 1:
            state.clients_ever += 1
            number = state.clients_ever
            first = first_id(number)
        else:
            break  # who gets none says so
        worker.numbers[number] = first
        answer.numbers.append(number)
        answer.firsts.append(first)
    worker.out.add(answer)


def joined(state: ClusterState, peer: int, worker: Worker, join: words.NestedJoin) -> Client:
    """The attempt, which is the worker's, has a client from now on.

    Raises:
        Misuse: it cannot have one; the text says why.
    """
    task = worker.window.get(join.attempt)
    if task is None:
        raise Misuse("the scheduler has given this attempt up")
    if join.attempt in worker.nested:
        raise Misuse("the task has a client already")
    first = worker.numbers.pop(join.number, None)
    if first is None or join.number in state.clients:
        raise Misuse(f"{join.number} is no number for a client of a task of {worker.name}")
    nest = nest_of(worker, join.attempt, task.rank, first)
    name = f"in {state.key_of(task)}"
    client = Client(peer, join.number, name, ClientOutbox(peer, state.dirty), nest=nest)
    worker.nested[join.attempt] = client
    return client


def on_parked(state: ClusterState, worker: Worker, message: words.Parked) -> None:
    """Attempts that wait have given up their slot, or have one again."""
    for attempt, parked in zip(message.attempts, message.parked, strict=True):
        task = worker.window.get(attempt)
        if task is not None and parked:
            wait(worker, attempt, task)
        elif task is not None:
            go_on(state, worker, attempt, task)
    touch(state, worker)


def on_nested_stored(state: ClusterState, worker: Worker, message: words.NestedStored) -> None:
    """The worker has values that the client of one of its tasks has put there."""
    client = worker.nested.get(message.attempt)
    number = 0 if client is None else client.number
    own = tasks.Stored([], [])
    for tid, nbytes in zip(message.tids, message.nbytes, strict=True):
        if client_of(tid) == number:
            own.tids.append(tid)
            own.nbytes.append(nbytes)
        else:
            worker.out.free(tid)
    on_stored(state, worker, own)
