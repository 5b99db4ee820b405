"""Which connection a client has on which loop."""

from __future__ import annotations

from functools import partial

import anyio
import pytest
import trio
import trio.testing

from tests.comm.comm_driver import KEYS
from tests.comm.test_sockets import echoing
from trio_dask.client.loops import dial, event_here
from trio_dask.comm import AnyioConnection, Connection
from trio_dask.messages.tasks import Free

pytestmark = pytest.mark.network
CALL = partial(dial, keys=KEYS, role="client", expect="scheduler", timeout_s=10.0)


async def test_on_trio_a_small_message_leaves_at_once() -> None:
    """Without a turn of the loop: the writer is not woken for it."""
    async with echoing() as listener, trio.open_nursery() as nursery:
        connection = await CALL(listener.address)
        assert type(connection) is Connection
        assert type(event_here()) is trio.Event
        heard = trio.Event()
        nursery.start_soon(connection.run, lambda _: heard.set())
        await trio.testing.wait_all_tasks_blocked()
        connection.send(Free([1]))
        assert connection.statistics().writes == 1
        assert not connection.queued_bytes
        await heard.wait()
        connection.close("thanks")


async def test_on_asyncio_it_is_one_of_anyio() -> None:
    """The same call, in a thread that runs asyncio."""

    async def main(address: str) -> str:
        connection = await CALL(address)
        assert type(connection) is AnyioConnection
        event_here().set()
        connection.send(Free([1]))
        return await connection.run(lambda _: connection.close("thanks"))

    async with echoing() as listener:
        run = partial(anyio.run, main, listener.address, backend="asyncio")
        assert await trio.to_thread.run_sync(run) == "thanks"
