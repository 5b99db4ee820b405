"""Frames: how messages are laid out in a stream of bytes, without any I/O.

A frame is ``<II`` (bytes of header, number of payloads), then a ``<Q`` for the length
of each payload, then the header, then the payloads one after the other.

Between processes of one host a payload may come as a descriptor: its length has the top bit
set, and its bytes are not in the stream. Between hosts that have agreed on it a large one comes in
`chunks`, which the next bit says; its length is what it has when it is unpacked.
"""

from __future__ import annotations

import contextlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from trio_dask.comm.chunks import CHUNK_BYTES, CHUNKED_BYTES_MIN, Chunk, Unpacking, chunks_of
from trio_dask.comm.filling import ROOM_BYTES_MIN, Filling
from trio_dask.errors import LocalProtocolError, RemoteProtocolError
from trio_dask.messages import Buffer, Handle, Part, Payload

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.comm.chunks import Undo
    from trio_dask.comm.filling import MakeRoom

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30

#: Pieces below this are joined before they are written; larger ones are never copied.
JOIN_BYTES_MAX: Final = 64 * KIB

#: More of a payload that is read from its descriptor is not written at once.
STRETCH_BYTES_MAX: Final = CHUNK_BYTES
#: The most descriptors in one frame: the kernel takes 253 at a time.
CARRIED_MAX: Final = 128

_PREFIX: Final = struct.Struct("<II")
_LENGTH_BYTES: Final = 8
_CARRIED: Final = 1 << 63
_CHUNKED: Final = 1 << 62

Frame: TypeAlias = tuple[Buffer, list[Buffer]]


# As with `Handle`, only who writes frames has to know that a piece may be elsewhere.
if TYPE_CHECKING:
    _AsBytes: TypeAlias = bytes
else:
    _AsBytes = object


class Lead(bytes):
    """The beginning of a frame, with the payloads whose descriptors go with its first byte."""

    handles: list[Handle]


class Stretch(_AsBytes):
    """A piece of a payload that is to be read from its descriptor when it is written."""

    __slots__ = ("at", "handle", "nbytes", "part")

    def __init__(self, handle: Handle, at: int, nbytes: int, part: Handle | None = None) -> None:
        """`part`: what it is of, which is to live until it is written."""
        self.handle = handle
        self.part = part
        self.at = at
        self.nbytes = nbytes

    def __len__(self) -> int:
        return self.nbytes

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            OSError: they are not there any more.
        """
        return self.handle.read(self.at, self.nbytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a connection accepts from its peer, and how much it keeps for it."""

    header_bytes_max: int = 64 * MIB
    payloads_max: int = 65_536
    payload_bytes_max: int = 64 * GIB
    outbox_bytes_max: int = 256 * MIB


DEFAULT_LIMITS: Final = Limits()


def frame(
    header: bytes,
    payloads: list[Payload],
    limits: Limits = DEFAULT_LIMITS,
    *,
    carries: bool = False,
    chunks: bool = False,
) -> list[Buffer]:
    """The pieces to write for one frame, in order; with `carries` descriptors may go along.

    With `chunks` large payloads go in those, to be compressed or not when they are written.

    Payloads are not copied: whoever gives them leaves them alone until they are written.

    Raises:
        LocalProtocolError: the peer would refuse it.
    """
    if len(header) > limits.header_bytes_max:
        msg = f"a header of {len(header)} bytes, limit {limits.header_bytes_max}"
        raise LocalProtocolError(msg)
    if not payloads:
        return [_PREFIX.pack(len(header), 0) + header]
    if len(payloads) > limits.payloads_max:
        msg = f"{len(payloads)} payloads in one frame, limit {limits.payloads_max}"
        raise LocalProtocolError(msg)
    pieces: list[Buffer] = []
    sizes: list[int] = []
    handles: list[Handle] = []
    for payload in payloads:
        if isinstance(payload, Handle):
            size = payload.nbytes
            if carries and len(handles) < CARRIED_MAX and not isinstance(payload, Part):
                handles.append(payload)
                sizes.append(size | _CARRIED)
                continue
            own = _stretches(payload)
        else:
            own = []
            size = _add_flat(payload, own)
        if size > limits.payload_bytes_max:
            msg = f"a payload of {size} bytes, limit {limits.payload_bytes_max}"
            raise LocalProtocolError(msg)
        if chunks and size >= CHUNKED_BYTES_MIN:
            size |= _CHUNKED
            own = [Chunk([each]) for each in own] if type(own[0]) is Stretch else chunks_of(own)
        pieces += own
        sizes.append(size)
    lead = struct.pack(f"<II{len(sizes)}Q", len(header), len(sizes), *sizes) + header
    if handles:
        lead = Lead(lead)
        lead.handles = handles
    return join([lead, *pieces])


def _add_flat(payload: Buffer | list[Buffer], pieces: list[Buffer]) -> int:
    """Add the pieces of a payload; how many bytes they have."""
    size = 0
    for piece in payload if isinstance(payload, list) else (payload,):
        flat = _flat(piece) if isinstance(piece, memoryview) else piece
        size += len(flat)
        if flat:
            pieces.append(flat)
    return size


def _stretches(handle: Handle) -> list[Buffer]:
    step, start, end, part = STRETCH_BYTES_MAX, 0, handle.nbytes, handle
    if isinstance(handle, Part):
        if handle.nbytes < JOIN_BYTES_MAX:
            with contextlib.suppress(OSError):  # who writes will meet it again
                return [handle.read(0, handle.nbytes)]
        start, end = handle.at, handle.at + handle.nbytes
        handle = handle.whole
    return [Stretch(handle, at, min(step, end - at), part) for at in range(start, end, step)]


def _flat(view: memoryview) -> memoryview:
    """The same memory as single bytes, so that its length is its size."""
    if view.itemsize == 1 and view.ndim == 1 and view.c_contiguous:
        return view
    try:
        return view.cast("B")
    except TypeError as error:
        msg = f"a payload that is not contiguous: {error}"
        raise LocalProtocolError(msg) from error


#: What is never one with what is beside it.
_ALONE: Final = frozenset((Lead, Stretch, Chunk))


def join(pieces: list[Buffer]) -> list[Buffer]:
    """The same bytes in fewer pieces: runs of small ones become one, large ones stay."""
    if len(pieces) == 1:
        return pieces
    out: list[Buffer] = []
    run: list[Buffer] = []
    for piece in pieces:
        kind = type(piece)
        if len(piece) < JOIN_BYTES_MAX and kind not in _ALONE:
            run.append(piece)
            continue
        if run:
            out.append(run[0] if len(run) == 1 else b"".join(run))
            run = []
        out.append(piece)
    if run:
        out.append(run[0] if len(run) == 1 else b"".join(run))
    return out


class FrameDecoder:
    """Bytes in, by any split; whole frames out.

    Nothing is set aside because a length field says so: memory grows with what has
    really arrived, pages of that which was made room for included. Headers may be views into the fed data, to be decoded before the
    data is changed; payloads are the receiver's own.
    """

    __slots__ = (
        "_adopt", "_header", "_limits", "_need", "_partial", "_payloads", "_rest", "_sizes", "_undo",
        "_unpacking", "compressed", "make_room", "vacancy",
    )  # fmt: skip

    def __init__(
        self,
        limits: Limits = DEFAULT_LIMITS,
        adopt: Callable[[int], Handle] | None = None,
        undo: Undo | None = None,
    ) -> None:
        """`adopt` gives the next descriptor that has come, as a payload of so many bytes; `undo`
        unpacks chunks, and without it there are none.
        """
        self._limits = limits
        self._adopt = adopt
        self._undo = undo
        self._unpacking: Unpacking | None = None  # a payload in chunks, of which some have come
        #: Whether the last one of those was compressed.
        self.compressed = False
        self._rest = bytearray()  # the beginning of a frame, up to the end of its header
        self._need = 0  # bytes of it before it is worth another look: a look may be dear
        self._header: Buffer | None = None  # of the frame whose payloads are arriving
        self._sizes: list[int] = []
        self._payloads: list[Buffer] = []
        self._partial: bytearray | Filling | None = None  # a payload of which a part has arrived
        #: Makes room for what is large, so that it may be read to where it belongs.
        self.make_room: MakeRoom | None = None
        #: Where what comes next may be written, instead of being fed: tell `filled` then.
        self.vacancy: memoryview | None = None

    @property
    def between_frames(self) -> bool:
        """Whether the stream may end here without tearing a frame."""
        return not self._rest and self._header is None

    def feed(self, data: Buffer) -> list[Frame]:
        """The frames that `data` completes.

        Raises:
            RemoteProtocolError: a limit is exceeded. The decoder is of no more use.
        """
        self.vacancy = None
        if self._rest:
            self._rest += data
            if len(self._rest) < self._need:
                return []
            data = self._rest
        view = memoryview(data)
        frames: list[Frame] = []
        at = 0
        while True:
            if self._header is not None:
                at = self._take_payloads(view, at)
                if len(self._payloads) < len(self._sizes):
                    break
                frames.append((self._header, self._payloads))
                self._header, self._payloads = None, []  # who waits for the next keeps nothing
            at = self._take_header(view, at, frames)
            if self._header is None:
                break
        if at or data is not self._rest:
            # What is left came with `data`, so this copies no byte twice.
            self._rest = bytearray(view[at:])
        return frames

    def filled(self, nbytes: int) -> None:
        """So many bytes are in the vacancy: `feed` gives the frames that are complete with them."""
        if self._unpacking is not None:
            self._unpacking.came(nbytes)
        else:
            assert isinstance(self._partial, Filling)
            self._partial.came(nbytes)

    def _take_header(self, view: memoryview, at: int, frames: list[Frame]) -> int:
        """Take whole frames without payloads, up to the first header that has some."""
        end = len(view)
        header_bytes_max = self._limits.header_bytes_max
        while end - at >= _PREFIX.size:
            header_bytes, count = _PREFIX.unpack_from(view, at)
            if header_bytes > header_bytes_max:
                msg = f"a header of {header_bytes} bytes, limit {header_bytes_max}"
                raise RemoteProtocolError(msg)
            if count > self._limits.payloads_max:
                msg = f"{count} payloads in one frame, limit {self._limits.payloads_max}"
                raise RemoteProtocolError(msg)
            start = at + _PREFIX.size + _LENGTH_BYTES * count
            if start > end:
                self._need = start - at
                return at
            sizes: tuple[int, ...] = ()
            if count:
                sizes = struct.unpack_from(f"<{count}Q", view, at + _PREFIX.size)
                if max(sizes) > self._limits.payload_bytes_max:
                    self._check_sizes(sizes)
            if start + header_bytes > end:
                self._need = start + header_bytes - at
                return at
            at = start + header_bytes
            if not count:
                frames.append((view[start:at], []))
                continue
            self._header, self._sizes, self._payloads = bytes(view[start:at]), list(sizes), []
            return at
        self._need = _PREFIX.size
        return at

    def _check_sizes(self, sizes: tuple[int, ...]) -> None:
        limit = self._limits.payload_bytes_max
        # Elsewhere these bits are a length.
        flags = (_CARRIED if self._adopt else 0) | (_CHUNKED if self._undo else 0)
        largest = max(size & ~flags for size in sizes)
        if largest > limit:
            msg = f"a payload of {largest} bytes, limit {limit}"
            raise RemoteProtocolError(msg)

    def _take_payloads(self, view: memoryview, at: int) -> int:
        """Take what there is of the payloads of the present frame."""
        end = len(view)
        while len(self._payloads) < len(self._sizes):
            size = self._sizes[len(self._payloads)]
            if size & _CARRIED:
                assert self._adopt is not None  # it was checked
                self._payloads.append(self._adopt(size & ~_CARRIED))
                continue
            if size & _CHUNKED:
                at = self._take_chunks(view, at, size & ~_CHUNKED)
                if self._unpacking is not None:
                    break
                continue
            if self._partial is None:
                if end - at >= size:
                    self._payloads.append(bytes(view[at : at + size]))
                    at += size
                    continue
                self._partial = self._new(size)
            taken = min(size - len(self._partial), end - at)
            self._partial += view[at : at + taken]  # type: ignore[operator]
            at += taken
            left = size - len(self._partial)
            if left:
                if type(self._partial) is Filling:
                    self.vacancy = self._partial.vacancy(left)
                break
            self._payloads.append(_whole(self._partial))
            self._partial = None
        return at

    def _new(self, size: int) -> bytearray | Filling:
        """Where a payload of so many bytes is to be."""
        make = self.make_room if size >= ROOM_BYTES_MIN else None
        found = make(size) if make is not None else None
        return bytearray() if found is None else found

    def _take_chunks(self, view: memoryview, at: int, size: int) -> int:
        """Take what there is of a payload in chunks."""
        assert self._undo is not None  # it was checked
        unpacking = self._unpacking or Unpacking(size, self._undo, self._new(size))
        at = unpacking.take(view, at)
        self._unpacking = unpacking
        self.compressed = unpacking.compressed
        if unpacking.is_done:
            self._payloads.append(_whole(unpacking.whole))
            self._unpacking = None
        else:
            self.vacancy = unpacking.vacancy
        return at


def _whole(partial: bytearray | Filling) -> Buffer:
    """The payload, all of which has come."""
    return partial if isinstance(partial, bytearray) else partial.payload  # type: ignore[return-value]
