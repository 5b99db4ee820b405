"""Where strangers wait who are many, or whose hosts have been refused often.

They are looked at together, a few times a second, and none of them has a task, a timer or a place
in the loop's list of sockets: so thousands cost what little they make us read. Who turns out to
hold the token is served like everybody else.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import trio

from trio_dask.comm.handshake import TLS_ALERT
from trio_dask.comm.refusals import HOLD_S
from trio_dask.comm.sockets import why
from trio_dask.comm.tls import NOT_TLS
from trio_dask.errors import AuthenticationError, CommError, HandshakeRefused, PeerClosed

if TYPE_CHECKING:
    from trio_dask.comm.handshake import Handshake, Hello
    from trio_dask.comm.stream import SocketByteStream

#: How often they are looked at, and how many before others have their turn.
LOOK_S: Final = 0.25
_TURN: Final = 32
#: How TLS begins, and nothing else does that we know.
_TLS_RECORD: Final = b"\x16"
#: What somebody may have said beside what is read: it has to be read, or closing would take our
#: answer along.
_LEFT_BYTES: Final = 16 * 1024

Admit: TypeAlias = Callable[["Waiting", "Hello | None"], None]
Refuse: TypeAlias = Callable[["Waiting", CommError], None]


@dataclass(slots=True, eq=False)
class Waiting:
    """Somebody who waits in a room, since some time."""

    room: WaitingRoom
    stream: SocketByteStream
    remote: str
    secured: bool
    since: float
    handshake: Handshake | None = None
    greeted: bool = False

    def cancel(self, reason: str) -> None:
        """Send it away before its time is up."""
        self.room.turn_away(self, AuthenticationError(reason))


class WaitingRoom:
    """All of them.

    Args:
        begin: a new handshake, of which nothing has been said.
        admit: somebody holds the token; or, without a hello, begins to speak TLS.
        refuse: somebody does not, and is gone.
        time_s: how long somebody may take to prove it.
    """

    def __init__(
        self, begin: Callable[[], Handshake], admit: Admit, refuse: Refuse, time_s: float
    ) -> None:
        self._begin: Final = begin
        self._admit: Final = admit
        self._refuse: Final = refuse
        self._time_s: Final = time_s
        #: Those that are not listened to yet; and the others by descriptor. The oldest first.
        self._held: dict[Waiting, None] = {}
        self._heard: dict[int, Waiting] = {}
        self._poll: Final = select.poll()
        self._somebody = trio.Event()

    def enter(self, one: Waiting, hold_s: float) -> None:
        """One more; for so long it is not listened to, which is as long for all or not at all."""
        if hold_s:
            self._held[one] = None
        else:
            self._listen_to(one)
        self._somebody.set()

    def turn_away(self, one: Waiting, error: CommError) -> None:
        """It has to go."""
        self._leave(one)
        one.stream.socket.close()
        self._refuse(one, error)

    async def watch(self) -> None:
        """Look at them, until cancelled; nobody is left then."""
        try:
            while True:
                await self._somebody.wait()
                while self._held or self._heard:
                    await trio.sleep(LOOK_S)
                    await self._look(trio.current_time())
                self._somebody = trio.Event()
        finally:
            for one in (*self._held, *self._heard.values()):
                one.stream.socket.close()
            self._held.clear()
            self._heard.clear()

    async def _look(self, now: float) -> None:
        self._listen_to_more(now)
        for turn, (fd, _) in enumerate(self._poll.poll(0)):
            if fd in self._heard:  # it may have been sent away in the meantime
                self._look_at(self._heard[fd])
            if not turn % _TURN:
                await trio.lowlevel.checkpoint()
        late = [one for one in self._heard.values() if now >= one.since + self._time_s]
        for one in late:
            self.turn_away(one, AuthenticationError("it did not authenticate in time"))

    def _listen_to_more(self, now: float) -> None:
        for one in list(self._held):
            if now < one.since + HOLD_S:
                break
            del self._held[one]
            self._listen_to(one)

    def _listen_to(self, one: Waiting) -> None:
        fd = one.stream.socket.fileno()
        self._heard[fd] = one
        self._poll.register(fd, select.POLLIN)

    def _look_at(self, one: Waiting) -> None:
        try:
            hello = self._hear(one)
        except BlockingIOError:
            return
        except CommError as error:
            self.turn_away(one, error)
        else:
            self._leave(one)
            self._admit(one, hello)

    def _leave(self, one: Waiting) -> None:
        fd = one.stream.socket.fileno()
        if self._heard.pop(fd, None) is not None:
            self._poll.unregister(fd)
        else:
            del self._held[one]

    def _hear(self, one: Waiting) -> Hello | None:
        """Read what one has said; who it is, None if that can only be found out by TLS.

        Raises:
            BlockingIOError: it has not said enough yet.
            CommError: it is none of ours, or has left.
        """
        try:
            if one.secured:
                self._hear_tls(one.stream.socket)
                return None
            return self._hear_hello(one)
        except (BlockingIOError, CommError):
            raise
        except OSError as error:
            torn = one.handshake.torn if one.handshake is not None else "it left at once"
            raise PeerClosed(f"{torn}: {why(error)}") from error

    def _hear_tls(self, sock: socket.socket) -> None:
        first = sock.recv(1, socket.MSG_PEEK)
        if not first:
            msg = f"{NOT_TLS}: it has left"
            raise PeerClosed(msg)
        if first != _TLS_RECORD:
            read_what_is_left(sock)
            _send(sock, TLS_ALERT)
            msg = f"{NOT_TLS}: it speaks something else"
            raise AuthenticationError(msg)

    def _hear_hello(self, one: Waiting) -> Hello:
        sock = one.stream.socket
        handshake = one.handshake
        if handshake is None:
            handshake = one.handshake = self._begin()
        while wanted := handshake.wanted:
            data = sock.recv(wanted)
            if not data:
                raise PeerClosed(handshake.torn)
            answer = handshake.feed(data)
            understands = handshake.introduced or isinstance(handshake.refusal, HandshakeRefused)
            if understands and not one.greeted:
                one.greeted = True
                _send(sock, handshake.start())
            if answer:
                _send(sock, answer)
        if handshake.refusal is not None:
            read_what_is_left(sock)
            raise handshake.refusal
        return handshake.peer


def read_what_is_left(sock: socket.socket) -> None:
    """Read what somebody who is sent away has said meanwhile, as far as it is here."""
    with suppress(OSError):
        sock.recv(_LEFT_BYTES)


def _send(sock: socket.socket, data: bytes) -> None:
    """Of so little, to somebody who has been sent nothing, there is always room for all."""
    if sock.send(data) != len(data):
        msg = "it does not read what it is told"
        raise PeerClosed(msg)
