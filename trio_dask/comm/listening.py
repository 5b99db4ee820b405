"""Listening at an address: one or more sockets with one port."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import trio

from trio_dask.comm.addresses import TLS, Address, parse_address
from trio_dask.comm.sockets import contact_host, unresolved

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

#: How often a free port is looked for that is free in IPv4 and in IPv6.
_PORT_TRIES: Final = 16
_BACKLOG: Final = 4096
_WILDCARDS: Final = {"", "0.0.0.0", "::"}
#: Errors of a connection, or of the network, that accepting it is told, as of accept(2).
_GONE: Final = {
    getattr(errno, name)
    for name in (
        "EPERM", "ECONNABORTED", "EPROTO", "ENETDOWN", "ENOPROTOOPT", "EHOSTDOWN", "ENONET",
        "EHOSTUNREACH", "EOPNOTSUPP", "ENETUNREACH", "ENOSR", "ESOCKTNOSUPPORT",
        "EPROTONOSUPPORT", "ETIMEDOUT", "ECONNRESET",
    )
    if hasattr(errno, name)
}  # fmt: skip
_CLOSED: Final = {errno.EBADF, errno.ENOTSOCK}
_NO_SUCH_FAMILY: Final = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}

_Target: TypeAlias = tuple[int, tuple[Any, ...]]


class Secured(trio.abc.Listener[trio.abc.Stream]):
    """Accepts connections that begin with TLS, which is the business of who serves them."""

    def __init__(self, inner: trio.SocketListener) -> None:
        self.inner: Final = inner

    async def accept(self) -> trio.abc.Stream:
        """The next connection, of which nothing has been read."""
        return await self.inner.accept()

    async def aclose(self) -> None:
        """Accept no more."""
        await self.inner.aclose()


def is_at_socket(accepting: trio.abc.Listener[trio.abc.Stream]) -> bool:
    """Whether connections come from a socket of the system."""
    return isinstance(accepting, Secured | trio.SocketListener)


async def accept_socket(
    accepting: trio.abc.Listener[trio.abc.Stream],
) -> trio.socket.SocketType | None:
    """The next connection, and nothing that trio would make of it: it may be a stranger's, of
    whom there are many; None if it was gone before.

    Raises:
        OSError: there is something wrong here, and not with the connection.
    """
    inner = accepting.inner if isinstance(accepting, Secured) else accepting
    assert isinstance(inner, trio.SocketListener)
    try:
        sock, _ = await inner.socket.accept()
    except OSError as error:
        if error.errno in _GONE:
            return None
        if error.errno in _CLOSED:
            raise trio.ClosedResourceError from None
        raise
    return sock


class Listener:
    """What accepts connections, until it is closed.

    `address` is where others reach it; behind a wildcard host that is this machine's
    most probable address. Where it has several `addresses`, that is the first.
    """

    def __init__(
        self, accepting: Sequence[trio.abc.Listener[trio.abc.Stream]], *addresses: str
    ) -> None:
        self.accepting: Final = tuple(accepting)
        self.addresses: Final = addresses
        self.address: Final = addresses[0]

    def with_local(self, sock: socket.socket) -> Listener:
        """The same, that accepts from this socket, too."""
        local = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        return Listener([*self.accepting, local], *self.addresses)

    @property
    def port(self) -> int:
        """The port it listens at."""
        return parse_address(self.address, default_port=0).port

    async def aclose(self) -> None:
        """Accept no more. What was accepted stays."""
        with trio.CancelScope(shield=True):
            for each in self.accepting:
                await trio.aclose_forcefully(each)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


async def open_listener(address: str, *others: str) -> Listener:
    """Listen at ``tcp://host:port``; port 0 takes a free one, no host means all interfaces.

    If the port is in use, the others are tried, in their order. Connections are accepted by
    the system from now on, and by us once `serve` runs.

    Raises:
        ConfigError: it is no address.
        OSError: the port is in use, or the host is not this machine's.
    """
    choices = [parse_address(each, default_port=0) for each in (address, *others)]
    for wanted in choices:
        try:
            return await _open_one(wanted)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            if wanted is not choices[-1]:
                continue
            if len(choices) > 1:
                first, last = choices[0].port, wanted.port
                msg = f"{choices[0]}: all {len(choices)} ports from {first} to {last} are in use"
                raise OSError(error.errno, msg) from error
            raise
    raise AssertionError  # the last one returns or raises


async def open_listeners(places: Sequence[Sequence[str]]) -> Listener:
    """Listen at one address of each place, as `open_listener` does; all of them or none."""
    opened: list[Listener] = []
    try:
        for place in places:
            opened.append(await open_listener(*place))  # noqa: PERF401 - closed if one fails
    except BaseException:
        for each in opened:
            await each.aclose()
        raise
    accepting = [each for one in opened for each in one.accepting]
    return Listener(accepting, *(one.address for one in opened))


async def _open_one(wanted: Address) -> Listener:
    targets = await _targets(wanted)
    tries = _PORT_TRIES if wanted.port == 0 and len(targets) > 1 else 1
    while True:
        tries -= 1
        try:
            sockets = await _bind_all(targets)
            break
        except OSError as error:
            if tries and error.errno == errno.EADDRINUSE:
                continue
            raise _explained(wanted, error) from error
    port = sockets[0].getsockname()[1]
    host = wanted.host
    if host in _WILDCARDS:
        host = contact_host(sockets[0].family)
    listeners = [trio.SocketListener(each) for each in sockets]
    address = str(Address(host, port, wanted.scheme))
    if wanted.scheme == TLS:
        return Listener([Secured(each) for each in listeners], address)
    return Listener(listeners, address)


def _explained(address: Address, error: OSError) -> OSError:
    if error.errno == errno.EADDRINUSE:
        return OSError(error.errno, f"{address}: port {address.port} is already in use")
    return OSError(error.errno, f"cannot listen at {address}: {os.strerror(error.errno or 0)}")


async def _targets(address: Address) -> list[_Target]:
    if not address.host:
        return [
            (socket.AF_INET, ("0.0.0.0", address.port)),
            (socket.AF_INET6, ("::", address.port, 0, 0)),
        ]
    try:
        found = await trio.socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as error:
        raise unresolved(str(address), address.host, error) from error
    return list(dict.fromkeys((int(family), sockaddr) for family, _, _, _, sockaddr in found))


async def _bind_all(targets: list[_Target]) -> list[trio.socket.SocketType]:
    """A listening socket for each target, all with the port of the first."""
    with contextlib.ExitStack() as undo:
        sockets: list[trio.socket.SocketType] = []
        missing: OSError | None = None
        for family, (host, port, *rest) in targets:
            at = sockets[0].getsockname()[1] if sockets else port
            try:
                made = undo.enter_context(trio.socket.socket(family, socket.SOCK_STREAM))
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                await made.bind((host, at, *rest))
            except OSError as error:
                # A machine without IPv6 still resolves names to it.
                if error.errno not in _NO_SUCH_FAMILY:
                    raise
                missing = error
                continue
            made.listen(_BACKLOG)
            sockets.append(made)
        if missing is not None and not sockets:
            raise missing
        undo.pop_all()
        return sockets
