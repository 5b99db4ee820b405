"""Values in files on disk, for want of memory: without a name, so that they go with their last reader.

Each has a file of its own as long as there are descriptors for that; then several share one.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Final
from weakref import ref

from trio_dask.messages import Handle, Part, payload_bytes
from trio_dask.messages.sealing import FILE_BYTES_MIN
from trio_dask.store.holes import BLOCK
from trio_dask.store.segments import Segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio_dask.messages import Buffer, Payload

#: So much is written with one call.
_PART_BYTES: Final = 8 << 20
_UNNAMED: Final = getattr(os, "O_TMPFILE", None)
#: So many bytes are in a file that is shared; it takes no more of the disk than was written.
_SHARED_BYTES: Final = 1 << 30


def write_file(directory: str, payload: Payload) -> Segment:
    """The value in a file of its own, which nobody else can find.

    Blocks for as long as the disk takes. Memory files are copied by the kernel, and never
    looked into.

    Raises:
        OSError: there is no room, or no such directory.
    """
    fd = _new_file(directory)
    try:
        _put(fd, payload)
    except BaseException:
        os.close(fd)
        raise
    return Segment(fd, payload_bytes(payload))


class Common(Segment):
    """A file that many values are in."""

    __slots__ = ()


class SharedFile:
    """A file that values are added to. When it has enough there is another one.

    Values are parts of it, of which the last one takes it along.

    Args:
        directory: where.
        size: bytes of one file; a value that is larger has one of its own.
    """

    __slots__ = ("_at", "_directory", "_last", "_size")

    def __init__(self, directory: str, size: int = _SHARED_BYTES) -> None:
        self._directory: Final = directory
        self._size: Final = size
        self._last: Callable[[], Common | None] = lambda: None
        self._at = 0

    def write(self, payload: Payload) -> tuple[Common, int]:
        """Add some bytes: the file, and where in it they begin. Blocks as `write_file` does.

        Raises:
            OSError: there is no room, or no such directory.
        """
        nbytes = payload_bytes(payload)
        whole = self._last()
        if whole is None or self._at + nbytes > whole.nbytes:
            fd = _new_file(self._directory)
            whole = Common(fd, max(nbytes, self._size))
            os.ftruncate(fd, whole.nbytes)
            self._last, self._at = ref(whole), 0
        os.lseek(whole.fd, self._at, os.SEEK_SET)  # one that failed may have gone further
        _put(whole.fd, payload)
        at, self._at = self._at, self._at + nbytes
        if nbytes >= FILE_BYTES_MIN:  # the disk is given places back by blocks
            self._at = -(-self._at // BLOCK) * BLOCK
        return whole, at


def _put(fd: int, payload: Payload) -> None:
    """Write a value where the file is."""
    if isinstance(payload, Handle):
        _copy(payload, fd)
    else:
        _write(fd, payload if isinstance(payload, list) else [payload])


def _new_file(directory: str) -> int:
    if _UNNAMED is not None:
        with contextlib.suppress(OSError):  # not every file system has files without names
            return os.open(directory, _UNNAMED | os.O_RDWR | os.O_CLOEXEC, 0o600)
    import tempfile

    fd, path = tempfile.mkstemp(prefix="value-", dir=directory)
    os.unlink(path)  # noqa: PTH108 - it has a descriptor, no Path
    return fd


def _copy(handle: Handle, fd: int) -> None:
    at, end = 0, handle.nbytes
    if isinstance(handle, Part):
        at, end, handle = handle.at, handle.at + handle.nbytes, handle.whole
    while at < end:
        count = min(_PART_BYTES, end - at)
        if sys.platform == "linux":
            sent = os.sendfile(fd, handle.fd, at, count)
        else:  # pragma: no cover - elsewhere only to sockets
            sent = os.write(fd, handle.read(at, count))
        if not sent:
            msg = "a value that has become shorter"
            raise OSError(msg)
        at += sent


def _write(fd: int, pieces: Iterable[Buffer]) -> None:
    for piece in pieces:
        with memoryview(piece) as view, view.cast("B") as whole:
            at = 0
            while at < len(whole):
                with whole[at : at + _PART_BYTES] as part:
                    at += os.write(fd, part)
