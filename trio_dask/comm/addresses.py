"""Addresses as people write them: ``tcp://host:port``, ``tls://host:port``, ``[::1]:8786``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from trio_dask.errors import ConfigError

TCP: Final = "tcp"
#: The same, encrypted: both sides show a certificate.
TLS: Final = "tls"
SCHEMES: Final = (TCP, TLS)
#: What names of hosts, and what is between the dots of one, may be long.
_HOST_MAX: Final = 253
_PART_MAX: Final = 63

_ADDRESS: Final = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+.-]*)://)?"
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<host>[^\[\]:/?#@\s]*))"
    r"(?::(?P<port>[0-9]{1,5}))?/?"
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where something listens. An empty host means all interfaces."""

    host: str
    port: int
    scheme: str = TCP

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_address(
    text: str, *, default_port: int | None = None, default_scheme: str = TCP
) -> Address:
    """The address that is written there.

    >>> parse_address("tcp://[::1]:8786")
    Address(host='::1', port=8786, scheme='tcp')
    >>> str(parse_address("localhost", default_port=8786))
    'tcp://localhost:8786'

    Raises:
        ConfigError: it is no address; the message says what is wrong with it.
    """
    match = _ADDRESS.fullmatch(text.strip())
    if match is None:
        msg = f"{text!r} is no address: write tcp://host:port, and IPv6 hosts in brackets"
        raise ConfigError(msg)
    host = match["v6"] or match["host"] or ""
    if not _may_be_a_host(host):
        msg = f"{text!r} is no address: {host!r} is no name of a host"
        raise ConfigError(msg)
    scheme = match["scheme"] or default_scheme
    if scheme not in SCHEMES:
        msg = f"{text!r}: {scheme}:// is not known, only {TCP}:// and {TLS}://"
        raise ConfigError(msg)
    port = default_port if match["port"] is None else int(match["port"])
    if port is None:
        msg = f"{text!r} has no port: write tcp://host:port"
        raise ConfigError(msg)
    if port > 65535:
        msg = f"{text!r}: port {port} is above 65535"
        raise ConfigError(msg)
    return Address(host, port, scheme)


def _may_be_a_host(host: str) -> bool:
    """Whether it could be looked up at all: no part of a name is empty, or longer than 63."""
    parts = host.removesuffix(".").split(".")
    fits = len(host) <= _HOST_MAX and all(0 < len(part) <= _PART_MAX for part in parts)
    return not host or (fits and host.isprintable())


def parse_contact(
    text: str, *, default_port: int | None = None, default_scheme: str = TCP
) -> Address:
    """An address to connect to: unlike one to listen at, it has a host and a real port.

    Raises:
        ConfigError: it cannot be connected to.
    """
    address = parse_address(text, default_port=default_port, default_scheme=default_scheme)
    if not address.host or not address.port:
        msg = f"{text!r} cannot be connected to: it needs a host and a port"
        raise ConfigError(msg)
    return address
