"""Where the scheduler is, and with which keys: found once, when a client is made."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from trio_dask.comm import Keys, keys_from_token, parse_contact
from trio_dask.config import Config, find_token, load_config, read_scheduler_file
from trio_dask.errors import ConfigError

PORT = 8786


@dataclass(frozen=True, slots=True)
class Entrance:
    """What it takes to connect, and the client's settings."""

    address: str
    keys: Keys
    connect_timeout_s: float
    argument_bytes_max: int

    @classmethod
    def find(cls, given: object, scheduler_file: str | None, config: Config | None) -> Self:
        """From what the user gave, and the settings where nothing was given.

        Raises:
            ConfigError: there is no address, or it is none.
            AuthenticationError: there is no token.
        """
        config = load_config() if config is None else config
        token = ""
        if scheduler_file is not None:
            if given is not None:
                msg = "give an address or scheduler_file=, not both"
                raise ConfigError(msg)
            file = read_scheduler_file(Path(scheduler_file))
            given, token = file.address, file.token
        elif given is None:
            given = config.scheduler_address or None
        address = getattr(given, "scheduler_address", given)
        token = token or getattr(given, "token", "")  # a cluster knows its own
        if address is None:
            msg = (
                "no scheduler's address: give one, as in AsyncClient('tcp://host:8786'), "
                "or set TRIO_DASK_SCHEDULER_ADDRESS, or give scheduler_file="
            )
            raise ConfigError(msg)
        if not isinstance(address, str):
            msg = f"{given!r:.100} is no scheduler's address, and has none"
            raise ConfigError(msg)
        return cls(
            address=str(parse_contact(address, default_port=PORT)),
            keys=keys_from_token(token or find_token(config)),
            connect_timeout_s=config.comm.connect_timeout_s,
            argument_bytes_max=config.client.argument_bytes_max,
        )


def client_name() -> str:
    """A name nobody else has, that says where the client is."""
    return f"client-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
