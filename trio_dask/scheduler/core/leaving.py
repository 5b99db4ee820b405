"""A client is gone, and with it what only it wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.messages import tasks as words
from trio_dask.messages.ids import client_of
from trio_dask.scheduler.core import state as st
from trio_dask.scheduler.core.functions import on_forget_functions
from trio_dask.scheduler.core.intake import SLICE, unwant
from trio_dask.scheduler.core.lifecycle import end, interrupt, is_needed
from trio_dask.scheduler.core.nests import give_back
from trio_dask.scheduler.core.putting import is_awaited

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from trio_dask.scheduler.core.state import Client, ClusterState, Task


def client_left(state: ClusterState, client: Client) -> Generator[None, None, None]:
    """The client is gone: nobody wants its tasks on its behalf any more."""
    state.waiting_puts = [each for each in state.waiting_puts if each[0] is not client]
    state.waiting_asks = [each for each in state.waiting_asks if each[0] is not client]
    nest = client.nest
    for row, tid in enumerate(list(state.tasks) if nest is None else nest.tids()):
        if client_of(tid) == client.number:
            unwant(state, tid)
            task = state.tasks.get(tid)
            if task is not None and is_awaited(task):
                end(state, task, st.LOST, b"its client left before the value was stored")
        if row % SLICE == SLICE - 1:
            yield
    for row, task in enumerate(_assigned(state, client)):
        if client_of(task.tid) == client.number and not is_needed(task):
            interrupt(task)
        if row % SLICE == SLICE - 1:
            yield
    on_forget_functions(state, client, words.ForgetFunctions(list(client.functions)))
    if nest is not None:
        give_back(state, client, nest)


def _assigned(state: ClusterState, client: Client) -> Iterator[Task]:
    """What is with workers, of this client at least."""
    if client.nest is None:
        for worker in tuple(state.workers.values()):
            yield from tuple(worker.window.values())
        return
    for tid in client.nest.tids():
        task = state.tasks.get(tid)
        if task is not None and task.state == st.ASSIGNED:
            yield task
