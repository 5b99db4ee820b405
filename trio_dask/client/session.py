"""A client's connection to the scheduler: how it is made, and for how long that is tried."""

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
)
from trio_dask.messages.session import CLIENT, SCHEDULER

if TYPE_CHECKING:
    from trio_dask.comm import AnyioConnection, Connection, Keys

    AnyConnection: TypeAlias = AnyioConnection | Connection

logger = logging.getLogger("trio_dask.client")

_RETRY_S: Final = 0.1
_RETRY_S_MAX: Final = 2.0
#: The same reason is said again after so long.
_SAY_S: Final = 5.0


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
    wait_s, said, said_at = _RETRY_S, "", 0.0
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
                raise SchedulerUnreachable(msg) from None  # it says all that the others say
            why, now = str(error), anyio.current_time()
            if not quiet and (why != said or now >= said_at + _SAY_S):
                said, said_at = why, now
                logger.warning(
                    "no scheduler answers at %s, trying again for %.2g s: %s", address, left, why
                )
            await anyio.sleep(min(wait_s, left))
            wait_s = min(wait_s * 2, _RETRY_S_MAX)
