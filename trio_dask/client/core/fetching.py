"""Values from workers: where each is fetched, and where else if it is not there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trio_dask.messages.tasks import LARGE_BYTES_MIN
from trio_dask.messages.values import FOUND, UNPICKLABLE, Fetch, Values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio_dask.messages import Buffer, Message, Payload
    from trio_dask.messages.tasks import Finished


class Request:
    """Values somebody waits for: `wake` is called once, when none of them is on its way.

    What is in neither of the columns then could not be fetched from anywhere; the
    scheduler knows, and the task is pending again, or lost.
    """

    __slots__ = ("failures", "left", "payloads", "wake")

    def __init__(self, wake: Callable[[], None]) -> None:
        self.payloads: dict[int, Payload] = {}
        self.failures: dict[int, bytes] = {}
        self.left: dict[int, None] = {}
        self.wake = wake


@dataclass(slots=True)
class _Fetching:
    """A value on its way: who waits, and the addresses that remain if this one fails."""

    requests: list[Request]
    places: list[str] = field(default_factory=list)


class Fetcher:
    """All values on their way, each fetched once for all who want it.

    Args:
        send: queue a message to a worker's data listener.
        serial: a new serial number.
        give_up: the value was not at its last address.
    """

    def __init__(
        self,
        send: Callable[[str, Message], None],
        serial: Callable[[], int],
        give_up: Callable[[int, str], None],
    ) -> None:
        self._send = send
        self._serial = serial
        self._give_up = give_up
        self._fetching: dict[int, _Fetching] = {}
        self._asked: dict[str, dict[int, dict[int, list[int]]]] = {}  # address → serial → ids
        self.sources: dict[int, int] = {}  # where workers know the value by another id
        self.sought: dict[int, None] = {}  # not found where it was said to be
        self.large: dict[int, int] = {}  # bytes of large ones, by the ids that workers know

    def learn(self, message: Finished) -> None:
        """There are values: note by which ids workers know them that others made first.

        That can change: a value may be made again, by another scheduler for another client.
        """
        sources = message.sources or message.tids
        for tid, source, nbytes in zip(message.tids, sources, message.nbytes, strict=False):
            self.sought.pop(tid, None)
            if nbytes >= LARGE_BYTES_MIN:
                self.large[source] = nbytes
            if tid != source:
                self.sources[tid] = source
            else:
                self.sources.pop(tid, None)

    def source(self, tid: int) -> int:
        """The id by which workers know the value."""
        return self.sources.get(tid, tid)

    def forget(self, tids: Iterable[int]) -> None:
        """The values of these tasks will not be asked for any more."""
        if self.sources or self.sought or self.large:
            for tid in tids:
                self.large.pop(self.sources.pop(tid, tid), None)
                self.sought.pop(tid, None)

    def large_of(self, message: Fetch) -> list[int]:
        """Of those that are asked for, id and bytes in turn of the large ones."""
        large = self.large
        return [each for tid in message.tids if tid in large for each in (tid, large[tid])]

    def request(self, wanted: Iterable[tuple[int, str]], wake: Callable[[], None]) -> Request:
        """Fetch values by id, each from one of the addresses it is said to be at."""
        request = Request(wake)
        first: dict[str, list[int]] = {}
        for tid, places in wanted:
            request.left[tid] = None
            fetching = self._fetching.get(tid)
            if fetching is None:
                address, *others = places.split(" ")
                self._fetching[tid] = _Fetching([request], others)
                first.setdefault(address, []).append(tid)
            else:
                fetching.requests.append(request)
        for address, tids in first.items():
            self._ask(address, tids)
        return request

    def abandon(self, request: Request) -> None:
        """Nobody waits for it any more. What is on its way will be dropped."""
        for tid in request.left:
            fetching = self._fetching.get(tid)
            if fetching is not None and request in fetching.requests:
                fetching.requests.remove(request)
        request.left = {}

    def on_values(self, address: str, message: Values) -> None:
        """An answer, or a part of one."""
        serials = self._asked.get(address, {})
        asked = serials.get(message.serial)
        if asked is None:
            return
        payloads, failures = iter(message.payloads), iter(message.failures)
        for source, status in zip(message.tids, message.statuses, strict=True):
            payload: Payload | None = next(payloads, None) if status == FOUND else None
            failure = next(failures, None) if status == UNPICKLABLE else None
            for tid in asked.pop(source, ()):  # none: not asked for
                if payload is None and failure is None:
                    self._elsewhere(tid, address)
                else:
                    self._end(tid, payload, failure)
        if message.last:
            del serials[message.serial]
            for tid in _flat(asked):
                self._elsewhere(tid, address)

    def on_lost(self, address: str) -> None:
        """The worker cannot be reached, or its connection ended."""
        for asked in self._asked.pop(address, {}).values():
            for tid in _flat(asked):
                self._elsewhere(tid, address)

    def break_all(self) -> None:
        """Nothing is fetched any more: wake everybody."""
        waiting = {id(each): each for f in self._fetching.values() for each in f.requests}
        self._fetching, self._asked = {}, {}
        for request in waiting.values():
            request.wake()

    def _ask(self, address: str, tids: list[int]) -> None:
        serial = self._serial()
        asked: dict[int, list[int]] = {}
        for tid in tids:
            asked.setdefault(self.sources.get(tid, tid), []).append(tid)
        self._asked.setdefault(address, {})[serial] = asked
        self._send(address, Fetch(serial, list(asked)))

    def _elsewhere(self, tid: int, address: str) -> None:
        fetching = self._fetching[tid]
        if fetching.places and fetching.requests:
            self._ask(fetching.places.pop(0), [tid])
            return
        if fetching.requests:
            self._give_up(tid, address)
        self._end(tid, None, None)

    def _end(self, tid: int, payload: Payload | None, failure: bytes | None) -> None:
        for request in self._fetching.pop(tid).requests:
            if payload is not None:
                request.payloads[tid] = payload
            elif failure is not None:
                request.failures[tid] = failure
            del request.left[tid]
            if not request.left:
                request.wake()


def _flat(asked: dict[int, list[int]]) -> list[int]:
    return [tid for tids in asked.values() for tid in tids]


def whole(payload: Payload) -> Buffer:
    """A payload in one piece."""
    return b"".join(payload) if isinstance(payload, list) else payload
