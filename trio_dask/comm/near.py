"""The other way to a worker, for who is on its host: a local socket, through which descriptors travel.

Each worker listens there, too, under a name that follows from its address and the cluster's token.
Who connects to the address tries the name first. So nothing is assumed of who is on one host: the
kernel finds the socket or does not. It does not from another host, nor out of a container with a
network of its own; and a process of another user is not talked to.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import socket
import struct
import sys
from typing import TYPE_CHECKING, Final

from trio_dask.comm.addresses import TCP, parse_address

if TYPE_CHECKING:
    from trio_dask.comm.addresses import Address
    from trio_dask.comm.auth import Keys

#: Names without files, that go with their last socket, and memory files are Linux's.
_POSSIBLE: Final = sys.platform == "linux"
_BACKLOG: Final = 1024
_CREDENTIALS: Final = struct.Struct("3i")  # process, user, group


def near_name(keys: Keys, address: Address) -> str:
    """What the local socket of the worker at an address is called.

    Nobody guesses it who has not the token. It is no secret all the same, only no accident: who
    connects has to prove as much as anywhere.
    """
    digest = hmac.digest(keys.near, str(address).encode(), hashlib.sha256)
    return f"\0trio-dask-{digest.hex()[:32]}"


def listen_near(keys: Keys, address: str) -> socket.socket | None:
    """A listening socket for those on this host who want to reach the worker at an address.

    None where that cannot be: then they come as all others do. So do all to an address with TLS,
    because who asks for that wants to see certificates.
    """
    place = parse_address(address, default_port=0)
    if not _POSSIBLE or place.scheme != TCP:
        return None
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.bind(near_name(keys, place))
        made.listen(_BACKLOG)
    except OSError:  # another one has the same address
        made.close()
        return None
    return made


def reach_near(keys: Keys, address: Address) -> socket.socket | None:
    """A connected socket to the worker at an address, if that is on this host; never waits."""
    if not _POSSIBLE or address.scheme != TCP:
        return None
    try:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError:
        return None  # too many descriptors, as whoever tries the other way will be told
    with contextlib.suppress(OSError):  # nobody is there, or very many are waiting
        made.settimeout(0.0)  # never blocks
        made.connect(near_name(keys, address))
        if is_ours(made):
            return made
    made.close()
    return None


def is_ours(sock: socket.socket) -> bool:
    """Whether the process at the other end of a local socket is the same user's."""
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        return False
    return bool(_CREDENTIALS.unpack(raw)[1] == os.geteuid())
