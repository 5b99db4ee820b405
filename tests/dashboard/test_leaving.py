"""The end of a dashboard: it waits for no viewer, whatever that does, and leaves nothing."""

from __future__ import annotations

import gc
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from tests.dashboard.test_serving import EVENTS, encrypted, open_https, open_site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

pytestmark = pytest.mark.network
FDS = Path("/proc/self/fd")


class Waits(trio.abc.Instrument):
    """How often there was nothing to do but to wait, for a time or for somebody."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += timeout > 0


@asynccontextmanager
async def open_any(https: bool) -> AsyncIterator[Callable[[], Awaitable[trio.abc.Stream]]]:
    """A dashboard, and how somebody comes to it."""
    if https:
        async with encrypted(workers=200) as (dashboard, source):
            yield lambda: open_https(dashboard, source)
    else:
        async with open_site(workers=200) as site:
            yield site.connect


def there_is() -> tuple[int, int]:
    """Descriptors and tasks."""
    gc.collect()
    return len(list(FDS.iterdir())), trio.lowlevel.current_statistics().tasks_living


async def crowd(https: bool, count: int) -> int:
    """So many that come and do not read, in many ways; how often their end had to wait."""
    waits, kept = Waits(), list[trio.abc.Stream]()
    async with open_any(https) as connect:
        for number in range(count):
            stream = await connect()
            plain = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
            assert isinstance(plain, trio.SocketStream)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            # Some ask once, some so often that what they are told fills all that lies between.
            await stream.send_all(EVENTS * (1 if number % 8 else 40))
            if number % 8 == 1:
                while b"snapshot" not in await stream.receive_some():
                    pass  # it has read for a while
            if number % 2:
                kept.append(stream)
            else:
                await trio.aclose_forcefully(stream)
        await trio.testing.wait_all_tasks_blocked(0.05)
        trio.lowlevel.add_instrument(waits)
    trio.lowlevel.remove_instrument(waits)
    for stream in kept:
        await trio.aclose_forcefully(stream)
    return waits.count


@pytest.mark.skipif(not FDS.is_dir(), reason="descriptors are counted on Linux")
@pytest.mark.parametrize(("https", "count"), [(False, 300), (True, 48)])
async def test_the_end_waits_for_nobody_and_leaves_nothing(https: bool, count: int) -> None:
    """From the moment it is told to the last, there is always something to do, and then nobody left."""
    await crowd(https, 1)  # what is loaded once stays
    before = there_is()
    assert await crowd(https, count) == 0
    assert there_is() == before
