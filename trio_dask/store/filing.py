"""Values in files on disk, for want of memory: without a name, so that they go with their last reader."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Final

from trio_dask.messages import Handle, payload_bytes
from trio_dask.store.segments import Segment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.messages import Buffer, Payload

#: So much is written with one call.
_PART_BYTES: Final = 8 << 20
_UNNAMED: Final = getattr(os, "O_TMPFILE", None)


def write_file(directory: str, payload: Payload) -> Segment:
    """The value in a file of its own, which nobody else can find.

    Blocks for as long as the disk takes. Memory files are copied by the kernel, and never
    looked into.

    Raises:
        OSError: there is no room, or no such directory.
    """
    fd = _new_file(directory)
    try:
        if isinstance(payload, Handle):
            _copy(payload, fd)
        else:
            write_pieces(fd, payload if isinstance(payload, list) else [payload])
    except BaseException:
        os.close(fd)
        raise
    return Segment(fd, payload_bytes(payload))


def _new_file(directory: str) -> int:
    if _UNNAMED is not None:
        with contextlib.suppress(OSError):  # not every file system has files without names
            return os.open(directory, _UNNAMED | os.O_RDWR | os.O_CLOEXEC, 0o600)
    import tempfile

    fd, path = tempfile.mkstemp(prefix="value-", dir=directory)
    os.unlink(path)  # noqa: PTH108 - it has a descriptor, no Path
    return fd


def _copy(handle: Handle, fd: int) -> None:
    at = 0
    while at < handle.nbytes:
        count = min(_PART_BYTES, handle.nbytes - at)
        if sys.platform == "linux":
            sent = os.sendfile(fd, handle.fd, at, count)
        else:  # pragma: no cover - elsewhere only to sockets
            sent = os.write(fd, handle.read(at, count))
        if not sent:
            msg = "a value that has become shorter"
            raise OSError(msg)
        at += sent


def write_pieces(fd: int, pieces: Iterable[Buffer]) -> None:
    """Write pieces one after the other, from the beginning of a new file on.

    Raises:
        OSError: there is no room.
    """
    for piece in pieces:
        with memoryview(piece) as view, view.cast("B") as whole:
            at = 0
            while at < len(whole):
                with whole[at : at + _PART_BYTES] as part:
                    at += os.write(fd, part)
