"""Values to workers: what a client scatters, and arguments too large for the scheduler."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from trio_dask.messages import Message, Payload, payload_bytes
from trio_dask.messages.tasks import Put, PutAt
from trio_dask.messages.values import Store, StoreDone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: A worker is sent about so much before it says that it has it.
STORE_BYTES_MAX: Final = 32 << 20
#: Smaller values go before larger ones, but for half of a message.
SMALL_BYTES: Final = 64 << 10
#: So many places are tried for a value.
TRIES: Final = 4


@dataclass(slots=True)
class _Put:
    """A value on its way to a worker."""

    payload: Payload
    workers: list[str]
    broadcast: bool
    tries: int = 1
    at: str = ""  # the worker that says it has it, before the scheduler says so
    nowhere: bool = True  # the scheduler has not said where it should be


@dataclass(slots=True)
class _Line:
    """What goes to one worker: one message under way, and what waits behind it."""

    small: deque[int] = field(default_factory=deque)
    large: deque[int] = field(default_factory=deque)
    serial: int = -1  # of the message under way
    sent: tuple[int, ...] = ()


class Storer:
    """Keeps values until the scheduler says that they are stored.

    Args:
        tell: queue a message to the scheduler.
        send: queue a message to a worker's data listener.
        serial: a new serial number.
        give_up: the value could not be stored anywhere, and why.
    """

    def __init__(
        self,
        tell: Callable[[Message], None],
        send: Callable[[str, Message], None],
        serial: Callable[[], int],
        give_up: Callable[[int, str], None],
    ) -> None:
        self._tell = tell
        self._send = send
        self._serial = serial
        self._give_up = give_up
        self._puts: dict[int, _Put] = {}
        self._lines: dict[str, _Line] = {}

    def put(
        self, first: int, payloads: list[Payload], workers: list[str], *, broadcast: bool
    ) -> None:
        """Values with ids from `first`; the scheduler is asked where they should be."""
        tids = list(range(first, first + len(payloads)))
        for tid, payload in zip(tids, payloads, strict=True):
            self._puts[tid] = _Put(payload, workers, broadcast)
        self._tell(Put(tids, list(map(payload_bytes, payloads)), workers, broadcast))

    def forget(self, tid: int) -> None:
        """It is stored, or nobody wants it."""
        if self._puts:
            self._puts.pop(tid, None)

    def is_nowhere(self, tid: int) -> bool:
        """Whether there is no worker yet to send it to."""
        put = self._puts.get(tid)
        return put is not None and put.nowhere

    def on_put_at(self, message: PutAt) -> None:
        """The scheduler's answer: send each value where it belongs."""
        touched: dict[str, None] = {}
        for tid, at in zip(message.tids, message.at, strict=True):
            if tid in self._puts and 0 <= at < len(message.places):
                address = message.places[at]
                line = self._lines.setdefault(address, _Line())
                small = payload_bytes(self._puts[tid].payload) < SMALL_BYTES
                (line.small if small else line.large).append(tid)
                self._puts[tid].nowhere = False
                touched[address] = None
        for address in touched:
            self._go_on(address)

    def on_store_done(self, address: str, message: StoreDone) -> None:
        """The worker has, or has not, what was sent last."""
        line = self._lines.get(address)
        if line is None or line.serial != message.serial:
            return
        sent, line.sent, line.serial = line.sent, (), -1
        for tid in sent:
            if message.error:
                self._again(tid, f"{address}: {message.error}")
            elif tid in self._puts:
                self._puts[tid].at = address
        self._go_on(address)

    def on_lost(self, address: str, reason: str) -> None:
        """The worker cannot be reached, or its connection ended."""
        line = self._lines.pop(address, None)
        tids = [] if line is None else [*line.sent, *line.small, *line.large]
        tids += [tid for tid, put in self._puts.items() if put.at == address]
        for tid in tids:
            self._again(tid, reason)

    def said_again(self) -> Iterator[Put]:
        """Another scheduler is to say where the values should be, if no worker has them yet."""
        for tid, put in self._puts.items():
            nbytes = payload_bytes(put.payload)
            put.nowhere = not put.at
            yield Put([tid], [nbytes], put.workers, put.broadcast)

    def clear(self) -> None:
        """Nothing is stored any more."""
        self._puts, self._lines = {}, {}

    def _go_on(self, address: str) -> None:
        line = self._lines[address]
        if line.serial >= 0:
            return
        tids: list[int] = []
        payloads: list[Payload] = []
        nbytes = 0
        # The small ones do not wait for all of the large ones, nor these for ever.
        for waiting, limit in (
            (line.small, STORE_BYTES_MAX // 2),
            (line.large, STORE_BYTES_MAX),
            (line.small, STORE_BYTES_MAX),
        ):
            while waiting and nbytes < limit:
                tid = waiting.popleft()
                put = self._puts.get(tid)
                if put is not None:
                    tids.append(tid)
                    payloads.append(put.payload)
                    nbytes += payload_bytes(put.payload)
        if not tids:
            del self._lines[address]
            return
        line.serial, line.sent = self._serial(), tuple(tids)
        self._send(address, Store(line.serial, tids, payloads))

    def _again(self, tid: int, reason: str) -> None:
        put = self._puts.get(tid)
        if put is None:
            return
        put.at, put.nowhere = "", True
        put.tries += 1
        if put.tries > TRIES:
            self._give_up(tid, f"it could not be stored: {reason}")
            return
        self._tell(Put([tid], [payload_bytes(put.payload)], put.workers, put.broadcast))
