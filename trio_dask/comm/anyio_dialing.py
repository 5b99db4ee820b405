"""Connecting, on anyio: for the client, on Trio and on asyncio."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
import anyio.abc

from trio_dask.comm.addresses import TLS, parse_contact
from trio_dask.comm.anyio_connection import AnyioConnection
from trio_dask.comm.anyio_near import NearStream
from trio_dask.comm.compression import NONE, agree
from trio_dask.comm.framing import DEFAULT_LIMITS, Limits
from trio_dask.comm.handshake import Handshake, Hello, TokenRefused
from trio_dask.comm.identity import local_hello
from trio_dask.comm.near import reach_near
from trio_dask.comm.sockets import CONNECT_S, address_of, no_answer, set_options, unreachable, why
from trio_dask.comm.tls import NOT_TLS, binding_of, no_tls, tls_of
from trio_dask.errors import CommError, PeerClosed
from trio_dask.messages.session import WORKER

if TYPE_CHECKING:
    from trio_dask.comm.addresses import Address
    from trio_dask.comm.auth import Keys


async def shake_hands_anyio(stream: anyio.abc.ByteStream, handshake: Handshake) -> Hello:
    """Go through a handshake on a stream; the caller bounds the time.

    Raises:
        AuthenticationError, HandshakeRefused: the peer is none of ours, or does not fit.
        PeerClosed: it left in the middle.
    """
    try:
        await stream.send(handshake.start())
        while wanted := handshake.wanted:
            answer = handshake.feed(await stream.receive(wanted))
            if answer:
                await stream.send(answer)
    except anyio.EndOfStream:
        raise PeerClosed(handshake.torn) from None
    except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
        if handshake.refusal is None:
            raise PeerClosed(f"{handshake.torn}: {why(error)}") from error
    if handshake.refusal is not None:
        raise handshake.refusal
    return handshake.peer


async def connect_anyio(
    address: str,
    *,
    keys: Keys,
    role: str,
    expect: str = "",
    timeout_s: float = CONNECT_S,
    limits: Limits = DEFAULT_LIMITS,
    near: bool = True,
) -> AnyioConnection:
    """An authenticated connection to whoever listens at `address`. See `connect`.

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
) -> AnyioConnection:
    step = "connecting"
    with anyio.move_on_after(timeout_s):
        if near and expect == WORKER:
            local = await _local(contact, keys, role, limits)
            if local is not None:
                return local
        try:
            stream: anyio.abc.ByteStream = await anyio.connect_tcp(contact.host, contact.port)
        except (OSError, UnicodeError) as error:
            raise unreachable(str(contact), contact.host, error) from error
        step = "authenticating"
        try:
            raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
            set_options(raw)
            try:
                binding = b""
                if contact.scheme == TLS:
                    stream, binding = await _encrypted(stream, keys, contact.host)
                # Only between those who have values for each other.
                compression = keys.compression if expect == WORKER else NONE
                handshake = Handshake(
                    local_hello(role, compression), keys, connecting=True, expect=expect,
                    binding=binding,
                )  # fmt: skip
                peer = await shake_hands_anyio(stream, handshake)
            except CommError as error:
                raise type(error)(f"{contact}: {error}") from error
        except BaseException:
            with anyio.move_on_after(1.0, shield=True):
                await anyio.aclose_forcefully(stream)
            raise
        return AnyioConnection(
            stream,
            peer,
            local_address=address_of(raw.getsockname()),
            remote_address=str(contact),
            limits=limits,
            agreed=agree(compression, peer.unpacks),
            half_closes=contact.scheme != TLS,
        )
    raise no_answer(str(contact), step, timeout_s)


async def _local(contact: Address, keys: Keys, role: str, limits: Limits) -> AnyioConnection | None:
    """A connection to a worker of this host; None if it is none, or does not get on with us."""
    sock = reach_near(keys, contact)
    if sock is None:
        return None
    stream = NearStream(sock)
    handshake = Handshake(local_hello(role), keys, connecting=True, expect=WORKER)
    try:
        peer = await shake_hands_anyio(stream, handshake)
    except CommError:
        stream.close()
        return None
    except BaseException:
        stream.close()
        raise
    return AnyioConnection(stream, peer, remote_address=str(contact), limits=limits)


async def _encrypted(
    stream: anyio.abc.ByteStream, keys: Keys, host: str
) -> tuple[anyio.abc.ByteStream, bytes]:
    """The same stream with TLS on it, and what ties proofs to it.

    Raises:
        AuthenticationError: the certificates do not fit.
        HandshakeRefused: the other side speaks no TLS.
        PeerClosed: it left in the middle.
    """
    from anyio.streams.tls import TLSAttribute, TLSStream

    assert keys.tls is not None
    side = keys.tls.connecting(host)
    try:
        made = await TLSStream.wrap(
            stream, server_side=False, hostname=side.name, ssl_context=side.context,
            standard_compatible=False,
        )  # fmt: skip
    except ssl.SSLError as error:
        raise no_tls(error) from error
    except (anyio.BrokenResourceError, anyio.EndOfStream, OSError) as error:
        raise PeerClosed(f"{NOT_TLS}: {why(error)}") from error
    return made, binding_of(made.extra(TLSAttribute.peer_certificate_binary))
