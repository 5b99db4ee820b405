"""Large payloads in chunks that may be compressed, each for itself, without any I/O.

A chunk is ``<I`` (how it is packed in the upper two bits, below them so many bytes), then these
bytes. Unpacked it has `CHUNK_BYTES`, the last one of a payload what is left; so nobody has to be
believed about how much memory that needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from trio_dask.comm.filling import Filling
from trio_dask.errors import RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio_dask.messages import Buffer

    #: What was packed in a way, these bytes, is so many bytes. Raises `RemoteProtocolError`.
    Undo: TypeAlias = Callable[[int, Buffer, int], bytes]
    _AsBytes: TypeAlias = bytes
else:
    _AsBytes = object

#: So much of a payload is compressed and sent at a time.
CHUNK_BYTES: Final = 1 << 20
#: Smaller payloads are not worth it.
CHUNKED_BYTES_MIN: Final = 64 << 10
#: How a chunk is packed.
PLAIN, LZ4, ZSTD = 0, 1, 2

_HEAD_BYTES: Final = 4
_METHOD_SHIFT: Final = 30
_LENGTH: Final = (1 << _METHOD_SHIFT) - 1


class Chunk(_AsBytes):
    """A part of a payload that may be compressed when it is written; its pieces in order."""

    __slots__ = ("nbytes", "pieces")

    def __init__(self, pieces: list[Buffer]) -> None:
        self.pieces = pieces
        self.nbytes = sum(map(len, pieces))

    def __len__(self) -> int:
        return self.nbytes


def chunks_of(pieces: Iterable[Buffer]) -> list[Buffer]:
    """The chunks of a payload that is in memory; nothing is copied."""
    out: list[Buffer] = []
    some: list[Buffer] = []
    room = CHUNK_BYTES
    for piece in pieces:
        view = memoryview(piece)
        while view:
            part = view[:room]
            some.append(part)
            room -= len(part)
            view = view[len(part) :]
            if not room:
                out.append(Chunk(some))
                some, room = [], CHUNK_BYTES
    if some:
        out.append(Chunk(some))
    return out


def chunk_head(method: int, nbytes: int) -> bytes:
    """What goes before so many bytes of a chunk."""
    return (method << _METHOD_SHIFT | nbytes).to_bytes(_HEAD_BYTES, "little")


class Unpacking:
    """One payload that comes in chunks."""

    __slots__ = ("_head", "_left", "_method", "_packed", "_size", "_undo", "compressed", "whole")

    def __init__(self, size: int, undo: Undo, whole: bytearray | Filling) -> None:
        """`whole`: where it is to be, unpacked."""
        self._size = size
        self._undo = undo
        self._head = b""
        self._method = PLAIN
        self._left = 0  # bytes of the present chunk that have not come
        self._packed = bytearray()  # of one that is compressed
        #: Whether any was.
        self.compressed = False
        #: What has come so far, unpacked.
        self.whole = whole

    @property
    def is_done(self) -> bool:
        """Whether all of it is there."""
        return len(self.whole) >= self._size

    @property
    def vacancy(self) -> memoryview | None:
        """Where the rest of a chunk may be written as it comes: tell `came` then."""
        plain = self._left and self._method == PLAIN and isinstance(self.whole, Filling)
        return self.whole.vacancy(self._left) if plain else None  # type: ignore[union-attr]

    def came(self, nbytes: int) -> None:
        """So many bytes are there."""
        assert isinstance(self.whole, Filling)
        self.whole.came(nbytes)
        self._left -= nbytes

    def take(self, view: memoryview, at: int) -> int:
        """Take what there is; where that ends.

        Raises:
            RemoteProtocolError: a chunk is not what it should be.
        """
        end = len(view)
        while at < end and not self.is_done:
            if not self._left:
                head = bytes(view[at : at + _HEAD_BYTES - len(self._head)])
                at += len(head)
                self._head += head
                if len(self._head) == _HEAD_BYTES:
                    self._begin()
                continue
            part = view[at : at + self._left]
            at += len(part)
            self._left -= len(part)
            if self._method == PLAIN:
                self.whole += part  # type: ignore[operator]
            elif self._left or self._packed:
                self._packed += part
                if not self._left:
                    self._unpack(self._packed)
                    self._packed = bytearray()
            else:
                self._unpack(part)
        return at

    def _begin(self) -> None:
        word = int.from_bytes(self._head, "little")
        self._head = b""
        self._method, self._left = word >> _METHOD_SHIFT, word & _LENGTH
        room = self._room
        # What is packed is shorter than what it was, else it would have been sent as it is.
        fits = self._left == room if self._method == PLAIN else 0 < self._left < room
        if not fits:
            msg = f"a chunk of {self._left} bytes for {room}, packed in way {self._method}"
            raise RemoteProtocolError(msg)

    @property
    def _room(self) -> int:
        """So many bytes the present chunk has, unpacked."""
        return min(CHUNK_BYTES, self._size - len(self.whole))

    def _unpack(self, data: Buffer) -> None:
        room = self._room
        # To unpack to where it belongs is not quicker: the copy is a thirtieth of the time, and
        # what zstd has for that takes as much longer; lz4 has nothing.
        made = self._undo(self._method, data, room)
        if len(made) != room:
            msg = f"a chunk of {len(made)} bytes where {room} belong"
            raise RemoteProtocolError(msg)
        self.whole += made  # type: ignore[operator]
        self.compressed = True
