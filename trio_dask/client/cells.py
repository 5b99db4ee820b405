"""Cells of a notebook that are run again: the cluster that such a cell has started before.

Whoever runs a cell again that opens a client wants one cluster, not two. The former one goes if
nothing is lost by that; else it stays, and one is told.
"""

from __future__ import annotations

import sys
import warnings
import weakref
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from trio_dask.client import currents
from trio_dask.errors import TrioDaskError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Run(NamedTuple):
    """One run of a cell."""

    cell: str
    number: str


#: Which run has started a cluster.
_started: Final[weakref.WeakKeyDictionary[Any, Run]] = weakref.WeakKeyDictionary()


def present_run() -> Run | None:
    """The run that the present code is in; None outside of notebooks that name their cells."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    parent: dict[str, Any] = getattr(shell, "get_parent", dict)()
    cell = (parent.get("metadata") or {}).get("cellId")
    number = (parent.get("header") or {}).get("msg_id")
    return Run(cell, number) if isinstance(cell, str) and isinstance(number, str) else None


def started(cluster: Any) -> None:
    """A client has started a cluster of its own."""
    run = present_run()
    if run is not None:
        _started[cluster] = run


def make_room() -> None:
    """Before a client starts a cluster of its own: close what the same cell has opened before."""
    run = present_run()
    for client in [] if run is None else list(_before(run)):
        held = _held(client)
        if not held:
            client.close()
            continue
        msg = (
            f"this cell was run before, and the cluster that it has started then goes on, "
            f"as it has {held}. If that is not needed any more close the client before the cell "
            f"is run again: client.close(); else it ends with the kernel"
        )
        warnings.warn(msg, stacklevel=4)


def _before(run: Run) -> Iterator[Any]:
    """Clients of clusters that another run of the cell has started."""
    for client in tuple(currents.candidates()):
        cluster = getattr(client, "cluster", None)
        former = None if cluster is None else _started.get(cluster)
        if former is not None and former.cell == run.cell and former.number != run.number:
            yield client


def _held(client: Any) -> str:
    """What would be lost with a client's own cluster, in words; empty if nothing."""
    futures = len(client.live.core.table)
    if futures:
        return f"{futures:,} future{'' if futures == 1 else 's'}"
    try:
        if sum(client.task_counts().values()):
            return "tasks"
        if client.list_datasets():
            return "data sets"
        if any(client.coordination().values()):
            return "locks, queues and the like"
        if client.scheduler_info()["clients"] > 1:
            return "other clients"
    except (TrioDaskError, RuntimeError):  # its scheduler is gone, or it is closed meanwhile
        pass
    return ""
