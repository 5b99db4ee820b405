"""Values that are mostly large buffers, as pieces that are not copied before they must be."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.foreign import MAIN
from trio_dask.messages.payload import BUFFER_BYTES_MIN, PROTOCOL, laid_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.messages.columns import Buffer

#: A part of a pickle of this size is one object's own bytes; the others are opcodes.
_OWN_BYTES_MIN: Final = 256 * 1024
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
        if len(data) < _OWN_BYTES_MIN:
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
        file = _pickled(pickle.Pickler, value)
        if file.main:
            from trio_dask.messages import cloud

            file = _pickled(cloud.Pickler, value)
    except BaseException:  # noqa: BLE001 - users' reducers raise what they like
        return None
    own = sum(map(len, file.pieces)) - file.opcodes
    if own + sum(raw.nbytes for raw in file.buffers) < bytes_min:
        return None
    return laid_out(file.pieces, file.buffers)


def _pickled(pickler: Callable[..., Any], value: Any) -> _Pieces:
    file = _Pieces()
    pickler(file, PROTOCOL, buffer_callback=file.keep).dump(value)
    return file
