"""Slots that are kept for tasks with a process of their own, as long as they run there.

Each is a task of the queue that waits to be told to end: so it gets its slot when its turn comes,
and nothing on the way of other tasks knows of it. It has no result, and nobody sees it.
"""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.apart import Reserved
from trio_dask.messages.payload import pack_call
from trio_dask.runner.asynchronous import PARKED
from trio_dask.runner.holdings import Function

if TYPE_CHECKING:
    from trio_dask.messages.apart import Reserve, Vacate
    from trio_dask.runner.slots import Queue, Task
    from trio_dask.runner.wire import Outbox


class Reservations:
    """The slots of a runner that are kept, or to be."""

    def __init__(self, queue: Queue, outbox: Outbox) -> None:
        self._queue = queue
        self._outbox = outbox
        self._vacated: Final[dict[int, Event]] = {}
        self._closed = False
        #: What such tasks run: by this they are known.
        self.function: Final = Function("", None)
        self.function.fn = self._keep

    def tasks(self, message: Reserve, serial: int) -> list[Task]:
        """The tasks to be pushed; `serial` is the first of their numbers."""
        made: list[Task] = []
        for seat, rank in zip(message.seats, message.ranks, strict=True):
            self._vacated[seat] = Event()
            blob = pack_call((seat,), {})
            made.append((rank, serial + len(made), seat, 0, self.function, blob, None, ""))
        return made

    def vacate(self, message: Vacate) -> None:
        """These are not needed any more, whether their turn has come or not."""
        for seat in message.seats:
            if self._queue.recall([seat]):
                del self._vacated[seat]
            elif (vacated := self._vacated.get(seat)) is not None:
                vacated.set()

    def close(self) -> None:
        """The runner ends: nothing is kept any more."""
        self._closed = True
        for vacated in list(self._vacated.values()):
            vacated.set()

    def _keep(self, seat: int) -> Any:
        """Keep the slot that this runs in."""
        if not self._closed:
            self._outbox.say(Reserved([seat]))
            self._vacated[seat].wait()
        self._vacated.pop(seat, None)
        return PARKED
