"""Bytes between processes: frames, the handshake, connections, listeners.

The names below are imported when they are first used: a runner process needs the
framing only, and starts without trio, anyio or ssl.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from trio_dask.comm.addresses import TCP, TLS, Address, parse_address, parse_contact
    from trio_dask.comm.anyio_connection import AnyioConnection
    from trio_dask.comm.anyio_dialing import connect_anyio
    from trio_dask.comm.anyio_pairs import anyio_connection_pair
    from trio_dask.comm.auth import Keys, keys_from_token
    from trio_dask.comm.certificates import Authority, good_until, new_authority
    from trio_dask.comm.connection import Connection
    from trio_dask.comm.dialing import connect, nobody_listens
    from trio_dask.comm.filling import Filling
    from trio_dask.comm.framing import (
        CARRIED_MAX,
        FrameDecoder,
        Lead,
        Limits,
        Stretch,
        frame,
    )
    from trio_dask.comm.from_settings import own_keys
    from trio_dask.comm.handshake import PROTOCOL, Handshake, Hello
    from trio_dask.comm.lending import LocalLoans, takes_here
    from trio_dask.comm.link import Link, Statistics
    from trio_dask.comm.listening import Listener, open_listener, open_listeners
    from trio_dask.comm.near import listen_near
    from trio_dask.comm.pairs import connection_pair
    from trio_dask.comm.places import listening_places
    from trio_dask.comm.rooms import private_room
    from trio_dask.comm.serving import serve
    from trio_dask.comm.sockets import set_options
    from trio_dask.comm.stream import DescriptorStream, SocketByteStream
    from trio_dask.comm.tls import Security, Tls, checked_security, tls_of

_HOMES: Final[dict[str, str]] = {
    "CARRIED_MAX": "framing",
    "PROTOCOL": "handshake",
    "TCP": "addresses",
    "TLS": "addresses",
    "Address": "addresses",
    "AnyioConnection": "anyio_connection",
    "Authority": "certificates",
    "Connection": "connection",
    "DescriptorStream": "stream",
    "Filling": "filling",
    "FrameDecoder": "framing",
    "Handshake": "handshake",
    "Hello": "handshake",
    "Keys": "auth",
    "Lead": "framing",
    "Limits": "framing",
    "Link": "link",
    "Listener": "listening",
    "LocalLoans": "lending",
    "Security": "tls",
    "SocketByteStream": "stream",
    "Statistics": "link",
    "Stretch": "framing",
    "Tls": "tls",
    "anyio_connection_pair": "anyio_pairs",
    "checked_security": "tls",
    "connect": "dialing",
    "connect_anyio": "anyio_dialing",
    "connection_pair": "pairs",
    "frame": "framing",
    "good_until": "certificates",
    "keys_from_token": "auth",
    "listen_near": "near",
    "listening_places": "places",
    "new_authority": "certificates",
    "nobody_listens": "dialing",
    "open_listener": "listening",
    "open_listeners": "listening",
    "own_keys": "from_settings",
    "parse_address": "addresses",
    "parse_contact": "addresses",
    "private_room": "rooms",
    "serve": "serving",
    "set_options": "sockets",
    "takes_here": "lending",
    "tls_of": "tls",
}

__all__ = [
    "CARRIED_MAX",
    "PROTOCOL",
    "TCP",
    "TLS",
    "Address",
    "AnyioConnection",
    "Authority",
    "Connection",
    "DescriptorStream",
    "Filling",
    "FrameDecoder",
    "Handshake",
    "Hello",
    "Keys",
    "Lead",
    "Limits",
    "Link",
    "Listener",
    "LocalLoans",
    "Security",
    "SocketByteStream",
    "Statistics",
    "Stretch",
    "Tls",
    "anyio_connection_pair",
    "checked_security",
    "connect",
    "connect_anyio",
    "connection_pair",
    "frame",
    "good_until",
    "keys_from_token",
    "listen_near",
    "listening_places",
    "new_authority",
    "nobody_listens",
    "open_listener",
    "open_listeners",
    "own_keys",
    "parse_address",
    "parse_contact",
    "private_room",
    "serve",
    "set_options",
    "takes_here",
    "tls_of",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
