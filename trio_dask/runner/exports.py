"""Values for others: packed in a thread of their own, so that neither reader nor slots wait."""

from __future__ import annotations

from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from trio_dask.errors import TaskError
from trio_dask.messages import Handle, payload_bytes
from trio_dask.messages.payload import pack
from trio_dask.messages.sealing import FILE_BYTES_MIN, SLAB_BYTES
from trio_dask.messages.values import ABSENT, FOUND, UNPICKLABLE, Fetch, Values
from trio_dask.runner.failing import bounded
from trio_dask.runner.holdings import Packed, reason
from trio_dask.runner.trimming import give_back_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trio_dask.messages import Payload
    from trio_dask.messages.ids import TaskId
    from trio_dask.messages.sealing import Unload
    from trio_dask.runner.sealing import Sealer
    from trio_dask.runner.wire import Outbox

#: A part of an answer is sent when it has this much, so that results go in between.
_PART_BYTES: Final = 1 << 20
_PART_ROWS: Final = 1024
_ABSENT: Final = object()


class Exports:
    """Answers `Fetch` and `Unload`, one after the other."""

    def __init__(self, held: Mapping[TaskId, Any], outbox: Outbox, sealer: Sealer) -> None:
        self._held = held
        self._outbox = outbox
        self._sealer = sealer
        self._asked: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def ask(self, fetch: Fetch) -> None:
        """Answer soon."""
        self._do(partial(self._answer, fetch))

    def unload(self, message: Unload) -> None:
        """Put values on disk, soon."""
        self._do(partial(self._unload, message))

    def trim(self) -> None:
        """Give memory back, after what was asked before."""
        self._do(give_back_memory)

    def _do(self, call: Callable[[], None]) -> None:
        """The first call starts the thread."""
        self._asked.put(call)
        if self._thread is None:
            self._thread = Thread(
                target=self._outbox.ends.run, args=(self._run,), name="exports", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """End the thread after what was asked before."""
        self._asked.put(None)

    def _run(self) -> None:
        while (call := self._asked.get()) is not None:
            call()

    def _unload(self, question: Unload) -> None:
        """Values that stay where they are have a row in the answer, the others are in files."""
        rest = Values(question.serial, [], [], [], [], last=True)
        small: dict[TaskId, bytes] = {}
        nbytes = 0
        for tid in question.tids:
            value = self._held.get(tid, _ABSENT)
            try:
                payload = None if value is _ABSENT else _payload(value)
            except BaseException as error:  # noqa: BLE001 - reducers are the user's
                rest.tids.append(tid)
                rest.statuses.append(UNPICKLABLE)
                rest.failures.append(_unpicklable(value, error))
                continue
            if payload is not None and payload_bytes(payload) < FILE_BYTES_MIN:
                small[tid] = _flat(payload)
                nbytes += len(small[tid])
            elif payload is None or not self._sealer.unload(tid, payload):
                _say_absent(rest, [tid])
            del value, payload
            if nbytes >= SLAB_BYTES:
                self._unload_small(small, rest)
                small, nbytes = {}, 0
            self._outbox.flush_words()
        self._unload_small(small, rest)
        self._outbox.say_and_wait(rest)

    def _unload_small(self, small: dict[TaskId, bytes], rest: Values) -> None:
        if small and not self._sealer.unload_small(small):
            _say_absent(rest, [*small])

    def _answer(self, fetch: Fetch) -> None:
        part, size = Values(fetch.serial, [], [], [], [], last=False), 0
        for tid in fetch.tids:
            if size >= _PART_BYTES or len(part.tids) >= _PART_ROWS:
                self._outbox.say_and_wait(part)
                part, size = Values(fetch.serial, [], [], [], [], last=False), 0
            size += self._add(part, tid)
        part.last = True
        self._outbox.say_and_wait(part)

    def _add(self, part: Values, tid: TaskId) -> int:
        """Add a row to the answer; how many bytes that is."""
        part.tids.append(tid)
        value = self._held.get(tid, _ABSENT)
        if value is _ABSENT:
            part.statuses.append(ABSENT)
            return 0
        try:
            payload = _payload(value)
        except BaseException as error:  # noqa: BLE001 - reducers are the user's
            failure = _unpicklable(value, error)
            part.statuses.append(UNPICKLABLE)
            part.failures.append(failure)
            return len(failure)
        if not isinstance(payload, Handle) and self._sealer.export(tid, payload):
            part.statuses.append(ABSENT)  # here, but with the worker
            return 0
        part.statuses.append(FOUND)
        part.payloads.append(payload)
        return payload_bytes(payload)


def _say_absent(rest: Values, tids: list[TaskId]) -> None:
    rest.tids += tids
    rest.statuses += [ABSENT] * len(tids)


def _flat(payload: Payload) -> bytes:
    """A small payload in one piece."""
    if isinstance(payload, Handle):
        return payload.read(0, payload.nbytes)
    return b"".join(payload) if isinstance(payload, list) else bytes(payload)


def _payload(value: Any) -> Payload:
    if type(value) is Packed:
        buffer = value.buffer
        if buffer is not None:
            return buffer
        value = value.value()
    return pack(value, ship_modules=False)


def _unpicklable(value: Any, error: BaseException) -> bytes:
    from trio_dask.messages.exceptions import describe

    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    msg = f"the result of type {kind} stays where it was made, as it cannot be pickled: {error}"
    try:
        told = TaskError(msg)
    except Exception:  # noqa: BLE001 - the text of a broken exception
        told = TaskError(f"a result of type {kind} cannot be pickled: {reason(error)}")
    return bounded(describe(told))
