"""Where to listen, from what people say: protocols, hosts and ports, several of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.comm.addresses import SCHEMES, Address
from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence


def listening_places(protocols: str, hosts: str, ports: Sequence[int]) -> list[list[str]]:
    """For each place to listen at, the addresses to be tried.

    Several protocols, or hosts, are several places. As many ports are one for each; for a
    single place they are tried until one is free.

    >>> listening_places("tcp", "", [8786])
    [['tcp://:8786']]
    >>> listening_places("tcp,tls", "", [8786, 8785])
    [['tcp://:8786'], ['tls://:8785']]
    >>> listening_places("tcp", "10.0.0.1", [8786, 8787])
    [['tcp://10.0.0.1:8786', 'tcp://10.0.0.1:8787']]

    Raises:
        ConfigError: they do not go together.
    """
    schemes = [each.strip().removesuffix("://") for each in protocols.split(",")]
    places = [each.strip() for each in hosts.split(",")]
    for scheme in schemes:
        if scheme not in SCHEMES:
            msg = f"--protocol: {scheme!r} is not known, only {' and '.join(SCHEMES)}"
            raise ConfigError(msg)
    count = max(len(schemes), len(places))
    if len(schemes) not in {1, count} or len(places) not in {1, count}:
        msg = f"{len(schemes)} protocols and {len(places)} hosts: there must be as many of each, or one"
        raise ConfigError(msg)
    if count == 1:
        return [[str(Address(places[0], port, schemes[0])) for port in ports]]
    if len(ports) not in {1, count}:
        msg = f"{count} places to listen at and {len(ports)} ports: give one port for each"
        raise ConfigError(msg)
    if len(ports) == 1 and ports[0] and len(places) == 1:
        msg = f"{count} protocols on port {ports[0]}: give a port for each, as in 8786,8785"
        raise ConfigError(msg)
    schemes *= count // len(schemes)
    places *= count // len(places)
    given = list(ports) * (count // len(ports))
    return [
        [str(Address(place, port, scheme))]
        for scheme, place, port in zip(schemes, places, given, strict=True)
    ]
