"""What tasks and clients agree on: locks, semaphores, events, queues, variables.

Each is a small machine that knows nothing of the cluster: who holds or waits is a `Ticket`, and
what is to be said to whom comes out as tickets. A ticket ends with its owner: `drop` it, and who
came next has its turn. All lines are first come, first served.
"""

from trio_dask.scheduler.coordination.flags import Flags
from trio_dask.scheduler.coordination.locks import Locks
from trio_dask.scheduler.coordination.queues import Queues
from trio_dask.scheduler.coordination.records import Item, Records
from trio_dask.scheduler.coordination.semaphores import Semaphores
from trio_dask.scheduler.coordination.tickets import Refusal, Ticket
from trio_dask.scheduler.coordination.topics import Topics
from trio_dask.scheduler.coordination.variables import Variables

__all__ = [
    "Flags",
    "Item",
    "Locks",
    "Queues",
    "Records",
    "Refusal",
    "Semaphores",
    "Ticket",
    "Topics",
    "Variables",
]
