"""Two connected connections over memory, for tests and for peers in one process."""

from __future__ import annotations

import trio
import trio.testing

from trio_dask.comm.connection import Connection
from trio_dask.comm.framing import DEFAULT_LIMITS, Limits
from trio_dask.comm.handshake import Hello
from trio_dask.messages.session import CLIENT, SCHEDULER


def connection_pair(
    connecting: str = CLIENT,
    accepting: str = SCHEDULER,
    *,
    limits: Limits = DEFAULT_LIMITS,
    streams: tuple[trio.abc.Stream, trio.abc.Stream] | None = None,
) -> tuple[Connection, Connection]:
    """The ends that the two roles hold; what the streams carry is not authenticated."""
    one, other = streams or trio.testing.memory_stream_pair()
    return (
        Connection(
            one,
            Hello(accepting, "", ""),
            local_address=f"memory://{connecting}",
            remote_address=f"memory://{accepting}",
            limits=limits,
        ),
        Connection(
            other,
            Hello(connecting, "", ""),
            local_address=f"memory://{accepting}",
            remote_address=f"memory://{connecting}",
            limits=limits,
        ),
    )
