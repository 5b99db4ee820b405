"""What both kinds of connection have in common: everything but the I/O."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Final

from trio_dask.comm.compression import Packer, is_same_host, undo
from trio_dask.comm.framing import DEFAULT_LIMITS, KIB, MIB, Limits
from trio_dask.comm.link import Link, Statistics
from trio_dask.errors import CommError, PeerClosed, RemoteProtocolError
from trio_dask.messages.session import Goodbye

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.comm.compression import Agreed
    from trio_dask.comm.filling import MakeRoom
    from trio_dask.comm.handshake import Hello
    from trio_dask.messages import Buffer, Handle, Message

#: How much is read at once. A large buffer costs 12 µs more than a small one, whatever
#: arrives in it, so only a read that filled the small one is followed by large ones.
RECEIVE_BYTES: Final = 64 * KIB
RECEIVE_MORE_BYTES: Final = MIB
#: How long a farewell may take: what is queued, the goodbye, and the peer's end of stream.
FAREWELL_S: Final = 2.0


class Conversation(abc.ABC):
    """The state of a connection: what waits to be written, and how it ended.

    The shells add three things: waking the writer, ending now, and ending soon.
    """

    def __init__(
        self,
        peer: Hello,
        *,
        local_address: str = "",
        remote_address: str = "",
        limits: Limits = DEFAULT_LIMITS,
        adopt: Callable[[int], Handle] | None = None,
        agreed: Agreed | None = None,
    ) -> None:
        """`agreed`: how values may be compressed on their way; None on one host."""
        self.peer: Final = peer
        self.local_address: Final = local_address
        self.remote_address: Final = remote_address
        self._limits: Final = limits
        # Lines on one host are not measured: what takes time there is something else.
        packs = agreed is not None and (
            agreed.forced or not is_same_host(local_address, remote_address)
        )
        #: How what is large is sent; None: as it is.
        self._packer: Final = Packer(agreed) if agreed is not None and packs else None
        self._link: Final = Link(
            limits, adopt, undo(agreed) if agreed is not None else None, chunks=packs
        )
        #: Whether values may go as descriptors, because both ends are on one host.
        self.near: Final = adopt is not None
        self._outcome: str | Exception | None = None  # the first one counts
        self._receive_bytes = RECEIVE_BYTES
        self._write_error: Exception | None = None
        self._started = False
        self._parting = False  # nothing more is queued; messages that arrive are dropped

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {self._peer_name}>"

    def make_room_by(self, make_room: MakeRoom) -> None:
        """Have large payloads that come put where this says, to be told before `run`."""
        self._link.decoder.make_room = make_room

    @property
    def _peer_name(self) -> str:
        return f"{self.peer.role} at {self.remote_address}"

    @property
    def queued_bytes(self) -> int:
        """How much has been sent here and is not yet with the transport."""
        return self._link.queued_bytes

    def statistics(self) -> Statistics:
        """What has gone through so far."""
        return self._link.statistics()

    def send(self, *messages: Message) -> None:
        """Queue messages, as one frame. Never blocks; after the end it does nothing.

        Payloads are not copied: leave them alone until they are written.

        A peer that has left more than `Limits.outbox_bytes_max` unread is cut off:
        the next message to it ends the connection.

        Raises:
            LocalProtocolError: a message cannot be sent; nothing was queued.
        """
        if self._parting:
            return
        waiting = self._link.queued_bytes
        if waiting > self._limits.outbox_bytes_max:
            self.cut(f"{self._peer_name} does not read: {waiting} bytes wait for it")
            return
        self._link.queue(messages)
        self._wake()

    def close(self, reason: str) -> None:
        """Say goodbye after what is queued, then end `run`. Takes two seconds at most.

        Messages that arrive in the meantime are dropped.
        """
        self._part(reason, farewell=reason)

    def cut(self, reason: str) -> None:
        """End `run` now, without farewell; it raises `CommError` with this reason."""
        self._settle(CommError(reason))
        self._parting = True
        self._stop()

    def _part(self, outcome: str | Exception, *, farewell: str) -> None:
        if self._parting:
            return
        self._settle(outcome)
        self._link.queue([Goodbye(farewell)])
        self._parting = True
        self._wake()
        self._stop_soon()

    def _start(self) -> None:
        """A connection runs once: after that its stream may hold a torn frame.

        Raises:
            RuntimeError: it has run.
        """
        if self._started:
            msg = f"{self!r} has run already"
            raise RuntimeError(msg)
        self._started = True

    def _settle(self, outcome: str | Exception) -> None:
        if self._outcome is None:
            self._outcome = outcome

    def _on_data(self, data: Buffer) -> list[Message]:
        """The messages in what was read; what breaks the rules starts the farewell."""
        self._receive_bytes = (
            RECEIVE_BYTES
            if len(data) < self._receive_bytes or self._link.compressed
            else RECEIVE_MORE_BYTES
        )
        if self._parting:
            return []
        try:
            messages = self._link.feed(data)
        except RemoteProtocolError as error:
            return self._broke_off(error)
        if self._link.goodbye is not None:
            self._settle(self._link.goodbye)
        return messages

    def _on_filled(self, nbytes: int) -> list[Message]:
        """The same for what was read to where it belongs."""
        self._receive_bytes = RECEIVE_BYTES
        if self._parting:
            return []
        try:
            messages = self._link.filled(nbytes)
        except RemoteProtocolError as error:
            return self._broke_off(error)
        if self._link.goodbye is not None:
            self._settle(self._link.goodbye)
        return messages

    def _broke_off(self, error: RemoteProtocolError) -> list[Message]:
        error.add_note(f"from {self._peer_name}")
        self._part(_bare(error), farewell=f"protocol error: {error}")
        return []

    def _on_end(self) -> None:
        """The peer sends nothing more."""
        try:
            self._link.end()
        except RemoteProtocolError as error:
            self._settle(PeerClosed(f"{self._peer_name}: {error}"))
        self._settle(PeerClosed(f"{self._peer_name} closed the connection without a goodbye"))

    def _on_broken(self, error: Exception) -> None:
        """The transport does not work any more."""
        cause = _bare(error).__cause__ or error
        lost = PeerClosed(f"the connection with {self._peer_name} is lost: {cause}")
        lost.__cause__ = error
        self._settle(lost)

    def _on_write_broken(self, error: Exception) -> None:
        """Nothing can be written any more.

        The peer's last words may still be there to be read, so the reader decides how
        this ends, but it does not wait for ever.
        """
        self._write_error = _bare(error)
        self._stop_soon()

    def _over(self) -> None:
        """Nothing more is said or heard. Who still knows the connection keeps no values by it."""
        self._parting = True
        self._link.clear()

    def _result(self, failure: list[Exception]) -> str:
        """What `run` gives back or raises: first of all what has gone wrong with a message."""
        if failure:
            raise failure.pop()
        if self._write_error is not None:
            self._on_broken(self._write_error)
        # Who raises an error must not refer to it, else its frames live until somebody
        # collects garbage, with all that was in them.
        outcome, self._outcome = self._outcome, None
        try:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome or ""
        finally:
            del outcome

    @abc.abstractmethod
    async def drained(self, below_bytes: int = 0) -> None:
        """Wait until no more than that is queued, or the connection has ended.

        For whoever sends much: `send` itself never waits.
        """

    @abc.abstractmethod
    def _wake(self) -> None:
        """Let the writer look at what is queued."""

    @abc.abstractmethod
    def _stop(self) -> None:
        """End `run` now."""

    @abc.abstractmethod
    def _stop_soon(self) -> None:
        """End `run` when the farewell has taken `FAREWELL_S`."""


def _bare(error: Exception) -> Exception:
    """The error without the frames that it came through: they have what was being said, or heard."""
    each: BaseException | None = error
    while each is not None:
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
    return error
