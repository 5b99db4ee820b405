"""Messages to bytes and back for one connection, without any I/O."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from operator import add
from typing import TYPE_CHECKING

from trio_dask.comm.framing import DEFAULT_LIMITS, FrameDecoder, Limits, frame, join
from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import Buffer, Handle, Message, decode, encode
from trio_dask.messages.session import Goodbye

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio_dask.comm.chunks import Undo


@dataclass(frozen=True, slots=True)
class Statistics:
    """What has gone through a connection so far, or several of them, and what waits.

    >>> (Statistics(bytes_in=3, reads=1) + Statistics(bytes_in=4, reads=1)).bytes_in
    7
    """

    bytes_in: int = 0
    bytes_out: int = 0
    messages_in: int = 0
    messages_out: int = 0
    reads: int = 0
    writes: int = 0
    queued_bytes: int = 0

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics(*map(add, astuple(self), astuple(other)))


class Link:
    """Both directions of one connection: messages to write, and bytes that were read.

    `goodbye` is the peer's reason for leaving, once it has said so; what follows its
    `Goodbye` in the stream is ignored.
    """

    __slots__ = (
        "_carries",
        "_chunks",
        "_limits",
        "_pieces",
        "bytes_in",
        "bytes_out",
        "decoder",
        "goodbye",
        "messages_in",
        "messages_out",
        "queued_bytes",
        "reads",
        "writes",
    )

    def __init__(
        self,
        limits: Limits = DEFAULT_LIMITS,
        adopt: Callable[[int], Handle] | None = None,
        undo: Undo | None = None,
        *,
        chunks: bool = False,
    ) -> None:
        """With `adopt` descriptors may go both ways; it gives one that has come.

        `undo` unpacks chunks that come; with `chunks` what is large is sent in those.
        """
        self._chunks = chunks
        self._limits = limits
        self._carries = adopt is not None
        self.decoder = FrameDecoder(limits, adopt, undo)
        self._pieces: list[Buffer] = []
        self.goodbye: str | None = None
        self.queued_bytes = 0  # queued or being written
        self.bytes_in = self.bytes_out = 0
        self.messages_in = self.messages_out = 0
        self.reads = self.writes = 0

    def queue(self, messages: Iterable[Message]) -> None:
        """Encode these messages as one frame, to be written after what is queued already.

        Raises:
            LocalProtocolError: they cannot be sent; nothing was queued.
        """
        batch = tuple(messages)
        header, payloads = encode(batch)
        pieces = frame(header, payloads, self._limits, carries=self._carries, chunks=self._chunks)
        self._pieces += pieces
        self.queued_bytes += len(pieces[0]) if len(pieces) == 1 else sum(map(len, pieces))
        self.messages_out += len(batch)

    def take(self) -> list[Buffer]:
        """Everything queued, to be written now; report it with `wrote`."""
        pieces = self._pieces
        if not pieces:
            return []  # not the list that the next ones go to: who waits for them would keep them
        self._pieces = []
        return join(pieces)

    def put_back(self, pieces: list[Buffer]) -> None:
        """The rest of what was taken; nothing was queued in between."""
        self._pieces = pieces

    @property
    def compressed(self) -> bool:
        """Whether what comes is more than it looks like."""
        return self.decoder.compressed

    def wrote(self, nbytes: int, sent: int | None = None) -> None:
        """That many bytes of what was taken have been handed to the transport, as `sent` bytes."""
        self.queued_bytes -= nbytes
        self.bytes_out += nbytes if sent is None else sent
        self.writes += 1

    def feed(self, data: Buffer) -> list[Message]:
        """The messages that `data` completes, in order, without the peer's `Goodbye`.

        Raises:
            RemoteProtocolError: the peer broke the rules.
        """
        self.reads += 1
        self.bytes_in += len(data)
        if self.goodbye is not None:
            return []
        frames = self.decoder.feed(data)
        if len(frames) == 1:
            messages = decode(*frames[0])
        else:
            messages = []
            for header, payloads in frames:
                messages += decode(header, payloads)
        self.messages_in += len(messages)
        for index, each in enumerate(messages):
            if type(each) is Goodbye:
                self.goodbye = each.reason
                return messages[:index]
        return messages

    def filled(self, nbytes: int) -> list[Message]:
        """The messages that are complete with what was written where the decoder has room.

        Raises:
            RemoteProtocolError: the peer broke the rules.
        """
        self.bytes_in += nbytes
        self.decoder.filled(nbytes)
        return self.feed(b"")

    def end(self) -> None:
        """The stream has ended.

        Raises:
            RemoteProtocolError: in the middle of a frame.
        """
        if self.goodbye is None and not self.decoder.between_frames:
            msg = "the stream ended in the middle of a frame"
            raise RemoteProtocolError(msg)

    def clear(self) -> None:
        """The connection has ended: keep nothing of what was to be said, or has come in part."""
        self._pieces = []
        self.decoder = FrameDecoder(self._limits)

    def statistics(self) -> Statistics:
        """What has gone through so far."""
        return Statistics(
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            messages_in=self.messages_in,
            messages_out=self.messages_out,
            reads=self.reads,
            writes=self.writes,
            queued_bytes=self.queued_bytes,
        )
