"""Values to bytes and back. For runners and clients only: servers never open a payload.

A payload is plain pickle bytes, or, where the value has large buffers (arrays), a block:
magic, number of buffers, length of the pickle, a length for each buffer (its top bit
says that it was writable), the pickle, and the buffers, each at a multiple of 64 bytes,
so that arrays are rebuilt over the received memory without copying. Large ones are at a
multiple of 4096, as where large arrays begin: so they are copied there three times as fast.

Large `bytes`, and what else pickle keeps inside, are pieces of their own, and not copied either
until the payload is written somewhere; whoever unpacks it copies them once, out of it.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Final

from trio_dask.errors import RemoteProtocolError, SubmitError
from trio_dask.messages.codec import payload_bytes
from trio_dask.messages.columns import Buffer, Handle, Payload
from trio_dask.messages.foreign import MAIN, by_value, refers_to_foreign
from trio_dask.messages.functions import (
    function_name,
    pack_function,
    unpack_function,
)
from trio_dask.messages.ids import TaskId
from trio_dask.messages.inputs import (
    collecting,
    finding,
    given,
    input_value,
    is_finding,
    note_input,
)
from trio_dask.messages.pickling import OWN_BYTES_MIN, PROTOCOL, File, dumps, pickler, pieces_of
from trio_dask.messages.sizes import sizeof
from trio_dask.messages.taking import Taken, taken_by, travels_by_name
from trio_dask.messages.unpickling import loads, loads_with

__all__ = [
    "Taken",
    "call_payload",
    "collecting",
    "function_name",
    "given",
    "in_one_piece",
    "input_value",
    "is_finding",
    "note_input",
    "pack",
    "pack_call",
    "pack_function",
    "pack_small",
    "sizeof",
    "taken_by",
    "travels_by_name",
    "unpack",
    "unpack_function",
    "unpacked_bytes",
]

#: Buffers below this stay inside the pickle: a copy is cheaper than a piece of its own.
BUFFER_BYTES_MIN: Final = 8 * 1024

_MAGIC: Final = b"TDv1"
_HEAD: Final = struct.Struct("<4sIQ")
_ALIGN: Final = 64
_PAGE: Final = 4096
_PAGED_BYTES_MIN: Final = 1 << 20
_WRITABLE: Final = 1 << 63
_PICKLE: Final = 0x80  # the first byte of every pickle since protocol 2
#: Types whose pickles refer to nothing, have no buffers and can always be made.
_ATOMS: Final = frozenset((type(None), bool, int, float, complex, str, bytes))
_NEVER_LONG: Final = _ATOMS - {str, bytes}
_SIZED: Final = frozenset((str, bytes, bytearray, list, tuple, dict, set, frozenset))
_CONTAINERS: Final = frozenset((list, tuple, dict, set, frozenset))

_dumps = pickle.dumps


def pack(
    value: Any,
    *,
    refs: list[TaskId] | None = None,
    ship_modules: bool = True,
    where: str = "",
) -> Payload:
    """The payload of a value. With `refs`, futures inside are allowed, and their ids put there.

    Pickle first; cloudpickle where that fails or what it made refers to `__main__` or,
    with `ship_modules`, to a module that another process cannot import. `where` is what the
    value is called in an error.

    Raises:
        SubmitError: it cannot be pickled; the message names the culprit.
    """
    if type(value) in _ATOMS and not _is_long(value):
        return _dumps(value, PROTOCOL)
    packed = _pack(value, refs, ship_modules=ship_modules)
    if isinstance(packed, Exception):
        from trio_dask.messages.culprit import find_culprit, worth_telling

        raise SubmitError(find_culprit(value, packed, where)) from worth_telling(packed)
    return packed


def pack_call(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], *, refs: list[TaskId] | None = None
) -> bytes:
    """The arguments of a task as one blob: the payload of ``(args, kwargs)``.

    Raises:
        SubmitError: one cannot be pickled; the message names it, and the culprit in it.
    """
    return in_one_piece(call_payload(args, kwargs, refs=refs))


def call_payload(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], *, refs: list[TaskId] | None = None
) -> Payload:
    """The same before it is one blob: if it is large, nothing was copied yet."""
    if not kwargs and (
        _NEVER_LONG.issuperset(map(type, args))
        or (_ATOMS.issuperset(map(type, args)) and not any(map(_is_long, args)))
    ):
        return _dumps((args, {}), PROTOCOL)
    packed = _pack((args, dict(kwargs)), refs, ship_modules=True)
    if isinstance(packed, Exception):
        from trio_dask.messages.culprit import find_call_culprit, worth_telling

        raise SubmitError(find_call_culprit(args, kwargs, packed)) from worth_telling(packed)
    return packed


def in_one_piece(payload: Payload) -> bytes:
    """The same bytes as one blob, for what is small."""
    if type(payload) is bytes:
        return payload
    return b"".join(payload) if isinstance(payload, list) else bytes(payload)


def _is_long(value: Any) -> bool:
    """Whether so much of its pickle is its own bytes that these are not to be copied."""
    kind = type(value)
    return (kind is bytes or kind is str or kind is bytearray) and len(value) >= OWN_BYTES_MIN


def _is_call(value: tuple[Any, ...]) -> bool:
    """Whether it may be the arguments of a call, with names and without."""
    return len(value) == 2 and type(value[0]) is tuple and type(value[1]) is dict


def may_have_long(value: Any) -> bool:
    """Whether there may be some in it: from a look at a few of its members."""
    kind = type(value)
    if kind in _CONTAINERS:
        if kind is tuple and _is_call(value):
            return any(map(may_have_long, (*value[0], *value[1].values())))
        return sizeof(value) >= OWN_BYTES_MIN
    if kind in _SIZED:
        return _is_long(value)
    try:
        attributes = getattr(value, "__dict__", None)
        return type(attributes) is dict and any(map(_is_long, list(attributes.values())))
    except Exception:  # noqa: BLE001 - users' objects may raise anything when looked at
        return False


def _pack(value: Any, refs: list[TaskId] | None, *, ship_modules: bool) -> Payload | Exception:
    """The payload, or the error of the last pickler; with `refs`, the futures inside go there."""
    if refs is None:
        return _pickled(value, ship_modules=ship_modules)
    with finding() as found:
        packed = _pickled(value, ship_modules=ship_modules)
    refs += [tid for tid in found if tid not in refs] if refs else found
    return packed


def _pickled(value: Any, *, ship_modules: bool) -> Payload | Exception:
    buffers: list[memoryview] = []
    if may_have_long(value):
        pieces = _pieces(value, buffers, ship_modules=ship_modules)
        if pieces:
            return laid_out(pieces, buffers)
        made = _cloudpickled(value, buffers, ship_modules=ship_modules)
        return made if isinstance(made, Exception) else laid_out(made, buffers)
    try:
        data = dumps(value, _keeper(buffers))
    except Exception:  # noqa: BLE001 - users' reducers raise what they like
        data = b""
    # Not in the block: the second error would have the first one for its context.
    if not data or (refers_to_foreign(data) if ship_modules else MAIN in data):
        made = _cloudpickled(value, buffers, ship_modules=ship_modules)
        if isinstance(made, Exception):
            return made
        if len(made) > 1:
            return laid_out(made, buffers)
        data = bytes(made[0])
    return laid_out([data], buffers) if buffers else data


def _pieces(value: Any, buffers: list[memoryview], *, ship_modules: bool) -> list[Buffer]:
    """Its pickle in pieces, of which the large ones are not copied; none if that will not do."""
    written: list[Any] = []
    try:
        pickler(File(written.append), _keeper(buffers)).dump(value)
    except Exception:  # noqa: BLE001 - it will be tried again, and the error be told
        return []
    for each in written:  # an opcode, and what it names, are in one piece
        if len(each) < OWN_BYTES_MIN and (
            refers_to_foreign(each) if ship_modules else MAIN in each
        ):
            return []
    return pieces_of(written)


def _keeper(buffers: list[memoryview]) -> Callable[[pickle.PickleBuffer], bool]:
    """A callback for the pickler: keeps large buffers outside, true for those to stay inside."""

    def keep(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < BUFFER_BYTES_MIN:
            return True
        buffers.append(raw)
        return False

    return keep


def _cloudpickled(
    value: Any, buffers: list[memoryview], *, ship_modules: bool
) -> list[Buffer] | Exception:
    """What cloudpickle makes of what pickle could not, or not well enough; or its error.

    In pieces, of which the large ones are not copied.
    """
    from trio_dask.messages import cloud

    failure: Exception | None = None
    for modules in (by_value(), nullcontext()) if ship_modules else (nullcontext(),):
        buffers.clear()
        written: list[Any] = []
        try:
            with modules:
                cloud.pickler(File(written.append), _keeper(buffers)).dump(value)
        except Exception as error:  # noqa: BLE001 - users' reducers raise what they like
            failure = failure or error
        else:
            failure = None  # the frames of its traceback, which lead to the user's, hold it
            return pieces_of(written)
    assert failure is not None
    return failure


def laid_out(pickled: Sequence[Buffer], buffers: list[memoryview]) -> list[Buffer]:
    """The pieces of a block: a pickle, in pieces, and its buffers. None of them is copied."""
    if not buffers:
        return [*pickled]
    lengths = [raw.nbytes | (0 if raw.readonly else _WRITABLE) for raw in buffers]
    nbytes = sum(map(len, pickled))
    head = _HEAD.pack(_MAGIC, len(buffers), nbytes) + struct.pack(f"<{len(buffers)}Q", *lengths)
    first, *others = pickled
    pieces: list[Buffer] = (
        [head, *pickled] if len(first) >= OWN_BYTES_MIN else [head + first, *others]
    )
    at = len(head) + nbytes
    for raw in buffers:
        pad = _pad(at, raw.nbytes)
        if pad and len(pieces[-1]) < BUFFER_BYTES_MIN and isinstance(pieces[-1], bytes):
            pieces[-1] += bytes(pad)
        elif pad:
            pieces.append(bytes(pad))
        pieces.append(raw)
        at += pad + raw.nbytes
    return pieces


def _pad(at: int, nbytes: int) -> int:
    """So much room is left before a buffer that would begin at `at`."""
    return -at % (_PAGE if nbytes >= _PAGED_BYTES_MIN else _ALIGN)


def unpack(payload: Buffer) -> Any:
    """The value in a payload. Arrays are views of `payload` where that may be written to.

    Raises:
        RemoteProtocolError: it is no payload. Unpickling raises whatever users' code raises.
    """
    if payload and payload[0] == _PICKLE:
        return loads(payload)
    return _unpack_block(memoryview(payload))


def unpacked_bytes(payload: Payload) -> int:
    """So much of a payload comes into memory when it is unpacked: all but buffers, which are used in place.

    Raises:
        OSError: it is behind a descriptor, and cannot be read.
    """
    nbytes = payload_bytes(payload)
    if nbytes < _HEAD.size or isinstance(payload, list):
        return nbytes
    head = payload.read(0, _HEAD.size) if isinstance(payload, Handle) else payload[: _HEAD.size]
    magic, _, pickle_bytes = _HEAD.unpack(head)
    return min(nbytes, int(pickle_bytes)) if magic == _MAGIC else nbytes


def _unpack_block(view: memoryview) -> Any:
    try:
        magic, count, pickle_bytes = _HEAD.unpack_from(view)
        if magic != _MAGIC:
            msg = "not a payload"
            raise ValueError(msg)
        lengths = struct.unpack_from(f"<{count}Q", view, _HEAD.size)
    except (struct.error, ValueError, OverflowError, MemoryError) as error:
        msg = f"a packed value that cannot be read: {error}"
        raise RemoteProtocolError(msg) from error
    start = _HEAD.size + 8 * count
    end = start + pickle_bytes
    data, buffers = view[start:end], []
    for length in lengths:
        size = length & ~_WRITABLE
        end += _pad(end, size)
        piece = view[end : end + size]
        end += size
        buffers.append(_as_it_was(piece, writable=bool(length & _WRITABLE)))
    if end != len(view):
        msg = f"a packed value of {len(view)} bytes where {end} belong"
        raise RemoteProtocolError(msg)
    return loads_with(data, buffers)


def _as_it_was(piece: memoryview, *, writable: bool) -> Buffer:
    if not writable:
        return piece.toreadonly()
    # An array that could be changed when it was packed can be changed again.
    return bytearray(piece) if piece.readonly else piece


class _TooLarge(Exception):
    """What is being pickled has outgrown its limit."""


class _Capped(io.BytesIO):
    """A file that ends the pickling as soon as it is more than `left` bytes."""

    left = 0

    def write(self, data: Any) -> int:
        self.left -= len(data)
        if self.left < 0:
            raise _TooLarge
        return super().write(data)


def pack_small(value: Any, bytes_max: int) -> bytes | None:
    """The payload of a value if it is no longer than `bytes_max`, else None.

    Large values are given up early, mostly before anything was pickled. What cannot be
    pickled has no small payload either. Never raises.
    """
    kind = type(value)
    if kind in _SIZED and len(value) > bytes_max:
        return None  # each member takes a byte at least
    if kind in _ATOMS:
        data = _dumps(value, PROTOCOL)
        return data if len(data) <= bytes_max else None
    try:
        if kind.__module__ != "builtins" and getattr(value, "nbytes", 0) > bytes_max:
            return None
        data = _dumps_capped(pickler, value, bytes_max)
        return _small_by_cloudpickle(value, bytes_max) if MAIN in data else data
    except _TooLarge:
        return None
    except BaseException:  # noqa: BLE001 - users' reducers raise what they like
        return _small_by_cloudpickle(value, bytes_max)


def _small_by_cloudpickle(value: Any, bytes_max: int) -> bytes | None:
    from trio_dask.messages import cloud

    try:
        return _dumps_capped(cloud.pickler, value, bytes_max)
    except BaseException:  # noqa: BLE001 - too large or unpicklable: the value stays where it is
        return None


def _dumps_capped(make: Callable[..., Any], value: Any, bytes_max: int) -> bytes:
    file = _Capped()
    file.left = bytes_max
    make(file, _inside_if_small(bytes_max)).dump(value)
    return file.getvalue()


def _inside_if_small(bytes_max: int) -> Callable[[pickle.PickleBuffer], bool]:
    def inside(buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes > bytes_max:
            raise _TooLarge
        return True

    return inside
