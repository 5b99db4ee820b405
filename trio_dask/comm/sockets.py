"""What all code about TCP shares: socket options, names of ends, words for failures."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING, Any, Final

from trio_dask.comm.addresses import Address
from trio_dask.errors import CommError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: How long connecting may take, authentication included.
CONNECT_S: Final = 10.0
#: A peer whose machine is gone is noticed after this long, whether we write or not.
SILENCE_S: Final = 30
#: Descriptors that come through a local socket are not for programs that we start.
CLOSE_ON_EXEC: Final = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_KEEPALIVE_IDLE_S: Final = 10
_KEEPALIVE_INTERVAL_S: Final = 5

_OPTIONS: Final = [
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", _KEEPALIVE_IDLE_S),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", _KEEPALIVE_INTERVAL_S),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", (SILENCE_S - _KEEPALIVE_IDLE_S) // _KEEPALIVE_INTERVAL_S),
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", SILENCE_S * 1000),
]


def set_options(sock: socket.socket) -> None:
    """Small messages leave at once, and a dead peer is noticed; what the system lacks is skipped."""
    for level, name, value in _OPTIONS:
        option = getattr(socket, name, None)
        if option is None:
            continue
        try:
            sock.setsockopt(level, option, value)
        except OSError as error:
            if error.errno not in {errno.ENOPROTOOPT, errno.EINVAL, errno.EOPNOTSUPP}:
                raise


def address_of(name: Any) -> str:
    """What `getsockname` and `getpeername` give, as an address."""
    if isinstance(name, tuple) and len(name) >= 2:
        return str(Address(str(name[0]), int(name[1])))
    return f"unix://{name}" if name else "unix://"


def why(error: BaseException) -> str:
    """The system's reason for an error, from the innermost group it is wrapped in."""
    while error.__cause__ is not None or isinstance(error, BaseExceptionGroup):
        inner = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__
        if not isinstance(inner, OSError | BaseExceptionGroup):
            break
        error = inner
    said = getattr(error, "verify_message", None) or getattr(error, "reason", None)
    if isinstance(said, str):  # of an error of TLS, whose number is none of the system's
        return said.lower().replace("_", " ")
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


def contact_host(family: int) -> str:
    """The address of this machine that others most probably reach. Sends nothing.

    That is where the way to the rest of the world begins; where there is none, as in a network
    of its own, the address of the first interface that is not the loopback.
    """
    target = ("2001:db8::1", 9) if family == socket.AF_INET6 else ("192.0.2.1", 9)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(target)
            return str(probe.getsockname()[0])
    except OSError:
        loopback = "::1" if family == socket.AF_INET6 else "127.0.0.1"
        return next(_interface_hosts(family), loopback)


def _interface_hosts(family: int) -> Iterator[str]:
    """The addresses of interfaces that are up, without those that only a neighbour, or we, reach."""
    import ipaddress

    import psutil

    up = {name for name, each in psutil.net_if_stats().items() if each.isup}
    for name, addresses in psutil.net_if_addrs().items():
        for each in addresses:
            if name in up and each.family == family:
                host = ipaddress.ip_address(each.address.partition("%")[0])
                if not (host.is_loopback or host.is_link_local):
                    yield str(host)


def unreachable(address: str, host: str, error: OSError | UnicodeError) -> CommError:
    """Why no connection came about."""
    if isinstance(error, socket.gaierror | UnicodeError):
        return unresolved(address, host, error)
    return CommError(f"{address}: cannot connect: {why(error)}")


def unresolved(address: str, host: str, error: socket.gaierror | UnicodeError) -> CommError:
    """Why a host has no address; what cannot be written in ASCII is known to nobody."""
    said = error.strerror if isinstance(error, OSError) else "it is no name of a host"
    return CommError(f"{address}: the host {host!r} cannot be resolved: {said}")


def no_answer(address: str, step: str, timeout_s: float) -> CommError:
    """What is said when the time is up."""
    return CommError(f"{address}: no answer within {timeout_s:g} s while {step}")
