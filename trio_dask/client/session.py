"""A client's connections: one to the scheduler, one to each worker it has values from or for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import anyio

from trio_dask.client.loops import dial as dial_here
from trio_dask.errors import (
    AuthenticationError,
    CommError,
    HandshakeRefused,
    SchedulerUnreachable,
    TrioDaskError,
)
from trio_dask.messages.session import CLIENT, SCHEDULER, WORKER, RegisterPeer

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.comm import AnyioConnection, Connection, Keys
    from trio_dask.messages import Message

    AnyConnection: TypeAlias = AnyioConnection | Connection

logger = logging.getLogger("trio_dask.client")

#: How long a worker may take to answer a new data connection.
DATA_CONNECT_S: Final = 10.0
_RETRY_S: Final = 0.1
_RETRY_S_MAX: Final = 2.0


class Dial(Protocol):
    """How connections are made; tests have another way."""

    async def __call__(
        self, address: str, *, keys: Keys, role: str, expect: str, timeout_s: float
    ) -> AnyConnection:
        """An authenticated connection."""


async def reach_scheduler(
    address: str, keys: Keys, timeout_s: float, dial: Dial = dial_here, *, quiet: bool = False
) -> AnyConnection:
    """A connection to the scheduler; keeps trying, and says so, until the time is up.

    With `quiet` it was there before, and is said to be looked for.

    Raises:
        SchedulerUnreachable: the time is up.
        AuthenticationError, HandshakeRefused: it is there, but does not take us.
    """
    deadline = anyio.current_time() + timeout_s
    wait_s = _RETRY_S
    while True:
        left = max(0.0, deadline - anyio.current_time())
        try:
            return await dial(
                address, keys=keys, role=CLIENT, expect=SCHEDULER, timeout_s=max(left, _RETRY_S)
            )
        except (AuthenticationError, HandshakeRefused) as error:
            if isinstance(error, AuthenticationError):
                error.add_note(
                    "Set TRIO_DASK_TOKEN to what `trio-dask token show` prints "
                    "where the scheduler runs."
                )
            raise
        except (CommError, OSError) as error:
            left = deadline - anyio.current_time()
            if left <= 0:
                msg = f"no scheduler answers at {address} within {timeout_s:g} s: {error}"
                raise SchedulerUnreachable(msg) from error
            if not quiet:
                logger.warning("no scheduler answers at %s, trying again: %s", address, error)
            await anyio.sleep(min(wait_s, left))
            wait_s = min(wait_s * 2, _RETRY_S_MAX)


class DataLinks:
    """Connections to workers' data listeners, opened when something is to be said.

    Args:
        start: run something in the client's task group.
        handle: a worker has said something.
        lost: a worker cannot be reached, or has gone, and why.
    """

    def __init__(
        self,
        name: str,
        keys: Keys,
        *,
        start: Callable[..., object],
        handle: Callable[[str, list[Message]], None],
        lost: Callable[[str, str], None],
        dial: Dial = dial_here,
    ) -> None:
        self._name = name
        self._keys = keys
        self._start = start
        self._handle = handle
        self._lost = lost
        self._dial = dial
        self._queues: dict[str, list[Message]] = {}  # of connections being made
        self._open: dict[str, AnyConnection] = {}
        self._closed = False

    def send(self, address: str, message: Message) -> None:
        """Say something to a worker."""
        connection = self._open.get(address)
        if connection is not None:
            connection.send(message)
        elif address in self._queues:
            self._queues[address].append(message)
        elif not self._closed:
            self._queues[address] = [message]
            self._start(self._serve, address)

    def close(self, reason: str) -> None:
        """Say goodbye to all."""
        self._closed = True
        for connection in self._open.values():
            connection.close(reason)

    async def _serve(self, address: str) -> None:
        reason = "it closed the connection"
        try:
            connection = await self._dial(
                address, keys=self._keys, role=CLIENT, expect=WORKER, timeout_s=DATA_CONNECT_S
            )
            connection.send(RegisterPeer(self._name), *self._queues.pop(address))
            self._open[address] = connection
            if self._closed:
                connection.close("the client was closed")
            await connection.run(lambda messages: self._handle(address, messages))
        except (TrioDaskError, OSError) as error:
            reason = str(error)
        finally:
            self._open.pop(address, None)
            self._queues.pop(address, None)
            self._lost(address, reason)
