"""The scheduler server when lines are slow, torn, half dead: one peer's trouble is its own."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from tests.faults.town import Peer, Town, open_town
from trio_dask.comm import Limits, serve
from trio_dask.messages import Message, session, tasks as words
from trio_dask.messages.ids import first_id

if TYPE_CHECKING:
    from trio.testing import MockClock


def ignore(peer: Peer, message: Message) -> None:
    """What a test does with messages it does not care about."""


def double(number: int) -> int:
    """A task."""
    return 2 * number


def blob(size: int) -> bytes:
    """A task with a large result."""
    return bytes(size)


def add(one: int, other: int) -> int:
    """A task with inputs."""
    return one + other


async def check_served(town: Town) -> None:
    """Somebody else gets work done, in no time."""
    before = trio.current_time()
    async with town.client() as client:
        futures = client.map(double, range(20))
        total = client.submit(add, futures[3], futures[4])
        assert await client.gather(futures) == [2 * number for number in range(20)]
        assert await total == 14
    assert trio.current_time() == before


async def raw_client(town: Town, count: int, size: int) -> tuple[Peer, int]:
    """A client that has asked for so many results of so many bytes each, and its first id."""
    from trio_dask.messages.payload import pack, pack_function

    peer = await town.peer(session.CLIENT, ignore, session.RegisterClient("raw"))
    (welcome,) = peer.heard
    assert isinstance(welcome, session.Welcome)
    first = first_id(welcome.number)
    args = pack(((size,), {}))
    assert isinstance(args, bytes)
    peer.connection.send(
        words.Functions([first], ["blob"], [pack_function(blob)]),
        words.Submit(first, [first], [args] * count, [], [], [], [], wanted=True, options={}),
    )
    return peer, first


def finished(peer: Peer) -> int:
    """How many results it has."""
    return sum(len(each.tids) for each in peer.heard if isinstance(each, words.Finished))


@pytest.mark.parametrize("chunk", [1, 2, 7, 61])
async def test_frames_in_pieces(autojump_clock: MockClock, chunk: int) -> None:
    """However the bytes of handshakes and messages are cut on their way, all arrives."""
    async with open_town() as town:
        town.faults = {"chunk": chunk}
        await town.worker("one")
        await town.worker("two", nthreads=2)
        await check_served(town)


async def test_a_client_that_stops_reading(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its results pile up to a limit, then it is cut; meanwhile and afterwards others are served."""
    caplog.set_level(logging.INFO, "trio_dask.scheduler")
    limits = Limits(outbox_bytes_max=500_000)
    monkeypatch.setattr("trio_dask.scheduler.server.serve", partial(serve, limits=limits))
    async with open_town() as town:
        await town.worker("one")
        peer, _ = await raw_client(town, 3000, 1000)
        peer.line.back.change(stopped=True)
        await check_served(town)
        while len(town.core.state.clients):
            await trio.testing.wait_all_tasks_blocked()
            await check_served(town)
        assert "client raw left: client at memory:// does not read" in caplog.text
        assert not town.core.state.tasks
        assert trio.current_time() == 0


async def test_a_slow_reader(autojump_clock: MockClock) -> None:
    """It gets everything, in its own time; others are not slowed down."""
    async with open_town() as town:
        await town.worker("one")
        peer, _ = await raw_client(town, 100, 1000)
        peer.line.back.change(chunk=1000, pause_s=1.0)
        await check_served(town)
        assert finished(peer) < 100
        while finished(peer) < 100:
            await trio.sleep(10)
            await check_served(town)
        assert trio.current_time() > 50
        assert peer.ended is None


@pytest.mark.parametrize("bytes_left", [1, 9, 40])
async def test_a_frame_that_is_torn(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, bytes_left: int
) -> None:
    """A line that ends within a frame ends that session, and what only it wanted is forgotten."""
    caplog.set_level(logging.INFO, "trio_dask.scheduler")
    async with open_town() as town:
        worker = await town.worker("one")
        worker.idle = True
        peer, first = await raw_client(town, 50, 10)
        await trio.testing.wait_all_tasks_blocked()
        peer.line.there.change(cut_after=peer.line.there.passed + bytes_left)
        peer.connection.send(words.Release(list(range(first, first + 50))))
        await peer.wait_end()
        assert "client raw left: " in caplog.text
        assert "in the middle of a frame" in caplog.text
        attempts = [each for each in worker.peer.heard if isinstance(each, words.Run)]
        worker.peer.connection.send(*[words.Returned(each.attempts) for each in attempts])
        await trio.testing.wait_all_tasks_blocked()
        assert not town.core.state.tasks
        worker.idle = False
        await check_served(town)


async def test_a_worker_that_is_torn_off(autojump_clock: MockClock) -> None:
    """Its line ends within a report: the work is done by another, at once."""
    async with open_town() as town:
        torn = await town.worker("torn", nthreads=4)
        torn.idle = True
        async with town.client() as client:
            futures = client.map(double, range(4))
            await torn.peer.wait_for(words.Run)
            torn.peer.line.there.change(cut_after=torn.peer.line.there.passed + 5)
            torn.peer.connection.send(session.Heartbeat({}))
            await town.worker("whole")
            assert await client.gather(futures) == [0, 2, 4, 6]
        assert trio.current_time() == 0


async def test_a_worker_nobody_hears_of(autojump_clock: MockClock) -> None:
    """Its host is gone without a word: when its time is up another does its work."""
    async with open_town(worker_ttl_s=30.0, tick_s=0.5) as town:
        gone = await town.worker("gone", nthreads=4)
        gone.idle = True
        async with town.client() as client:
            futures = client.map(double, range(4))
            await gone.peer.wait_for(words.Run)
            gone.peer.line.change(lost=True)
            alive = await town.worker("alive")
            beats = trio.CancelScope()

            async def beat() -> None:
                with beats:
                    while True:
                        alive.peer.connection.send(session.Heartbeat({}))
                        await trio.sleep(5)

            town.nursery.start_soon(beat)
            assert await client.gather(futures) == [0, 2, 4, 6]
            beats.cancel()
        assert 30 <= trio.current_time() <= 31.5
        assert alive.peer.ended is None


async def test_a_scheduler_that_was_stopped(mock_clock: MockClock) -> None:
    """After it stood still for ten minutes it reads what came in the meantime before it gives anyone up."""
    async with open_town(worker_ttl_s=30.0, tick_s=0.5) as town:
        workers = [await town.worker(f"w{number}") for number in range(20)]
        await trio.testing.wait_all_tasks_blocked()
        for worker in workers:
            worker.peer.line.there.change(stopped=True)
            worker.peer.connection.send(session.Heartbeat({}))
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(600)
        for worker in workers:
            worker.peer.line.there.change(stopped=False)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(1)
        await trio.testing.wait_all_tasks_blocked()
        assert len(town.core.state.workers) == 20


async def test_closing_does_not_wait_for_who_does_not_read(autojump_clock: MockClock) -> None:
    """A scheduler that ends says goodbye to all, and leaves those who do not listen."""
    async with open_town() as town:
        await town.worker("one")
        deaf, _ = await raw_client(town, 3000, 1000)
        deaf.line.back.change(stopped=True)
        await raw_client(town, 1, 1)
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
    assert trio.current_time() - began <= 3.0
