"""Memory files: how they are made, sealed, checked, and passed on."""

from __future__ import annotations

import _socket  # `socket` takes long to load, and is about more
import array
import contextlib
import fcntl
import functools
import os
import stat
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import Handle
from trio_dask.store.holes import Holes
from trio_dask.store.punching import punch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio_dask.store.loans import Loan

#: Room for the descriptors that one read may bring, in bytes of what goes beside the data.
DESCRIPTORS_MAX: Final = 253 * array.array("i").itemsize + 64

_SOL_SOCKET: Final = _socket.SOL_SOCKET
_SCM_RIGHTS: Final = getattr(_socket, "SCM_RIGHTS", 1)
#: Whoever maps a file that can become shorter can be killed by it.
_SEALS: Final = getattr(fcntl, "F_SEAL_SHRINK", 0x2) | getattr(fcntl, "F_SEAL_GROW", 0x4)
#: Who has mapped it before may still write, nobody else may.
_FUTURE_WRITE: Final = 0x10
_GET_SEALS: Final[int | None] = getattr(fcntl, "F_GET_SEALS", None)


class Segment(Handle):
    """A value in a memory file, or in a file; the descriptor is closed with this object."""

    __slots__ = ("__weakref__", "_gone", "_holes", "_owned", "_shed", "loan", "shared")

    def __init__(
        self,
        fd: int,
        nbytes: int,
        *,
        owned: bool = True,
        gone: Callable[[bool], object] | None = None,
    ) -> None:
        """With `owned` the descriptor is closed at the end; `gone` is called then, with `shared`."""
        self.fd = fd
        self.nbytes = nbytes
        self._owned = owned
        self._gone = gone
        self._holes: Holes | None = None  # of a file of which something was shed
        self._shed: deque[tuple[int, int]] | None = None
        #: Whether somebody may read it of whom we will not hear that he has done.
        self.shared = False
        #: Where it is noted who reads it in other processes, if its maker wants to know.
        self.loan: Loan | None = None

    def __repr__(self) -> str:
        return f"<Segment of {self.nbytes} bytes>"

    def on_gone(self, call: Callable[[bool], object] | None) -> None:
        """Have something called at the end, by whatever thread and at whatever moment."""
        self._gone = call

    def read(self, at: int, nbytes: int) -> bytes:
        """Some of its bytes.

        Raises:
            OSError: they are not there any more.
        """
        parts = []
        while nbytes:
            part = os.pread(self.fd, nbytes, at)
            if not part:
                msg = "a value that has become shorter"
                raise OSError(msg)
            parts.append(part)
            at, nbytes = at + len(part), nbytes - len(part)
        return b"".join(parts)

    def shed(self, at: int, nbytes: int) -> None:
        """Nobody reads these bytes any more: their place on the disk is given back in due time."""
        if self._shed is None:
            self._holes, self._shed = Holes(self.nbytes), deque()
        shed, holes = self._shed, self._holes
        shed.append((at, nbytes))
        if holes is None or not holes.busy.acquire(blocking=False):
            return  # whoever is at it takes this along, or the next one does
        try:
            while shed:
                for start, end in holes.add(*shed.popleft()):
                    if not punch(self.fd, start, end - start):
                        self._holes = None
                        return
        finally:
            holes.busy.release()

    def check(self) -> None:
        """Whether it is what it claims to be; peers run users' code.

        Raises:
            RemoteProtocolError: it is no memory file, or can become shorter.
        """
        try:
            status = os.fstat(self.fd)
            fits = stat.S_ISREG(status.st_mode) and status.st_size >= self.nbytes
            if fits and _GET_SEALS is not None and status.st_dev == _memory_device():
                # Files on disk have no seals; whoever writes one can make a reader of the same
                # user fail, which it could do anyway.
                fits = fcntl.fcntl(self.fd, _GET_SEALS) & _SEALS == _SEALS
        except OSError as error:
            msg = f"a value behind a descriptor that cannot be used: {error}"
            raise RemoteProtocolError(msg) from error
        if not fits:
            msg = f"a descriptor that is no value of {self.nbytes} bytes"
            raise RemoteProtocolError(msg)

    def __del__(self, _close: Callable[[int], None] = os.close) -> None:
        if self._owned and self.fd >= 0:
            with contextlib.suppress(OSError):
                _close(self.fd)
        if self._gone is not None:
            self._gone(self.shared)


@functools.cache
def _memory_device() -> int:
    """Where memory files are, as opposed to those of file systems that somebody has mounted."""
    if not hasattr(os, "memfd_create"):  # pragma: no cover - macOS
        return -1
    fd = os.memfd_create("trio-dask-device", os.MFD_CLOEXEC)
    try:
        return os.fstat(fd).st_dev
    finally:
        os.close(fd)


def new_file(size: int) -> int:
    """The descriptor of a new memory file; an unlinked file where there are none.

    Raises:
        OSError: there are too many, or there is no room.
    """
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("trio-dask-value", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:  # pragma: no cover - macOS
        import tempfile

        fd, path = tempfile.mkstemp(prefix="trio-dask-value-")
        os.unlink(path)  # noqa: PTH108 - it has a descriptor, no Path
    try:
        os.ftruncate(fd, size)
    except OSError:
        os.close(fd)
        raise
    return fd


def seal(fd: int) -> None:
    """From now on nobody changes its size, and nobody who has not mapped it yet its bytes."""
    add = getattr(fcntl, "F_ADD_SEALS", None)
    if add is None:  # pragma: no cover - macOS
        return
    try:
        fcntl.fcntl(fd, add, _SEALS | _FUTURE_WRITE)
    except OSError:  # kernels before 5.1 do not know the last one
        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, add, _SEALS)


def rights(handles: Iterable[Handle]) -> tuple[int, int, bytes]:
    """What is sent beside the data so that these descriptors arrive."""
    return (_SOL_SOCKET, _SCM_RIGHTS, array.array("i", [each.fd for each in handles]).tobytes())


def descriptors_in(ancillary: Iterable[tuple[int, int, bytes]]) -> list[int]:
    """The descriptors that came beside some data."""
    found: Any = array.array("i")
    for level, kind, data in ancillary:
        if level == _SOL_SOCKET and kind == _SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return list(found)
