"""Scopes: what a block starts ends with it, on both loops and for code that blocks."""

# ruff: noqa: PT012 - what raises here is the end of a block

from __future__ import annotations

import threading
import weakref
from typing import Any

import anyio
import pytest

from tests.client.fake_cluster import on_loop, open_blocking, open_client
from tests.client.jobs import fail, inc
from trio_dask import CancelledError, Client, LocalCluster, get_client
from trio_dask.errors import SchedulerUnreachable, TaskTimeout
from trio_dask.messages import tasks


@pytest.mark.anyio
async def test_leaving_waits_for_all() -> None:
    """Also for what others of it need; the values are there afterwards."""
    async with open_client() as (client, fake):
        fake.held = True
        async with anyio.create_task_group() as group:
            async with client.scope() as scope:
                futures = scope.map(inc, range(5))
                total: Any = scope.submit(sum, futures)
                await client.flush()
                group.start_soon(_run, fake)
            assert await total == 15
        assert "left" in repr(scope)
        with pytest.raises(RuntimeError, match="left"):
            _ = scope.submit(inc, 1)
        with pytest.raises(RuntimeError, match="entered once"):
            await scope.__aenter__()


async def _run(fake: Any) -> None:
    fake.run()


@pytest.mark.anyio
async def test_an_error_stops_the_others_and_the_block() -> None:
    """All comes out as one group; what was stopped for it is no error of its own."""
    async with open_client() as (client, fake):
        fake.held = True
        slept = False
        with pytest.raises(ExceptionGroup) as caught:
            async with client.scope() as scope:
                bad, good = scope.submit(fail, "no"), scope.submit(inc, 1)
                await client.flush()
                fake.run(1)
                await anyio.sleep_forever()
                slept = True
        assert not slept
        assert caught.group_contains(ValueError, match="no")
        assert len(caught.value.exceptions) == 1
        assert (bad.status, good.status) == ("error", "cancelled")
        assert "of the same scope, failed" in fake.told(tasks.Cancel)[0].reason


@pytest.mark.anyio
async def test_collecting_lets_all_come_to_their_end() -> None:
    """Every error is in the group."""
    async with open_client() as (client, _):
        with pytest.raises(ExceptionGroup) as caught:
            async with client.scope(on_error="collect") as scope:
                scope.map(fail, ["one", "two"])
                good = scope.submit(inc, 1)
        assert [str(each) for each in caught.value.exceptions] == ["one", "two"]
        assert await good == 2
        with pytest.raises(ValueError, match="on_error"):
            client.scope(on_error="ignore")  # type: ignore[arg-type]


@pytest.mark.anyio
async def test_awaiting_what_failed_says_it_once() -> None:
    """The block's error is the task's; so is the cancellation of one that was stopped for it."""
    async with open_client() as (client, fake):
        for which in (0, 1):
            fake.held = True
            with pytest.raises(ExceptionGroup) as caught:
                async with client.scope() as scope:
                    futures: list[Any] = [scope.submit(fail, "no"), scope.submit(inc, 1)]
                    await client.flush()
                    fake.run(1)
                    with anyio.CancelScope(shield=True):  # so that it is heard of here
                        await futures[which]
            assert [str(each) for each in caught.value.exceptions] == ["no"]


@pytest.mark.anyio
async def test_an_error_of_the_block_stops_all() -> None:
    """It comes out with those of the tasks."""
    async with open_client() as (client, fake):
        fake.held = True
        with pytest.raises(ExceptionGroup) as caught:
            async with client.scope() as scope:
                future = scope.submit(inc, 1)
                raise KeyError("mine")
        assert caught.group_contains(KeyError, match="mine")
        assert future.cancelled()


@pytest.mark.anyio
async def test_cancelling_the_block_stops_all() -> None:
    """While it works, and while it waits in the end; the cancellation goes on as it is."""
    async with open_client() as (client, fake):
        fake.held = True
        for works in (True, False):
            future: Any = None
            with anyio.move_on_after(0.01) as outer:
                async with client.scope() as scope:
                    future = scope.submit(inc, 1)
                    if works:
                        await anyio.sleep_forever()
            assert outer.cancelled_caught
            assert future.cancelled()


@pytest.mark.anyio
async def test_a_scope_has_a_time_limit() -> None:
    """For the block, and for its tasks when it is over."""
    async with open_client() as (client, fake):
        fake.held = True
        for works in (True, False):
            with pytest.raises(ExceptionGroup) as caught:
                async with client.scope(timeout="10ms") as scope:
                    future = scope.submit(inc, 1)
                    if works:
                        await anyio.sleep_forever()
            assert caught.group_contains(TaskTimeout, match=r"0\.01 s")
            assert future.cancelled()


@pytest.mark.anyio
async def test_what_is_detached_goes_on() -> None:
    """It is nobody's but its future's."""
    async with open_client() as (client, fake):
        fake.held = True
        async with client.scope() as scope:
            kept, stopped = scope.detach(scope.submit(inc, 1)), scope.submit(inc, 2)
            scope.cancel()
        assert (kept.status, stopped.status) == ("pending", "cancelled")
        fake.run()
        assert await kept == 2
        with pytest.raises(ValueError, match="not of this scope"):
            _ = scope.detach(kept)


@pytest.mark.anyio
async def test_scopes_in_scopes() -> None:
    """The inner one's errors go through the outer one, and stop what that owns."""
    async with open_client() as (client, fake):
        fake.held = True
        with pytest.raises(ExceptionGroup) as caught:
            async with client.scope() as outer:
                waiting = outer.submit(inc, 1)
                async with client.scope() as inner:
                    _ = inner.submit(fail, "no")
                    await client.flush()
                    fake.run(2)
        assert caught.group_contains(ValueError, match="no", depth=2)
        assert waiting.done()


@pytest.mark.anyio
async def test_losing_the_scheduler_ends_the_waiting() -> None:
    """And is said once, however many tasks there were."""
    async with open_client() as (client, fake):
        fake.held = True
        with pytest.raises(ExceptionGroup) as caught:
            async with client.scope() as scope:
                scope.map(inc, range(10))
                await client.flush()
                fake.die()
        assert caught.group_contains(SchedulerUnreachable)
        assert len(caught.value.exceptions) == 1


# ------------------------------------------------------------ for code that blocks


def test_a_block_that_blocks_owns_its_tasks() -> None:
    """It waits for them; an error in one stops the others and comes out in a group."""
    with open_blocking() as (client, fake):
        with client.scope() as scope:
            futures = scope.map(inc, range(5))
        assert [future.result() for future in futures] == list(range(1, 6))
        fake.held = True
        with pytest.raises(ExceptionGroup) as caught, client.scope() as scope:
            bad, good = scope.submit(fail, "no"), scope.submit(inc, 1)
            client.flush()
            on_loop(client, fake.run, 1)
        assert caught.group_contains(ValueError, match="no")
        assert (bad.status, good.status) == ("error", "cancelled")
        with pytest.raises(CancelledError):
            good.result()


def test_a_blocking_scope_has_a_time_limit() -> None:
    """The tasks are stopped when it is over, whatever the block does then."""
    with open_blocking() as (client, fake):
        fake.held = True
        over = threading.Event()
        with pytest.raises(ExceptionGroup) as caught, client.scope(timeout=0.01) as scope:
            future = scope.submit(inc, 1)
            future.add_done_callback(lambda _: over.set())
            assert over.wait(30)
        assert caught.group_contains(TaskTimeout)
        assert future.cancelled()


@pytest.mark.parametrize("why", ["time", "an error", "cancelled before"])
def test_blocking_scopes_in_scopes(why: str) -> None:
    """What stops the outer one stops those inside, and the block goes on with nothing else."""
    inner: list[Any] = []
    went_on = False
    with open_blocking() as (client, fake):
        fake.held = True
        before = client.scope()
        with before:
            pass
        limit = 0.01 if why == "time" else None
        with pytest.raises(ExceptionGroup) as caught, client.scope(timeout=limit) as scope:
            bad = scope.submit(fail, "no")
            if why == "cancelled before":
                client.flush()
                on_loop(client, fake.run)
            with client.scope(timeout="1h") as middle, client.scope() as inside:
                inner = [middle.submit(inc, 1), inside.submit(inc, 2)]
                if why == "an error":
                    client.flush()
                    on_loop(client, fake.run, 1)
            went_on = True
        assert not went_on
        assert [each.status for each in inner] == ["cancelled"] * 2
        assert [type(each) for each in caught.value.exceptions] == [
            TaskTimeout if why == "time" else ValueError
        ]
        assert bad.status == ("cancelled" if why == "time" else "error")
        fake.held = False
        with client.scope() as scope:
            assert scope.submit(inc, 1).result() == 2  # nothing of that is left


def test_an_error_in_an_inner_scope_is_the_outer_ones_too() -> None:
    """As it was raised there; what the outer one has ends with it."""
    with open_blocking() as (client, fake):
        fake.held = True
        with pytest.raises(ExceptionGroup) as caught, client.scope() as scope:
            other = scope.submit(inc, 1)
            with client.scope() as inside:
                inside.submit(inc, 2)
                raise KeyError
        assert caught.group_contains(KeyError)
        assert len(caught.value.exceptions) == 1
        assert other.cancelled()


def test_a_scope_that_was_left_keeps_nothing_until_its_time_is_over() -> None:
    """Its futures, and with them the values, are released as soon as nobody holds them."""
    with open_blocking() as (client, _):
        gone = threading.Event()
        with client.scope(timeout="1h") as scope:
            future = scope.submit(inc, 1)
        weakref.finalize(scope, gone.set)
        del scope, future
        assert gone.wait(30)


def timers_after_scopes() -> int:
    """Of a task: how many of its scopes' timers do not end."""
    for _ in range(3):
        with get_client().scope(timeout="1h") as scope:
            scope.submit(int)
    timers = [each for each in threading.enumerate() if isinstance(each, threading.Timer)]
    for each in timers:
        each.join(30)
    return sum(each.is_alive() for each in timers)


def test_a_scope_in_a_task_leaves_no_timer() -> None:
    """There it is a thread."""
    with LocalCluster(n_workers=1, processes=False) as cluster, Client(cluster) as client:
        assert client.submit(timers_after_scopes).result() == 0


def test_interrupting_a_blocking_scope() -> None:
    """Ctrl-C stops the tasks, and comes out as itself."""
    with open_blocking() as (client, fake):
        fake.held = True
        with pytest.raises(KeyboardInterrupt), client.scope() as scope:
            future = scope.submit(inc, 1)
            raise KeyboardInterrupt
        assert future.cancelled()
