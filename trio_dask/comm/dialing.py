"""Connecting, on Trio."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from trio_dask.comm.addresses import TLS, parse_contact
from trio_dask.comm.compression import NONE, agree
from trio_dask.comm.connection import Connection
from trio_dask.comm.framing import DEFAULT_LIMITS, Limits
from trio_dask.comm.handshake import Handshake, Hello, TokenRefused
from trio_dask.comm.identity import local_hello
from trio_dask.comm.near import reach_near
from trio_dask.comm.sockets import CONNECT_S, address_of, no_answer, unreachable, why
from trio_dask.comm.stream import DescriptorStream, SocketByteStream, adopt
from trio_dask.comm.tls import tls_of
from trio_dask.errors import CommError, ConfigError, PeerClosed
from trio_dask.messages.session import WORKER

if TYPE_CHECKING:
    from trio_dask.comm.addresses import Address
    from trio_dask.comm.auth import Keys


async def shake_hands(stream: trio.abc.Stream, handshake: Handshake) -> Hello:
    """Go through a handshake on a stream; the caller bounds the time.

    Raises:
        AuthenticationError, HandshakeRefused: the peer is none of ours, or does not fit.
        PeerClosed: it left in the middle.
    """
    try:
        await stream.send_all(handshake.start())
        while wanted := handshake.wanted:
            data = await stream.receive_some(wanted)
            if not data:
                raise PeerClosed(handshake.torn)
            answer = handshake.feed(bytes(data))
            if answer:
                await stream.send_all(answer)
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        if handshake.refusal is None:
            raise PeerClosed(f"{handshake.torn}: {why(error)}") from error
    if handshake.refusal is not None:
        raise handshake.refusal
    return handshake.peer


async def connect(
    address: str,
    *,
    keys: Keys,
    role: str,
    expect: str = "",
    timeout_s: float = CONNECT_S,
    limits: Limits = DEFAULT_LIMITS,
    near: bool = True,
) -> Connection:
    """An authenticated connection to whoever listens at `address`.

    `expect` is the role that the other side has to have. A worker on this host is reached by its
    local socket, if it can be, unless `near` is False.

    Raises:
        ConfigError: it is no address.
        CommError: nobody answers, or not in time; the message says how far it came.
        AuthenticationError, HandshakeRefused: somebody does, but the two do not fit.
    """
    contact = parse_contact(address)
    tls_of(keys, contact)
    *former, last = keys.current().shown
    for each in former:
        with suppress(TokenRefused):
            return await _connect_with(
                each,
                contact,
                role=role,
                expect=expect,
                timeout_s=timeout_s,
                limits=limits,
                near=near,
            )
    return await _connect_with(
        last, contact, role=role, expect=expect, timeout_s=timeout_s, limits=limits, near=near
    )


async def _connect_with(
    keys: Keys,
    contact: Address,
    *,
    role: str,
    expect: str,
    timeout_s: float,
    limits: Limits,
    near: bool,
) -> Connection:
    step = "connecting"
    with trio.move_on_after(timeout_s):
        if near and expect == WORKER:
            local = await _local(contact, keys, role, limits)
            if local is not None:
                return local
        try:
            theirs = await trio.open_tcp_stream(contact.host, contact.port)
        except (OSError, UnicodeError) as error:
            raise unreachable(str(contact), contact.host, error) from error
        step = "authenticating"
        sock = adopt(theirs)
        stream: trio.abc.Stream = sock
        try:
            try:
                binding = b""
                if contact.scheme == TLS:
                    stream, binding = await _encrypted(sock, keys, contact.host)
                # Only between those who have values for each other.
                compression = keys.compression if expect == WORKER else NONE
                handshake = Handshake(
                    local_hello(role, compression), keys, connecting=True, expect=expect,
                    binding=binding,
                )  # fmt: skip
                peer = await shake_hands(stream, handshake)
            except CommError as error:
                raise type(error)(f"{contact}: {error}") from error
        except BaseException:
            sock.close()
            raise
        return Connection(
            stream,
            peer,
            local_address=address_of(sock.socket.getsockname()),
            remote_address=str(contact),
            limits=limits,
            agreed=agree(compression, peer.unpacks),
        )
    raise no_answer(str(contact), step, timeout_s)


async def _local(contact: Address, keys: Keys, role: str, limits: Limits) -> Connection | None:
    """A connection to a worker of this host; None if it is none, or does not get on with us."""
    sock = reach_near(keys, contact)
    if sock is None:
        return None
    stream = DescriptorStream(sock)
    handshake = Handshake(local_hello(role), keys, connecting=True, expect=WORKER)
    try:
        peer = await shake_hands(stream, handshake)
    except CommError:
        stream.close()
        return None
    except BaseException:
        stream.close()
        raise
    return Connection(stream, peer, remote_address=str(contact), limits=limits)


async def _encrypted(
    sock: SocketByteStream, keys: Keys, host: str
) -> tuple[trio.abc.Stream, bytes]:
    from trio_dask.comm.tls_stream import encrypt

    assert keys.tls is not None
    side = keys.tls.connecting(host)
    return await encrypt(sock, side.context, server_hostname=side.name)


async def nobody_listens(address: str, *, timeout_s: float = CONNECT_S) -> bool:
    """Whether the machine at `address` is there and says that nobody listens.

    A process that is gone is known at once by this, while one that cannot be reached, or
    does not answer, may be as well as ever.
    """
    with trio.move_on_after(timeout_s):
        try:
            contact = parse_contact(address)
            stream = await trio.open_tcp_stream(contact.host, contact.port)
        except (OSError, ConfigError) as error:
            return _is_refusal(error)
        await trio.aclose_forcefully(stream)
    return False


def _is_refusal(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_refusal, error.exceptions))
    if isinstance(error.__cause__, OSError | BaseExceptionGroup):
        return _is_refusal(error.__cause__)
    return isinstance(error, ConnectionRefusedError)
