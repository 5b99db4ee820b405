"""Reading a log, a piece at a time, without believing a word of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from zlib import crc32

from trio_dask.comm import FrameDecoder
from trio_dask.errors import RemoteProtocolError
from trio_dask.eventlog.blanks import filled
from trio_dask.eventlog.writing import CHECKSUM_BYTES, LIMITS, MAGIC
from trio_dask.messages import decode, recorded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from trio_dask.messages import Buffer, Message

_PIECE_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Record:
    """An event by its number in the log, from 1, and the message that came with it."""

    number: int
    event: recorded.Event
    message: Message | None


class LogReader:
    """The events of a log. `recording` says whose it is, `torn` how many bytes at its end are of no use."""

    def __init__(self, file: BinaryIO) -> None:
        """Read the beginning.

        Raises:
            RemoteProtocolError: it is no event log, or not one of this version.
        """
        self._file = file
        self._decoder = FrameDecoder(LIMITS)
        self._whole = 0  # bytes up to the end of the last whole frame
        self.nbytes = 0  # read so far
        self.torn = 0
        if self._read(len(MAGIC)) != MAGIC:
            raise RemoteProtocolError("this is no event log")
        self._frames = self._read_frames()
        self._number = 0
        first = next(self._frames, None)
        if first is None or len(first) != 1 or not isinstance(first[0], recorded.Recording):
            raise RemoteProtocolError("an event log without its beginning")
        self.recording = first[0]
        if self.recording.format != recorded.FORMAT:
            msg = f"an event log of format {self.recording.format}; this version reads {recorded.FORMAT}"
            raise RemoteProtocolError(msg)

    @property
    def position(self) -> int:
        """The byte at which the present event begins."""
        return len(MAGIC) + self._whole

    def __iter__(self) -> Iterator[Record]:
        """All events.

        Raises:
            RemoteProtocolError: the log is damaged. A last frame that was torn when the
                process ended is no damage.
        """
        for messages in self._frames:
            event = messages[0]
            if not isinstance(event, recorded.Event) or len(messages) > 2:
                raise self._damage("it is no event")
            message = None
            if len(messages) == 2:
                try:
                    message = filled(messages[1], event.sizes)
                except RemoteProtocolError as error:
                    raise self._damage(str(error)) from error
            yield Record(self._number, event, message)

    def _read(self, nbytes: int) -> bytes:
        piece = self._file.read(nbytes)
        self.nbytes += len(piece)
        return piece

    def _read_frames(self) -> Iterator[list[Message]]:
        self._number = -1  # the first frame is the beginning, and no event
        step = _PIECE_BYTES
        while piece := self._read(step):
            try:
                frames = self._decoder.feed(piece)
            except RemoteProtocolError as error:
                if step == 1:
                    self._number += 1
                    raise self._damage(str(error)) from error
                # Once more, slowly: the frames before the bad one are good.
                self._decoder, step = FrameDecoder(LIMITS), 1
                self.nbytes = self._file.seek(self.position)
                continue
            for header, payloads in frames:
                self._number += 1
                nbytes = 8 + 8 * len(payloads) + len(header) + sum(map(len, payloads))
                yield self._messages(header, payloads)
                self._whole += nbytes
        self.torn = self.nbytes - self.position

    def _messages(self, header: Buffer, payloads: list[Buffer]) -> list[Message]:
        expected = crc32(header).to_bytes(CHECKSUM_BYTES, "little")
        if not payloads or payloads.pop() != expected:
            raise self._damage("its checksum is wrong")
        try:
            messages = decode(header, payloads)
        except RemoteProtocolError as error:
            raise self._damage(str(error)) from error
        if not messages:
            raise self._damage("it is empty")
        return messages

    def _damage(self, why: str) -> RemoteProtocolError:
        where = f"event {self._number}, at byte {self.position},"
        return RemoteProtocolError(f"{where} is damaged: {why}")
