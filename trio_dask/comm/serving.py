"""Serving: every peer that proves to hold the token gets a connection and a task of its own."""

from __future__ import annotations

import errno
import logging
import math
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import trio

from trio_dask.comm.addresses import parse_address
from trio_dask.comm.compression import NONE, agree
from trio_dask.comm.connection import Connection
from trio_dask.comm.dialing import shake_hands
from trio_dask.comm.framing import DEFAULT_LIMITS, Limits
from trio_dask.comm.handshake import Handshake, Hello
from trio_dask.comm.identity import local_hello
from trio_dask.comm.listening import Secured, accept_socket, is_at_socket
from trio_dask.comm.refusals import Refusals
from trio_dask.comm.sockets import address_of, set_options
from trio_dask.comm.stream import DescriptorStream, SocketByteStream, taken_over
from trio_dask.comm.tls import tls_of
from trio_dask.comm.tls_stream import TlsStream, encrypt
from trio_dask.comm.waiting_room import Waiting, WaitingRoom, read_what_is_left
from trio_dask.errors import AuthenticationError, CommError, PeerClosed
from trio_dask.messages.session import WORKER

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from trio_dask.comm.auth import Keys
    from trio_dask.comm.listening import Listener

HANDSHAKE_S: Final = 10.0
UNAUTHENTICATED_MAX: Final = 1024
#: So many have a task each; others are looked at together.
CROWD: Final = 128
#: How long accepting rests when the system is out of descriptors or memory.
_EXHAUSTED_REST_S: Final = 0.1
#: Where strangers wait together, accepting rests so long, and then goes on for so long.
_REST_S: Final = 0.1
_BURST_S: Final = 0.005
_CROWDED: Final = "too many connections wait to authenticate, and it was the oldest"
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
        door = _Door(keys, role, handler, limits, peers)
        peers.start_soon(door.room.watch)
        for each in listener.accepting:
            peers.start_soon(door.accept_from, each)
        task_status.started(listener)


@dataclass(slots=True, eq=False)
class _Door:
    keys: Keys
    role: str
    handler: Callable[[Connection], Awaitable[None]]
    limits: Limits
    peers: trio.Nursery
    #: Peers that have not proved anything yet, the oldest first.
    strangers: dict[trio.CancelScope | Waiting, None] = field(default_factory=dict)
    refusals: Refusals = field(default_factory=Refusals)
    room: WaitingRoom = field(init=False)

    def __post_init__(self) -> None:
        self.room = WaitingRoom(self.begin, self.admit, self.turn_away, HANDSHAKE_S)

    async def accept_from(self, accepting: trio.abc.Listener[trio.abc.Stream]) -> None:
        exhausted, rested = False, -math.inf
        while True:
            try:
                stream = await self.accept(accepting)
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
            if stream is None:
                continue
            waits = self.take(stream, secured=isinstance(accepting, Secured))
            if waits and trio.current_time() > rested + _BURST_S:
                # Others have our time meanwhile; who comes is then accepted together.
                await trio.sleep(_REST_S)
                rested = trio.current_time()

    async def accept(self, accepting: trio.abc.Listener[trio.abc.Stream]) -> trio.abc.Stream | None:
        """The next one; None if that is nobody after all."""
        if not is_at_socket(accepting):
            return await accepting.accept()
        sock = await accept_socket(accepting)
        if sock is None:
            return None
        try:
            return taken_over(sock)
        except OSError as error:
            logger.info("somebody is sent away at once: %s", error.strerror)
            return None

    def take(self, stream: trio.abc.Stream, *, secured: bool) -> bool:
        """Somebody has come; where many are, or were refused, it waits with the others."""
        remote, now = _remote_of(stream), trio.current_time()
        hold_s = self.refusals.hold_s(_host_of(remote), now)
        crowded = len(self.strangers) >= CROWD
        if (hold_s or crowded) and isinstance(stream, SocketByteStream):
            one = Waiting(self.room, stream, remote, secured, now)
            self.make_room()
            self.strangers[one] = None
            self.room.enter(one, hold_s)
            return True
        self.peers.start_soon(self.serve_one, stream, remote, secured, hold_s)
        return False

    def begin(self) -> Handshake:
        """A handshake of ours without TLS."""
        return Handshake(self.hello(), self.keys.current(), connecting=False)

    def hello(self) -> Hello:
        """How we introduce ourselves. Only workers have values for those who come."""
        return local_hello(self.role, self.compression)

    @property
    def compression(self) -> str:
        """How values are compressed on their way."""
        return self.keys.compression if self.role == WORKER else NONE

    def admit(self, one: Waiting, peer: Hello | None) -> None:
        """Somebody has waited for long enough: one of us, or one who wants to speak TLS."""
        del self.strangers[one]
        if peer is None:
            self.peers.start_soon(self.serve_one, one.stream, one.remote, one.secured, 0.0)
            return
        self.refusals.forgive(_host_of(one.remote))
        connection = self.connection(one.stream, peer, one.remote)
        self.peers.start_soon(self.converse, connection, one.stream, one.remote)

    def turn_away(self, one: Waiting, error: CommError) -> None:
        """Somebody has waited, and is none of us."""
        self.strangers.pop(one, None)
        self.refuse(one.remote, error)

    async def serve_one(
        self,
        stream: trio.abc.Stream,
        remote: str,
        secured: bool,  # noqa: FBT001 - a task's argument
        hold_s: float,
    ) -> None:
        """One who has come: to the end of the conversation, if there is one."""
        connection = None
        try:
            connection = await self.authenticate(stream, remote, hold_s, secured=secured)
        except CommError as refusal:
            self.refuse(remote, refusal)
            sock = _socket_of(stream)
            if sock is not None:
                read_what_is_left(sock)
        finally:
            if connection is None:
                with trio.CancelScope(shield=True):
                    await trio.aclose_forcefully(stream)
        if connection is not None:
            await self.converse(connection, stream, remote)

    async def converse(self, connection: Connection, stream: trio.abc.Stream, remote: str) -> None:
        """Serve one of us, to the end."""
        try:
            await self.handler(connection)
        except* CommError as group:
            error = _first(group)
            level = logging.INFO if isinstance(error, PeerClosed) else logging.WARNING
            logger.log(level, "dropped %s: %s", remote, error)
        finally:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)

    def make_room(self) -> None:
        """The oldest goes if there are too many: it has had the most time, and one of us needs
        a few milliseconds.
        """
        if len(self.strangers) >= UNAUTHENTICATED_MAX:
            oldest = next(iter(self.strangers))
            del self.strangers[oldest]
            oldest.cancel(_CROWDED)

    async def authenticate(
        self, stream: trio.abc.Stream, remote: str, hold_s: float, *, secured: bool
    ) -> Connection | None:
        """The connection with a peer that holds the token, None if its time was up."""
        self.make_room()
        with trio.move_on_after(HANDSHAKE_S) as scope:
            self.strangers[scope] = None
            try:
                if hold_s:
                    await trio.sleep(hold_s)
                binding = b""
                if secured:
                    stream, binding = await self.encrypt(stream)
                handshake = Handshake(
                    self.hello(),
                    self.keys.current(),
                    connecting=False,
                    binding=binding,
                )
                peer = await shake_hands(stream, handshake)
            finally:
                self.strangers.pop(scope, None)
            self.refusals.forgive(_host_of(remote))
            return self.connection(stream, peer, remote)
        late = "it did not authenticate in time"
        if scope.deadline > trio.current_time():
            late = _CROWDED
        self.refuse(remote, AuthenticationError(late))
        return None

    def connection(self, stream: trio.abc.Stream, peer: Hello, remote: str) -> Connection:
        """With one of us."""
        sock = _socket_of(stream)
        if sock is not None and not isinstance(stream, DescriptorStream):
            with suppress(OSError):  # it has left, which will be seen
                set_options(sock)
        return Connection(
            stream,
            peer,
            local_address=_local_of(stream),
            remote_address=remote,
            limits=self.limits,
            agreed=None
            if isinstance(stream, DescriptorStream)
            else agree(self.compression, peer.unpacks),
        )

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
    sock = _socket_of(stream)
    return address_of(sock.getsockname()) if sock is not None else "memory://"


def _socket_of(stream: trio.abc.Stream) -> socket.socket | None:
    if isinstance(stream, TlsStream):
        stream = stream.transport
    return stream.socket if isinstance(stream, SocketByteStream) else None


def _first(group: BaseExceptionGroup[CommError]) -> CommError:
    """One of the errors in a group: they have one cause, the connection's end."""
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
