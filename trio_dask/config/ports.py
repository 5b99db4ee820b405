"""Ports as people write them: one, a range as in ``3000:3026``, or several by commas."""

from __future__ import annotations

from typing import Final

from trio_dask.errors import ConfigError

PORT_MAX: Final = 65535

#: One port, or several of which the first that is free is taken.
Ports = int | tuple[int, ...]


def parse_ports(raw: object) -> Ports:
    """One port, or several; 0 lets the system choose.

    >>> parse_ports("8786")
    8786
    >>> parse_ports("3000:3002,4000")
    (3000, 3001, 3002, 4000)

    Raises:
        ConfigError: it is none of that.
    """
    if isinstance(raw, tuple):
        raw = ports_text(raw)
    if isinstance(raw, int) and not isinstance(raw, bool):
        raw = str(raw)
    if not isinstance(raw, str):
        msg = f"{raw!r} is no whole number of at least 0, and no range of ports as in 3000:3026"
        raise ConfigError(msg)
    ports: list[int] = []
    for part in raw.split(","):
        first, colon, last = part.strip().partition(":")
        start = _port(first, raw)
        end = _port(last, raw) if colon else start
        if end < start or (colon and not start):
            msg = f"{raw!r}: {part.strip()} is no range of ports; write the lower one first"
            raise ConfigError(msg)
        ports += range(start, end + 1)
    return ports[0] if len(ports) == 1 else tuple(dict.fromkeys(ports))


def _port(text: str, raw: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        shown = raw if raw.lstrip("-").isdecimal() and raw.isascii() else repr(raw)
        msg = f"{shown} is no whole number of at least 0, and no range of ports as in 3000:3026"
        raise ConfigError(msg)
    if len(text) > 9 or int(text) > PORT_MAX:
        shown = raw if raw == text else repr(raw)
        msg = f"{shown} is no port; ports end at {PORT_MAX}"
        raise ConfigError(msg)
    return int(text)


def port_choices(ports: Ports) -> tuple[int, ...]:
    """All of them, in the order in which they are tried."""
    return (ports,) if isinstance(ports, int) else ports


def ports_text(ports: Ports) -> str:
    """As they are written.

    >>> ports_text((3000, 3001, 3002, 4000))
    '3000:3002,4000'
    """
    parts: list[list[int]] = []
    for port in port_choices(ports):
        if parts and parts[-1][-1] == port - 1:
            parts[-1][1:] = [port]
        else:
            parts.append([port])
    return ",".join(":".join(map(str, part)) for part in parts)
