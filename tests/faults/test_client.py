"""The client when lines are torn or half dead, on Trio and on asyncio."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.client.fake_cluster import SCHEDULER, WORKERS, FakeCluster, client_of
from tests.faults.lines import Line
from trio_dask.comm import AnyioConnection, Hello
from trio_dask.errors import PeerClosed, SchedulerUnreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio_dask.client import AsyncClient

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["trio", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both loops."""
    return str(request.param)


class FaultyCluster(FakeCluster):
    """A fake cluster at the end of lines that the test spoils."""

    def __init__(self, group: Any) -> None:
        super().__init__(group)
        self.lines: dict[str, Line] = {}  # the last one to each address
        self.faults: dict[str, Any] = {}  # of all lines to come
        self.dials = 0

    async def dial(
        self, address: str, *, keys: object, role: str, expect: str, timeout_s: float
    ) -> AnyioConnection:
        """How a client connects."""
        self.dials += 1
        if address in self.dead:
            raise PeerClosed(f"nobody answers at {address}")
        line = self.lines[address] = Line()
        line.change(**self.faults)
        theirs = AnyioConnection(line.called_on_anyio(), Hello(role, "", ""))
        self.connections.append(theirs)
        self.group.start_soon(self._serve, address, theirs)
        return AnyioConnection(line.caller(), Hello(expect, "", ""), remote_address=address)


@asynccontextmanager
async def open_client(**faults: Any) -> AsyncIterator[tuple[AsyncClient, FaultyCluster]]:
    """A client, and a cluster that is ended at the end."""
    async with anyio.create_task_group() as group:
        fake = FaultyCluster(group)
        fake.faults = faults
        try:
            with anyio.fail_after(20):
                async with client_of(fake) as client:
                    yield client, fake
        finally:
            group.cancel_scope.cancel()


def double(number: int) -> int:
    """A task."""
    return 2 * number


def large(number: int) -> bytes:
    """A task whose result stays with a worker."""
    return bytes([number]) * 5000


@pytest.mark.parametrize("chunk", [1, 3, 50])
async def test_frames_in_pieces(chunk: int) -> None:
    """However bytes are cut on their way, tasks, values and arguments arrive."""
    async with open_client(chunk=chunk) as (client, fake):
        fake.inline_bytes_max = 2000
        assert await client.gather(client.map(double, range(20))) == list(range(0, 40, 2))
        assert await client.submit(large, 7) == b"\7" * 5000
        [stored] = await client.scatter([b"x" * 3000])
        assert await client.submit(len, stored) == 3000


@pytest.mark.parametrize("bytes_left", [1, 8, 30])
async def test_the_schedulers_line_is_torn(bytes_left: int) -> None:
    """It ends within a frame: whoever waits is told what happened, and leaving takes no time."""
    async with open_client() as (client, fake):
        fake.held = True
        futures = client.map(double, range(300))
        await client.scheduler_info()
        line = fake.lines[SCHEDULER]
        line.back.change(cut_after=line.back.passed + bytes_left)
        fake.dead.add(SCHEDULER)  # for those who look for it again
        fake.run()
        with pytest.raises(SchedulerUnreachable, match="in the middle of a frame"):
            await client.gather(futures)
        with pytest.raises(SchedulerUnreachable):
            await client.submit(double, 1)


@pytest.mark.parametrize("bytes_left", [1, 8, 100, 4000])
async def test_a_workers_line_is_torn(bytes_left: int) -> None:
    """A value of which a part has come is fetched again, from another worker."""
    async with open_client() as (client, fake):
        fake.inline_bytes_max = 0
        future = client.submit(large, 3)
        await client.scheduler_info()
        await future.exception()
        fake.faults = {"cut_after": bytes_left}

        def heal(address: str) -> None:
            fake.faults = {}

        dial = fake.dial

        async def dial_once(address: str, **options: Any) -> AnyioConnection:
            connection = await dial(address, **options)
            heal(address)
            return connection

        client.live._dial = dial_once
        assert client.live._data is not None
        client.live._data._dial = dial_once
        assert await future == b"\3" * 5000
        assert list(fake.lines) == [SCHEDULER, *WORKERS]


async def test_a_scheduler_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Submitting never blocks, waiting can be bounded, and leaving is."""
    monkeypatch.setattr("trio_dask.comm.conversation.FAREWELL_S", 0.05)
    monkeypatch.setattr("trio_dask.comm.anyio_connection.FAREWELL_S", 0.05)
    async with open_client() as (client, fake):
        first = await client.submit(double, 1)
        fake.lines[SCHEDULER].there.change(stopped=True)
        futures = client.map(double, range(50_000))
        with pytest.raises(TimeoutError, match="is not done after"):
            await futures[0].result(timeout=0.01)
        assert first == 2


async def test_a_scheduler_that_is_gone_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line on which everything is lost looks like a slow one: waits with a limit end, and so does leaving."""
    monkeypatch.setattr("trio_dask.comm.anyio_connection.FAREWELL_S", 0.05)
    async with open_client() as (client, fake):
        fake.lines[SCHEDULER].change(lost=True)
        future = client.submit(double, 1)
        with pytest.raises(TimeoutError):
            await future.result(timeout=0.01)
