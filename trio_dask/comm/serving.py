"""Serving: every peer that proves to hold the token gets a connection and a task of its own."""

from __future__ import annotations

import errno
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import trio

from trio_dask.comm.addresses import parse_address
from trio_dask.comm.connection import Connection
from trio_dask.comm.dialing import shake_hands
from trio_dask.comm.framing import DEFAULT_LIMITS, Limits
from trio_dask.comm.handshake import Handshake
from trio_dask.comm.identity import local_hello
from trio_dask.comm.listening import Secured
from trio_dask.comm.refusals import Refusals
from trio_dask.comm.sockets import address_of
from trio_dask.comm.stream import SocketByteStream, adopt
from trio_dask.comm.tls import tls_of
from trio_dask.comm.tls_stream import TlsStream, encrypt
from trio_dask.errors import AuthenticationError, CommError, PeerClosed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_dask.comm.auth import Keys
    from trio_dask.comm.listening import Listener

HANDSHAKE_S: Final = 10.0
UNAUTHENTICATED_MAX: Final = 1024
#: How long accepting rests when the system is out of descriptors or memory.
_EXHAUSTED_REST_S: Final = 0.1
_EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}

logger: Final = logging.getLogger("trio_dask.comm")


async def serve(
    listener: Listener,
    *,
    keys: Keys,
    role: str,
    handler: Callable[[Connection], Awaitable[None]],
    limits: Limits = DEFAULT_LIMITS,
    task_status: trio.TaskStatus[Listener] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Accept peers until cancelled, and run `handler` for each that authenticates.

    A peer that fails to, or whose connection breaks, is dropped with a line in the log;
    any other exception of a handler is a fault of ours and ends it all. Closes the listener.
    """
    async with listener, trio.open_nursery() as peers:
        for address in listener.addresses:
            tls_of(keys, parse_address(address, default_port=0))
        door = _Door(keys, role, handler, limits)
        for each in listener.accepting:
            peers.start_soon(door.accept_from, each, peers)
        task_status.started(listener)


@dataclass(slots=True, eq=False)
class _Door:
    keys: Keys
    role: str
    handler: Callable[[Connection], Awaitable[None]]
    limits: Limits
    #: Peers that have not proved anything yet, the oldest first.
    strangers: dict[trio.CancelScope, None] = field(default_factory=dict)
    refusals: Refusals = field(default_factory=Refusals)

    async def accept_from(
        self, accepting: trio.abc.Listener[trio.abc.Stream], peers: trio.Nursery
    ) -> None:
        exhausted = False
        while True:
            try:
                stream = await accepting.accept()
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                if not exhausted:
                    logger.warning("accepts no connections for now: %s", error.strerror)
                exhausted = True
                await trio.sleep(_EXHAUSTED_REST_S)
                continue
            if exhausted:
                exhausted = False
                logger.info("accepts connections again")
            if isinstance(stream, trio.SocketStream):
                try:
                    stream = adopt(stream)
                except OSError as error:
                    logger.info("somebody left at once: %s", error.strerror)
                    continue
            peers.start_soon(self.serve_one, stream, isinstance(accepting, Secured))

    async def serve_one(self, stream: trio.abc.Stream, secured: bool = False) -> None:  # noqa: FBT001, FBT002 - a task's argument
        remote = _remote_of(stream)
        try:
            try:
                connection = await self.authenticate(stream, remote, secured=secured)
            except CommError as refusal:
                self.refuse(remote, refusal)
                return
            if connection is not None:
                await self.handler(connection)
        except* CommError as group:
            error = _first(group)
            level = logging.INFO if isinstance(error, PeerClosed) else logging.WARNING
            logger.log(level, "dropped %s: %s", remote, error)
        finally:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)

    async def authenticate(
        self, stream: trio.abc.Stream, remote: str, *, secured: bool
    ) -> Connection | None:
        """The connection with a peer that holds the token, None if its time was up."""
        if len(self.strangers) >= UNAUTHENTICATED_MAX:
            # The oldest has had the most time: one of us needs a few milliseconds.
            oldest = next(iter(self.strangers))
            del self.strangers[oldest]
            oldest.cancel("too many unauthenticated connections")
        with trio.move_on_after(HANDSHAKE_S) as scope:
            self.strangers[scope] = None
            try:
                hold_s = self.refusals.hold_s(_host_of(remote), trio.current_time())
                if hold_s:
                    await trio.sleep(hold_s)
                binding = b""
                if secured:
                    stream, binding = await self.encrypt(stream)
                handshake = Handshake(
                    local_hello(self.role), self.keys, connecting=False, binding=binding
                )
                peer = await shake_hands(stream, handshake)
            finally:
                self.strangers.pop(scope, None)
            self.refusals.forgive(_host_of(remote))
            return Connection(
                stream,
                peer,
                local_address=_local_of(stream),
                remote_address=remote,
                limits=self.limits,
            )
        late = "it did not authenticate in time"
        if scope.deadline > trio.current_time():
            late = "too many connections wait to authenticate, and it was the oldest"
        self.refuse(remote, AuthenticationError(late))
        return None

    def refuse(self, remote: str, error: CommError) -> None:
        """Say that somebody did not get in; of very many, only how many there were."""
        now = trio.current_time()
        unsaid = self.refusals.unsaid(now)
        if unsaid:
            logger.warning("dropped %d more that did not authenticate", unsaid)
        if self.refusals.note(_host_of(remote), now):
            level = logging.INFO if isinstance(error, PeerClosed) else logging.WARNING
            logger.log(level, "dropped %s: %s", remote, error)

    async def encrypt(self, stream: trio.abc.Stream) -> tuple[trio.abc.Stream, bytes]:
        """The same stream with TLS on it, and what ties proofs to it: our certificate's digest."""
        assert self.keys.tls is not None  # `serve` has looked
        side = self.keys.tls.accepting()
        made, _ = await encrypt(stream, side.context)
        return made, side.binding


def _remote_of(stream: trio.abc.Stream) -> str:
    if not isinstance(stream, SocketByteStream):
        return "memory://"
    try:
        return address_of(stream.socket.getpeername())
    except OSError:
        return "somebody who left at once"


def _host_of(remote: str) -> str:
    """The host of an address, as it is counted."""
    return remote.rpartition(":")[0]


def _local_of(stream: trio.abc.Stream) -> str:
    if isinstance(stream, TlsStream):
        stream = stream.transport
    if not isinstance(stream, SocketByteStream):
        return "memory://"
    return address_of(stream.socket.getsockname())


def _first(group: BaseExceptionGroup[CommError]) -> CommError:
    """One of the errors in a group: they have one cause, the connection's end."""
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
