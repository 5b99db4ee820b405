"""Futures by key: `Future(key, client)`, as programs have it that were written for Dask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trio_dask.client import currents
from trio_dask.client.core import RELEASED, Batch, Drops
from trio_dask.messages.ids import task_of_key

if TYPE_CHECKING:
    from trio_dask.client.base import BaseClient
    from trio_dask.client.core import ClientCore
    from trio_dask.messages.ids import TaskId

#: Where a future is that came to be nothing: there is nothing to be let go of.
NOWHERE: Final = Batch(None, Drops(), 0)
NOWHERE.drops.end()


def of_key(key: Any, client: Any, *, asynchronous: bool) -> tuple[Batch, TaskId]:
    """One more hold on a task that the client holds, by its key.

    Without a client it is the one that is meant here.

    Raises:
        TypeError: `key` is no text, or `client` no client of that kind.
        ValueError: the client holds no such task, or there is no client.
    """
    from trio_dask.client.base import BaseClient  # futures are what it is made of

    mine, kind = ("AsyncFuture", "AsyncClient") if asynchronous else ("Future", "Client")
    if not isinstance(key, str):
        msg = (
            f"{mine}({key!r:.100}, …): the key of a task is text; "
            "futures of collections are given by futures_of()"
        )
        raise TypeError(msg)
    if client is None:
        there = (each for each in currents.candidates() if each.live.state == "open")
        client = next((each for each in there if each.asynchronous is asynchronous), None)
    if client is None:
        msg = f"{mine}({key!r:.100}): there is no open {kind}"
        raise ValueError(msg)
    if not isinstance(client, BaseClient) or client.asynchronous is not asynchronous:
        msg = f"{mine}({key!r:.100}, {client!r:.100}): what it is bound to is of type {kind}"
        raise TypeError(msg)
    client.live.check_open()
    with client.live.lock:
        core, held = client.live.core, _held(client, key)
        found = [] if held is None else core.want([core.origin(held)], [key])
    if not found:
        msg = (
            f"{mine}({key!r:.100}, …): the client holds no task of this key. To have what another "
            "client has made, have it handed over by publish_dataset, a Variable or a Queue"
        )
        raise ValueError(msg)
    client.live.soon()
    return found[0]


def _held(client: BaseClient, key: str) -> TaskId | None:
    """The task of this key that the client holds a future of."""
    core: ClientCore = client.live.core
    core.drop()  # what was let go of by now is not held
    of_graph = client.graph_futures.find(key)
    if of_graph is not None:
        return of_graph._tid  # noqa: SLF001 - a future is a view
    tid = task_of_key(key)
    batch = None if tid is None else core.table.find(tid)
    if tid is not None and batch is not None and batch.key(tid) == key and core.table.holds(tid):
        return tid
    for batch in reversed(core.table.batches):
        if batch.keys is not None and key in batch.keys:
            for row in range(len(batch) - 1, -1, -1):
                if batch.keys[row] == key and batch.status[row] != RELEASED:
                    return batch.first + row
    return None
