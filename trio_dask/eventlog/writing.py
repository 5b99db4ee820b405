"""Writing a log: a little memory on the hot path, the file now and then."""

from __future__ import annotations

import errno
import io
import logging
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import trio_dask
from trio_dask.comm import Limits, frame
from trio_dask.errors import LocalProtocolError
from trio_dask.eventlog.blanks import blanked, sizes
from trio_dask.messages import encode, recorded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_dask.messages import Buffer, Message, Payload

logger: Final = logging.getLogger("trio_dask.eventlog")

MAGIC: Final = b"trio-dask events\n"
#: What was said fitted into a frame; with the lengths of its byte strings it may be longer.
LIMITS: Final = Limits(header_bytes_max=1 << 30)
CHECKSUM_BYTES: Final = 4
#: So much is kept in memory until the next tick.
_BUFFER_BYTES_MAX: Final = 256 * 1024
_NUMBERS_MAX: Final = 10_000


class EventLog:
    """A log that is being written. Whatever goes wrong ends the log, and nothing else."""

    def __init__(self, file: io.RawIOBase, path: str, recording: recorded.Recording) -> None:
        self._file: io.RawIOBase | None = file
        self._pieces: list[Buffer] = []
        self._nbytes = 0
        self._now = 0.0
        self.path: Final = path
        self._keep(MAGIC)
        self._add([recording])
        self.write_out()

    @property
    def open(self) -> bool:
        """Whether there is any use in telling it more."""
        return self._file is not None

    def tell(
        self,
        what: str,
        who: int,
        message: Message | None = None,
        *,
        number: int = 0,
        now: float | None = None,
    ) -> None:
        """A core is about to be told this, or has just said what has this digest."""
        if self._file is None:
            return
        if now is not None:
            self._now = now
        if message is None:
            self._add([recorded.Event(what, who, number, self._now, [])])
        else:
            event = recorded.Event(what, who, number, self._now, sizes(message))
            self._add([event, blanked(message)])
        if self._nbytes > _BUFFER_BYTES_MAX:
            self.write_out()

    def write_out(self) -> None:
        """Hand everything over to the system; it is not waited until a disk has it."""
        if self._file is None or not self._pieces:
            return
        rest = memoryview(b"".join(self._pieces))
        self._pieces, self._nbytes = [], 0
        try:
            while rest:
                rest = rest[self._file.write(rest) or 0 :]
        except OSError as error:
            self._give_up(error.strerror or str(error))

    def close(self) -> None:
        """There is no more to come."""
        self.write_out()
        if self._file is not None:
            file, self._file = self._file, None
            try:
                file.close()
            except OSError as error:
                logger.warning("The event log %s may not be whole: %s", self.path, error.strerror)

    def _add(self, messages: list[Message]) -> None:
        try:
            header, payloads = encode(messages)
            checksum: Payload = crc32(header).to_bytes(CHECKSUM_BYTES, "little")
            for piece in frame(header, [*payloads, checksum], LIMITS):
                self._keep(piece)
        except LocalProtocolError as error:
            self.write_out()
            self._give_up(str(error))

    def _keep(self, piece: Buffer) -> None:
        self._pieces.append(piece)
        self._nbytes += len(piece)

    def _give_up(self, why: str) -> None:
        if self._file is None:
            return
        logger.warning("The event log %s ends here: %s", self.path, why)
        file, self._file = self._file, None
        self._pieces, self._nbytes = [], 0
        with suppress(OSError):  # why it ended has been said
            file.close()


@contextmanager
def open_event_log(
    path: str, role: str, settings: dict[str, Any], *, cluster: str = "", epoch: int = 0
) -> Iterator[EventLog]:
    """A log until the block ends, for its owner's eyes only.

    A file that is there stays as it is, as it may be the one that tells why the process
    before this one ended: the log is then called `path` with the next free number behind it.

    Raises:
        OSError: it cannot be made.
    """
    version = trio_dask.__version__
    descriptor, name = _create(Path(path).expanduser())
    logger.info("Event log:   %s", name)
    log = EventLog(
        io.FileIO(descriptor, "w"),
        name,
        recorded.Recording(recorded.FORMAT, version, role, cluster, epoch, settings),
    )
    try:
        yield log
    finally:
        log.close()


def _create(path: Path) -> tuple[int, str]:
    names = (f"{path}.{number}" if number else str(path) for number in range(_NUMBERS_MAX))
    for name in names:
        with suppress(FileExistsError):
            return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), name
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
