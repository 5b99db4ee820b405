"""Pickled futures: inputs of a task in its arguments, and everywhere else words for a task.

Such words hold nothing: who pickles a future and lets go of it has let go of the task. What
is unpickled is a future of whatever client of the same cluster is meant there, which asks the
scheduler for the task anew.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from trio_dask.client import currents
from trio_dask.client.core import RELEASED
from trio_dask.errors import SubmitError
from trio_dask.messages.payload import input_value, is_finding, note_input

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_dask.client.base import BaseClient
    from trio_dask.client.core import Batch
    from trio_dask.messages.ids import TaskId


class _Present(threading.local):
    """For which client this thread is packing arguments."""

    owner: object | None = None
    #: Whether these are for the scheduler to keep, and not of a task.
    keeps = False


_present = _Present()


@contextmanager
def packing_for(owner: object, *, keeps: bool = False) -> Iterator[None]:
    """While it lasts, this thread packs what this client is going to send: arguments, or what is kept."""
    before = _present.owner, _present.keeps
    _present.owner, _present.keeps = owner, keeps
    try:
        yield
    finally:
        _present.owner, _present.keeps = before


def is_argument() -> bool:
    """Whether a future that is pickled here stands for its value, and not for itself."""
    return is_finding() and not _present.keeps


def reduce_future(
    batch: Batch, tid: TaskId, graph_key: Callable[[], tuple[Any, ...]]
) -> tuple[Callable[..., Any], Any]:
    """How a future is pickled: as an input of the task whose argument it is in, or for `attach`.

    A future of a graph has the key that the graph knows it by, too.

    Raises:
        SubmitError: it is another client's than the one that packs arguments, or was released.
        TypeError: its client is closed, or has lost its scheduler for good.
    """
    if is_finding():
        if _present.owner is not None and _present.owner is not batch.owner:
            msg = (
                f"the future {batch.key(tid)} belongs to another client, which may hand it over "
                "by publish_dataset, a Variable or a Queue"
            )
            raise SubmitError(msg)
        if batch.status[tid - batch.first] == RELEASED:
            msg = (
                f"the future {batch.key(tid)} was released, so that nobody keeps its value: "
                "release it when what it is an argument of has been submitted"
            )
            raise SubmitError(msg)
        number = note_input(tid)
        # What is kept is read by others, who are told which tasks these are by other ids.
        return input_value, (number if _present.keeps else tid,)
    client = cast("BaseClient", batch.owner)
    core, key = client.live.core, batch.key(tid)
    if core.ended:
        msg = f"the future {key} cannot be pickled, as its client has ended: {core.ended}"
        raise TypeError(msg)
    return attach, (core.cluster, client.scheduler_address, core.origin(tid), key, *graph_key())


def attach(cluster: str, address: str, tid: TaskId, key: str, *graph_key: Any) -> Any:
    """A future of a task of this cluster, for the client that is meant here.

    If nobody holds the task any more, the future says that its value is lost.

    Raises:
        ValueError: no client of that cluster is open here.
        RuntimeError: it is open in the process that forked this one.
    """
    others = 0
    for client in currents.candidates():
        if client.live.state != "open":
            continue
        if client.live.core.cluster == cluster:
            client.live.check_open()  # in a forked child it is its parent's
            return _attached(client, tid, key, graph_key)
        others += 1
    here = "the clients that are open here are of other clusters" if others else "none is open here"
    msg = (
        f"the future {key} belongs to the cluster of the scheduler at {address}, and to unpickle "
        f"it takes an open client of that cluster, where {here}: "
        f"open Client({address!r}) before"
    )
    raise ValueError(msg)


def _attached(client: BaseClient, tid: TaskId, key: str, graph_key: tuple[Any, ...]) -> Any:
    from trio_dask.client.collections import computing  # these are above this module
    from trio_dask.client.futures import AsyncFuture, Future

    with client.live.lock:
        [(batch, own)] = client.live.core.want([tid], [key])
    future: Any
    if graph_key:
        of_graph = computing.AsyncGraphFuture if client.asynchronous else computing.GraphFuture
        future = of_graph(batch, own, client.graph_futures.known(*graph_key))
    else:
        future = (AsyncFuture if client.asynchronous else Future)(batch, own)
    client.live.soon()
    return future
