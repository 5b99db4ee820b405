"""Who passes a value on to whom when many are to have it: along a tree, so that nobody sends it to all.

Whoever has got the value gives it to others, few at a time. So no one sends it often, and how
long it takes grows with the logarithm of how many there are. One worker of each host is first:
what comes after that goes from neighbour to neighbour, and not through the network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from trio_dask.scheduler.core.state import Worker

#: One worker gives a value to so many at a time.
AT_ONCE: Final = 2
#: So often one may fail to get it.
TRIES_MAX: Final = 3


class Relay:
    """One value on its way: who is to have it yet, and who gets it from whom."""

    __slots__ = ("_fresh", "_sending", "_tries", "_waiting", "awaited", "underway")

    def __init__(self) -> None:
        self._waiting: Final[dict[str, dict[Worker, None]]] = {}  # by host
        self._fresh: Final[dict[str, None]] = {}  # hosts to which it has not been sent
        self._sending: Final[dict[Worker, int]] = {}
        self._tries: Final[dict[Worker, int]] = {}
        #: Who is to get it from whom, at present.
        self.underway: Final[dict[Worker, Worker]] = {}
        #: Whether nobody can have it before a client has brought it.
        self.awaited = False

    @property
    def is_over(self) -> bool:
        """Whether nobody is to have it any more."""
        return not (self._waiting or self.underway or self.awaited)

    @property
    def waiting(self) -> list[Worker]:
        """Who is to have it, but is not getting it."""
        return [worker for workers in self._waiting.values() for worker in workers]

    def add(self, worker: Worker) -> None:
        """The worker is to have it, too."""
        if worker not in self.underway:
            host = _host(worker)
            if host not in self._waiting:
                self._waiting[host] = {}
                self._fresh[host] = None
            self._waiting[host][worker] = None

    def has(self, worker: Worker) -> Worker | None:
        """The worker has it; who need not send to it any more, if somebody did."""
        self._tries.pop(worker, None)
        self._forget(worker)
        self._fresh.pop(_host(worker), None)
        return self._stop(worker)

    def gone(self, worker: Worker) -> Worker | None:
        """The worker will never have it; who need not send to it any more, if somebody did."""
        self._tries.pop(worker, None)
        self._forget(worker)
        source = self._stop(worker)
        if source is not None and _host(worker) in self._waiting:
            self._fresh[_host(worker)] = None  # it may have been the first there
        return source

    def failed(self, worker: Worker) -> bool:
        """The worker could not get it; whether it is to try again."""
        if self._stop(worker) is None:
            return False
        tries = self._tries[worker] = self._tries.get(worker, 0) + 1
        if tries >= TRIES_MAX:
            return False
        self.add(worker)
        self._fresh[_host(worker)] = None
        return True

    def _stop(self, worker: Worker) -> Worker | None:
        source = self.underway.pop(worker, None)
        if source is not None:
            self._sending[source] -= 1
            if not self._sending[source]:
                del self._sending[source]
        return source

    def _forget(self, worker: Worker) -> None:
        host = _host(worker)
        workers = self._waiting.get(host)
        if workers is not None:
            workers.pop(worker, None)
            if not workers:
                del self._waiting[host]
                self._fresh.pop(host, None)

    def next_from(self, source: Worker, *, anywhere: bool = False) -> Worker | None:
        """To whom one that has it is to give it next; None if it gives to enough, or nobody waits.

        `anywhere`: also to another host where somebody has it, as that one gives it to nobody.
        """
        if not self._waiting or self._sending.get(source, 0) >= AT_ONCE:
            return None
        host = _host(source)
        if self._fresh:
            host = next(reversed(self._fresh))
        elif host not in self._waiting:
            if not anywhere:
                return None
            host = next(reversed(self._waiting))
        worker = next(reversed(self._waiting[host]))
        self._forget(worker)
        self._fresh.pop(host, None)
        self.underway[worker] = source
        self._sending[source] = self._sending.get(source, 0) + 1
        return worker


def _host(worker: Worker) -> str:
    return worker.address.rpartition(":")[0]
