"""What belongs to the cluster rather than to a task: what is locked, said, queued and kept.

What a client holds or waits for are its tickets, and they end with it; a client inside a task ends
with the attempt. What ties all this to clients and tasks is in `scheduler.core.coordinating`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trio_dask.scheduler.coordination.flags import Flags
from trio_dask.scheduler.coordination.locks import Locks
from trio_dask.scheduler.coordination.queues import Queues
from trio_dask.scheduler.coordination.semaphores import Semaphores
from trio_dask.scheduler.coordination.topics import Topics
from trio_dask.scheduler.coordination.variables import Variables

if TYPE_CHECKING:
    from trio_dask.messages.ids import TaskId
    from trio_dask.scheduler.coordination.tickets import Ticket


@dataclass(slots=True, eq=False)
class Item:
    """A value that is kept for clients, and the tasks whose futures are in it."""

    data: bytes
    tids: tuple[TaskId, ...]
    ref: int  # the id under which the tasks are wanted; 0: there are none
    nbytes: int
    row: int = 0  # the record of it that workers keep; 0: there is none


@dataclass(slots=True, eq=False)
class Records:
    """All of it."""

    locks: Locks = field(default_factory=Locks)
    semaphores: Semaphores = field(default_factory=Semaphores)
    flags: Flags = field(default_factory=Flags)
    queues: Queues[Item] = field(default_factory=Queues)
    variables: Variables[Item] = field(default_factory=Variables)
    tickets: dict[int, dict[int, str]] = field(default_factory=dict)  # owner → token → kind
    serials: dict[Ticket, int] = field(default_factory=dict)  # the questions of those who wait
    topics: Topics = field(default_factory=Topics)
    datasets: dict[str, Item] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)  # names, and bytes as leaves
    metadata_bytes: int = 0
    reading: dict[Ticket, Item] = field(default_factory=dict)  # given to somebody, not yet taken
    nbytes: int = 0
    refs: int = 0
    #: Which client keeps the number of workers between which others; it goes with that client.
    adapting: tuple[Any, dict[str, int | None]] | None = None
