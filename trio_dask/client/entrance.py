"""Where the scheduler is, and with which keys: found once, when a client is made."""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from trio_dask.client import cells
from trio_dask.comm import Keys, Security, checked_security, own_keys, parse_contact
from trio_dask.config import Config, SchedulerFile, find_token, known_token, read_scheduler_file
from trio_dask.errors import AuthenticationError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

PORT: Final = 8786

_NOT_NEEDED: Final = "Dask's client has it, this one does not need it; leave it out"
#: What else Dask's client can be told.
_DASKS: Final = dict.fromkeys(
    (
        "connection_limit",
        "deserializers",
        "direct_to_workers",
        "extensions",
        "heartbeat_interval",
        "serializers",
    ),
    _NOT_NEEDED,
)


_IN_A_TASK: Final = (
    "This is inside a task: get_client() gives it a client of its own cluster, without an address "
    "and a token, which tasks are not given. For another cluster, give its scheduler_file= or "
    "config=Config(token=…)."
)


@contextmanager
def advised() -> Iterator[None]:
    """An error of the token says what there is instead, where it is inside a task."""
    try:
        yield
    except AuthenticationError as error:
        from trio_dask.runner import task_here  # clients elsewhere need nothing of runners

        if task_here() is not None:
            error.add_note(_IN_A_TASK)
        raise


@dataclass(frozen=True, slots=True)
class Entrance:
    """What it takes to connect, and the client's settings."""

    address: str
    keys: Keys
    connect_timeout_s: float
    argument_bytes_max: int
    full_tracebacks: bool = False
    reconnect_s: float = 10.0
    tracing: bool = False

    @classmethod
    def unknown(cls, config: Config) -> Self:
        """The settings of a client whose cluster is still to be started."""
        return cls(
            "", Keys(b"", b"", b""), 0.0, config.client.argument_bytes_max,
            tracing=config.client.tracing,
        )  # fmt: skip

    @classmethod
    def find(
        cls,
        given: object,
        scheduler_file: str | os.PathLike[str] | None,
        config: Config,
        timeout: float | None = None,
        *,
        security: object = None,
    ) -> Self:
        """From what the user gave, and the settings where nothing was given.

        Raises:
            ConfigError: there is no address, or it is none; or there is no such file.
            AuthenticationError: there is no token.
            RuntimeError: it is a cluster that was closed.
        """
        token = ""
        if scheduler_file is not None:
            if given is not None:
                msg = "give an address or scheduler_file=, not both"
                raise ConfigError(msg)
            file = _read(Path(scheduler_file).expanduser())
            given, token = file.address, file.token
        elif given is None:
            given = config.scheduler_address
        if getattr(given, "status", "") == "closed":
            msg = f"{given!r} is closed: there is nothing to connect to"
            raise RuntimeError(msg)
        address = getattr(given, "scheduler_address", given)
        token = token or getattr(given, "token", "")  # a cluster knows its own
        if not isinstance(address, str) or not address:
            msg = f"{given!r:.100} is no scheduler's address, and has none"
            raise ConfigError(msg)
        address = str(parse_contact(address, default_port=PORT))
        token = token or known_token(address)
        certificates: Security | None = checked_security(security)
        certificates = certificates or getattr(given, "security", None)
        return cls(
            address=address,
            keys=own_keys(
                token or find_token(config),
                config,
                origin="the cluster's token" if token else "",
                security=certificates,
            ),
            connect_timeout_s=config.comm.connect_timeout_s if timeout is None else timeout,
            argument_bytes_max=config.client.argument_bytes_max,
            full_tracebacks=config.client.full_tracebacks,
            reconnect_s=config.client.reconnect_s,
            tracing=config.client.tracing,
        )


def _read(path: Path) -> SchedulerFile:
    try:
        return read_scheduler_file(path)
    except FileNotFoundError:
        msg = (
            f"there is no scheduler file {path}: "
            f"a scheduler writes it, started with trio-dask scheduler --scheduler-file {path}"
        )
        raise ConfigError(msg) from None


def own_cluster(
    given: object,
    scheduler_file: object,
    config: Config,
    options: dict[str, Any],
    *,
    asynchronous: bool,
    security: Security | bool | None = None,
) -> Any:
    """The cluster that a client starts and closes itself; None where it is told of a scheduler.

    Raises:
        ConfigError: `options` for a cluster of its own, and the scheduler of another; or one
            of Dask's client that ours does not have.
    """
    options = _without_dasks(options, asynchronous=asynchronous)
    if "token" in options:
        msg = "token= is no option of a client: TRIO_DASK_TOKEN, a scheduler file or config=Config(token=…) has it"
        raise ConfigError(msg)
    if given is None and scheduler_file is None and not config.scheduler_address:
        # Here and below, nowhere else, the client looks up: what starts clusters is above it.
        from trio_dask.deploy import AsyncLocalCluster, LocalCluster

        if asynchronous:
            return AsyncLocalCluster(security=security, **options)
        cells.make_room()
        cluster = LocalCluster(security=security, **options)
        cells.started(cluster)
        return cluster
    if options:
        names = ", ".join(f"{name}=" for name in options)
        msg = f"{names} would be for a cluster of the client's own, but a scheduler is given"
        raise ConfigError(msg)
    return None


def reporting() -> Any:
    """What makes reports: it reads dashboards, as clients do not, so it is above them, too."""
    from trio_dask import deploy

    return deploy


def _without_dasks(options: dict[str, Any], *, asynchronous: bool) -> dict[str, Any]:
    """The options without those of Dask's client that ask for what is the case anyway."""
    rest = dict(options)
    wanted = rest.pop("asynchronous", asynchronous)
    if bool(wanted) is not asynchronous:
        blocks = "Client is the one that blocks"
        awaits = "AsyncClient is the one to await, in `async with AsyncClient(…) as client:`"
        msg = f"asynchronous={wanted!r}: {blocks if asynchronous else awaits}"
        raise ConfigError(msg)
    for name in rest:
        if name in _DASKS:
            msg = f"unknown option {name}: {_DASKS[name]}"
            raise ConfigError(msg)
    return rest


def client_name() -> str:
    """A name nobody else has, that says where the client is."""
    return f"client-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
