"""What a runner holds by id: functions, and values that are too large to travel at once."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from trio_dask.errors import DataLost, TaskError
from trio_dask.messages import payload_bytes
from trio_dask.messages.payload import pack, unpack, unpack_function, unpacked_bytes
from trio_dask.store import Segment, map_privately

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trio_dask.messages import Buffer
    from trio_dask.messages.ids import TaskId


def reason(error: BaseException) -> str:
    """The type and text of an exception, whatever its text does."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - a broken exception still has a type
        return type(error).__name__


class Function:
    """A function as it came, unpickled at its first use."""

    __slots__ = ("_blob", "_error", "_loading", "fn", "name", "quick")

    def __init__(self, name: str, blob: bytes | None) -> None:
        self.name = name
        self.fn: Callable[..., Any] | None = None
        #: Whether its last run was so short that results may wait for another one.
        self.quick = False
        self._blob = blob
        self._error: BaseException | None = None
        self._loading = Lock()

    def load(self) -> Callable[..., Any]:
        """The function itself. Only the first call unpickles; a failure is kept.

        Raises:
            TaskError: it cannot be unpickled here; the cause says why.
        """
        with self._loading:
            if self.fn is not None:
                return self.fn
            if self._error is None and self._blob is not None:
                try:
                    self.fn = unpack_function(self._blob)
                    return self.fn
                except BaseException as error:  # noqa: BLE001 - importing runs users' code
                    self._error, self._blob = error.with_traceback(None), None
        if self._error is None:
            msg = f"the function {self.name} was not sent to this runner"
            raise TaskError(msg)
        msg = f"the function {self.name} cannot be unpickled on the worker: {reason(self._error)}"
        raise TaskError(msg) from self._error


class Packed:
    """A value that came packed, unpacked when a task first uses it."""

    __slots__ = ("_loading", "_value", "buffer")

    def __init__(self, buffer: Buffer) -> None:
        self.buffer: Buffer | None = buffer
        self._value: Any = None
        self._loading = Lock()

    def value(self) -> Any:
        """The value. Raises whatever unpickling it raises."""
        with self._loading:
            buffer = self.buffer
            if buffer is not None:
                here: Any = map_privately(buffer) if isinstance(buffer, Segment) else buffer
                self._value = unpack(here)
                self.buffer = None
            return self._value


def packed_to_leave(value: Any) -> Packed:
    """A result as it can be moved, for a process that ends with its task.

    Raises:
        TaskError: it cannot be pickled.
    """
    if type(value) is Packed:
        return value
    try:
        payload = pack(value, ship_modules=False)
    except BaseException as error:
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        msg = (
            f"the result of type {kind} cannot be pickled, and the process that has made it was for "
            f"this task alone: {reason(error)}"
        )
        raise TaskError(msg) from error
    return Packed(b"".join(payload) if isinstance(payload, list) else payload)


class Missing:
    """Stands for an input that is not here."""

    __slots__ = ("tid",)

    def __init__(self, tid: TaskId) -> None:
        self.tid = tid


def check_room(inputs: Mapping[TaskId, Any], limit: int) -> None:
    """Refuse inputs that cannot be in memory together, before any of them is unpacked.

    Arrays may be larger: they are read from where they are.

    Raises:
        MemoryError: they cannot; it says how much they need, which of them needs most, how much
            there is, and what to do.
    """
    packed: dict[Packed, tuple[TaskId, Buffer]] = {}
    for tid, each in inputs.items():
        if type(each) is Packed and (buffer := each.buffer) is not None:
            packed[each] = tid, buffer
    if sum(payload_bytes(buffer) for _, buffer in packed.values()) <= limit:
        return
    needs = [(unpacked_bytes(buffer), tid) for tid, buffer in packed.values()]
    need = sum(nbytes for nbytes, _ in needs)
    if need > limit:
        from trio_dask.config import format_bytes  # it takes long to load

        most, tid = max(needs)
        msg = (
            f"the inputs of this task need {format_bytes(need)} of memory ({need} bytes), "
            f"and its worker may have {format_bytes(limit)} ({limit} bytes); what is in arrays "
            f"or other buffers is not counted. The largest of {len(needs)}, the value of task "
            f"{tid:x}, needs {format_bytes(most)}. Give a task fewer or smaller inputs, or workers "
            "more memory: --memory-limit"
        )
        raise MemoryError(msg)


def resolve(source: Any) -> Any:
    """The value of an input: as it is held, or out of its packed form.

    Raises:
        DataLost: it is not here.
    """
    if type(source) is Packed:
        try:
            return source.value()
        except BaseException as error:
            msg = f"an input cannot be unpickled on the worker: {reason(error)}"
            raise TaskError(msg) from error
    if type(source) is Missing:
        msg = f"the value of task {source.tid:x} is not in this runner"
        raise DataLost(msg)
    return source
