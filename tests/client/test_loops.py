"""Which connection a client has on which loop."""

from __future__ import annotations

from functools import partial

import anyio
import pytest
import trio
import trio.testing

from tests.comm.comm_driver import KEYS
from tests.comm.test_sockets import echoing
from trio_dask.client.entrance import Entrance
from trio_dask.client.live import Live
from trio_dask.client.loops import dial, event_here
from trio_dask.client.waits import ThreadWaits
from trio_dask.comm import AnyioConnection, Connection
from trio_dask.config import Config
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


def test_one_wake_up_is_enough_for_what_is_gone_and_what_is_new() -> None:
    """Who lets go of a future and submits the next task wakes the loop once."""
    woken: list[int] = []
    live = Live(
        Entrance.unknown(Config()), object(), dial, name="c", waits=ThreadWaits(), on_loop=False
    )
    live._wake = live.core.table.drops.wake = lambda: woken.append(1)
    live.core.table.drops.append(5)
    live.soon()
    assert len(woken) == 1
    live.core.drop()
    live.soon()
    live.soon()
    assert len(woken) == 2


def test_a_wake_up_that_ctrl_c_has_ended_is_made_up_for() -> None:
    """Whoever comes next wakes the loop, whether something is gone or new."""
    woken: list[int] = []

    def interrupted() -> None:
        raise KeyboardInterrupt

    live = Live(
        Entrance.unknown(Config()), object(), dial, name="c", waits=ThreadWaits(), on_loop=False
    )
    drops = live.core.table.drops
    for call in (live.soon, lambda: drops.append(5)):
        live._wake = drops.wake = interrupted
        with pytest.raises(KeyboardInterrupt):
            call()
        live._wake = drops.wake = lambda: woken.append(1)
        live.soon()
        live._on_wake()
    assert len(woken) == 2
