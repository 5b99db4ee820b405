"""Values that are mostly large buffers, as pieces that are not copied before they must be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.foreign import MAIN
from trio_dask.messages.payload import BUFFER_BYTES_MIN, laid_out, may_have_long
from trio_dask.messages.pickling import OWN_BYTES_MIN, pickler, pieces_of

if TYPE_CHECKING:
    import pickle
    from collections.abc import Callable

    from trio_dask.messages.columns import Buffer

#: With more opcodes than this, pickling takes longer than copying what they are about.
_OPCODE_BYTES_MAX: Final = 128 * 1024


class _NotLarge(Exception):
    """It is not mostly buffers."""


class _Pieces:
    """A file for a pickler, that keeps what is written as it comes."""

    def __init__(self) -> None:
        self.pieces: list[bytes | bytearray] = []
        self.buffers: list[memoryview] = []
        self.opcodes = 0
        self.main = False

    def write(self, data: Any) -> int:
        if len(data) < OWN_BYTES_MIN:
            self.opcodes += len(data)
            if self.opcodes > _OPCODE_BYTES_MAX:
                raise _NotLarge
            self.main = self.main or MAIN in bytes(data)
        self.pieces.append(data)
        return len(data)

    def keep(self, buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < BUFFER_BYTES_MIN:
            return True
        self.buffers.append(raw)
        return False


def pack_large(value: Any, bytes_min: int) -> list[Buffer] | None:
    """The payload of a value with buffers of at least so many bytes in all; else None.

    Others are given up early. What cannot be pickled is none of them. Never raises.
    """
    try:
        file = _pickled_somehow(value)
    except BaseException:  # noqa: BLE001 - users' reducers raise what they like
        return None
    own = sum(map(len, file.pieces)) - file.opcodes
    if own + sum(raw.nbytes for raw in file.buffers) < bytes_min:
        return None
    return laid_out(pieces_of(file.pieces), file.buffers)


def _pickled_somehow(value: Any) -> _Pieces:
    try:
        file = _pickled(pickler, value)
    except _NotLarge:
        raise
    except Exception:
        if not may_have_long(value):
            raise  # to find out that nothing can pickle it takes long
    else:
        if not file.main:
            return file
    from trio_dask.messages import cloud

    return _pickled(cloud.pickler, value)


def _pickled(make: Callable[..., Any], value: Any) -> _Pieces:
    file = _Pieces()
    make(file, file.keep).dump(value)
    return file
