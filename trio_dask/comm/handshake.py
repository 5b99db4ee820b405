"""Who is there, and do they hold the token: the first bytes of a connection, without I/O.

Both sides send a `Hello` at once. When both fit together, the connecting side proves
that it holds the token, and only then the accepting side does::

    connecting                     accepting
      Hello ────────────►  ◄──────── Hello
      HMAC(Kc, "connect" ‖ hellos) ──────►
      ◄────── 1 ‖ HMAC(Ka, "accept" ‖ hellos)     (or 0: not the cluster's token)

Every step reads an exact number of bytes, so neither side reads beyond the handshake,
and a stranger can make us hold a few hundred bytes at most.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from trio_dask.comm.auth import PROOF_BYTES, Keys, accept_proof, connect_proof, same
from trio_dask.errors import AuthenticationError, HandshakeRefused
from trio_dask.messages.session import CLIENT, SCHEDULER, WORKER

if TYPE_CHECKING:
    from collections.abc import Callable

MAGIC: Final = b"TRIODASK"
#: Changes whenever a peer of another number could not be understood.
PROTOCOL: Final = 1
NONCE_BYTES: Final = 32
HELLO_BYTES_MAX: Final = 512

_FIXED: Final = struct.Struct("<8sHH")  # magic, protocol, bytes that follow: the same for ever
#: How TLS begins, and how it ends before that: an alert, "unexpected message". It is what a
#: client that speaks TLS hears where there is none, and, as long as a hello, one that speaks none
#: where there is TLS: both then know at once what is wrong.
_TLS_BEGINS: Final = b"\x16\x03"
_TLS_ENDS: Final = b"\x15\x03"
TLS_ALERT: Final = 2 * b"\x15\x03\x03\x00\x02\x02\x0a"
_ACCEPTED: Final = b"\x01"
_REFUSED: Final = b"\x00"

#: Who may connect to whom.
_MAY_CONNECT: Final = {
    (CLIENT, SCHEDULER),
    (WORKER, SCHEDULER),
    (CLIENT, WORKER),
    (WORKER, WORKER),
}


class TokenRefused(AuthenticationError):
    """The other side is one of ours, and does not accept this token: it may accept another."""


@dataclass(frozen=True, slots=True)
class Hello:
    """How a process introduces itself."""

    role: str
    python: str
    version: str
    nonce: bytes = field(default=bytes(NONCE_BYTES), repr=False)
    protocol: int = PROTOCOL
    #: How it can unpack what was compressed: names, with commas in between. Said if there are any.
    unpacks: str = ""

    def to_bytes(self) -> bytes:
        """The bytes that are sent, and that both proofs cover."""
        said = (self.role, self.python, self.version, self.unpacks)
        texts = [text.encode() for text in (said if self.unpacks else said[:-1])]
        body = self.nonce + b"".join(bytes([len(text)]) + text for text in texts)
        return _FIXED.pack(MAGIC, self.protocol, len(body)) + body


def _body_bytes(fixed: bytes) -> int:
    magic, protocol, nbytes = _FIXED.unpack(fixed)
    if fixed.startswith(_TLS_ENDS):
        msg = "there it takes TLS: the address begins with tls://"
        raise HandshakeRefused(msg)
    if magic != MAGIC:
        msg = f"this is no trio_dask process: it said {bytes(fixed)!r}"
        if fixed.startswith(_TLS_BEGINS):
            msg += ", which is TLS; there is none here, and the address begins with tcp://"
        raise AuthenticationError(msg)
    if protocol != PROTOCOL:
        msg = f"it speaks protocol {protocol}, this process {PROTOCOL}: install the same trio_dask"
        raise HandshakeRefused(msg)
    if not NONCE_BYTES < nbytes <= HELLO_BYTES_MAX:
        msg = f"a hello of {nbytes} bytes"
        raise AuthenticationError(msg)
    return int(nbytes)


def _parse_body(body: bytes) -> Hello:
    texts: list[str] = []
    at = NONCE_BYTES
    try:
        while at < len(body):
            end = at + 1 + body[at]
            if end > len(body):
                break
            texts.append(body[at + 1 : end].decode())
            at = end
        role, python, version, *more = texts
        unpacks = more.pop() if more else ""
        if more:
            raise ValueError
        if not all(text.isascii() and text.isprintable() for text in texts):
            raise ValueError  # it will be in the log, and is still a stranger's
    except ValueError as error:
        msg = "a hello that cannot be read"
        raise AuthenticationError(msg) from error
    if at != len(body):
        msg = "a hello that cannot be read"
        raise AuthenticationError(msg)
    return Hello(role, python, version, bytes(body[:NONCE_BYTES]), unpacks=unpacks)


def check_fit(mine: Hello, peer: Hello, *, connecting: bool, expect: str = "") -> None:
    """Whether two processes can work together.

    Raises:
        HandshakeRefused: they cannot; the message says why.
    """
    if peer.nonce == mine.nonce:
        msg = "it repeats what this process says"
        raise AuthenticationError(msg)
    if expect and peer.role != expect:
        msg = f"this is a {peer.role}, not a {expect}"
        raise HandshakeRefused(msg)
    roles = (mine.role, peer.role) if connecting else (peer.role, mine.role)
    if roles not in _MAY_CONNECT:
        msg = f"a {roles[0]} cannot connect to a {roles[1]}"
        raise HandshakeRefused(msg)
    if mine.python.split(".")[:2] != peer.python.split(".")[:2]:
        msg = (
            f"the {peer.role} runs Python {peer.python}, this process {mine.python}: "
            "functions travel as bytecode, so the minor version has to be the same"
        )
        raise HandshakeRefused(msg)


class Handshake:
    """One side of the handshake. Send `start()`, then feed it bytes until `wanted` is 0.

    Each `feed` returns what is to be sent next, also when it is the last: `refusal` says
    why there will be no connection.
    """

    def __init__(
        self,
        mine: Hello,
        keys: Keys,
        *,
        connecting: bool,
        expect: str = "",
        binding: bytes = b"",
    ) -> None:
        """With the keys as they are: where they are renewed, `keys.current()` is for the caller."""
        self._mine = mine
        self._keys = keys
        self._connecting = connecting
        self._expect = expect
        self._binding = binding  # what ties the proofs to the channel: a certificate's digest
        self._received = b""
        self._fixed = b""
        self._transcript = b""
        self._next: Callable[[bytes], bytes] = self._on_fixed
        self._need = _FIXED.size
        self._peer: Hello | None = None
        self.refusal: AuthenticationError | HandshakeRefused | None = None

    @property
    def wanted(self) -> int:
        """How many bytes to read at most, 0 when the handshake is over."""
        return 0 if self.refusal is not None else self._need - len(self._received)

    @property
    def peer(self) -> Hello:
        """The other side, once the handshake is over."""
        assert self._peer is not None
        return self._peer

    @property
    def introduced(self) -> bool:
        """Whether the other side has said who it is, and fits."""
        return self._peer is not None

    @property
    def torn(self) -> str:
        """What it means if the peer leaves now."""
        if self._peer is None:
            hint = "; if it expects TLS, its address begins with tls://" if self._connecting else ""
            return f"the other side left before it said who it is{hint}"
        if self._connecting:
            return f"the {self._peer.role} left during authentication: is the token its cluster's?"
        return f"a {self._peer.role} left before it proved to hold the token"

    def start(self) -> bytes:
        """What is to be sent first."""
        return self._mine.to_bytes()

    def feed(self, data: bytes) -> bytes:
        """Take up to `wanted` bytes; returns what is to be sent."""
        self._received += data
        if self.wanted > 0:
            return b""
        step, self._received = self._received, b""
        try:
            return self._next(step)
        except (AuthenticationError, HandshakeRefused) as error:
            self.refusal = error
            if self._next == self._on_connect_proof:
                return _REFUSED
            return TLS_ALERT if step.startswith(_TLS_BEGINS) else b""

    def _on_fixed(self, fixed: bytes) -> bytes:
        self._need = _body_bytes(fixed)
        self._fixed = fixed
        self._next = self._on_body
        return b""

    def _on_body(self, body: bytes) -> bytes:
        peer = _parse_body(body)
        check_fit(self._mine, peer, connecting=self._connecting, expect=self._expect)
        self._peer = peer
        hellos = self._mine.to_bytes(), self._fixed + body
        self._transcript = b"".join(hellos if self._connecting else hellos[::-1]) + self._binding
        if not self._connecting:
            self._need, self._next = PROOF_BYTES, self._on_connect_proof
            return b""
        self._need, self._next = len(_ACCEPTED), self._on_verdict
        return connect_proof(self._keys, self._transcript)

    def _on_connect_proof(self, proof: bytes) -> bytes:
        proven = [
            each
            for each in self._keys.accepted
            if same(proof, connect_proof(each, self._transcript))
        ]
        if not proven:
            msg = f"a {self.peer.role} with a wrong token"
            raise AuthenticationError(msg)
        self._need = 0
        return _ACCEPTED + accept_proof(proven[0], self._transcript)

    def _on_verdict(self, verdict: bytes) -> bytes:
        if verdict != _ACCEPTED:
            msg = f"the {self.peer.role} does not accept this token: it is not its cluster's"
            raise TokenRefused(msg)
        self._need, self._next = PROOF_BYTES, self._on_accept_proof
        return b""

    def _on_accept_proof(self, proof: bytes) -> bytes:
        if not same(proof, accept_proof(self._keys, self._transcript)):
            msg = f"the {self.peer.role} does not hold the cluster's token"
            raise AuthenticationError(msg)
        self._need = 0
        return b""
