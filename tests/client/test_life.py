"""Opening and closing, and everything that may be wrong with it, on both loops."""

from __future__ import annotations

import gc
import logging
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.client.fake_cluster import CONFIG, SCHEDULER, client_of, open_client, open_fake
from tests.client.jobs import inc
from trio_dask import AsyncClient
from trio_dask.errors import (
    AuthenticationError,
    CancelledError,
    HandshakeRefused,
    PeerClosed,
    SchedulerUnreachable,
)
from trio_dask.messages import session

pytestmark = pytest.mark.anyio


async def test_close_is_idempotent_and_silent(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Pending futures are cancelled, later calls say what is wrong, nothing is printed."""
    async with open_client() as (client, fake):
        fake.held = True
        futures = client.map(inc, range(300))
        await client.flush()
        await client.close()
        await client.close()
        assert futures[0].status == "cancelled"
        with pytest.raises(CancelledError, match="the client was closed"):
            await futures[0]
        with pytest.raises(RuntimeError, match="closed"):
            _ = client.submit(inc, 1)
        assert "closed" in repr(client)
        del futures
        gc.collect()
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")


async def test_error_in_the_block_comes_out_as_it_is() -> None:
    """Not in a group."""
    async with open_fake() as fake:
        with pytest.raises(KeyError, match="mine"):
            async with client_of(fake):
                raise KeyError("mine")


async def test_leaving_by_cancellation() -> None:
    """A block that is cancelled says goodbye, too."""
    async with open_fake() as fake:
        with anyio.move_on_after(5) as scope:
            async with client_of(fake) as client:
                fake.held = True
                await client.flush()
                scope.cancel()
                await client.submit(inc, 1)
        assert scope.cancelled_caught
        assert client.live.core.ended == "the client was closed"


async def test_waiters_hear_that_the_client_was_closed() -> None:
    """Closing in one task ends the waiting in others."""
    async with open_client() as (client, fake):
        fake.held = True
        future = client.submit(inc, 1)

        async def waiter() -> None:
            with pytest.raises(CancelledError, match="closed"):
                await future

        async with anyio.create_task_group() as group:
            group.start_soon(waiter)
            await anyio.wait_all_tasks_blocked()
            await client.close()


async def test_not_open_yet() -> None:
    """Using it before the block says how."""
    async with open_fake() as fake:
        client = client_of(fake)
        with pytest.raises(RuntimeError, match="async with"):
            _ = client.submit(inc, 1)
        await client.close()
        async with client:
            assert await client.submit(inc, 1) == 2
        with pytest.raises(RuntimeError, match="opened once"):
            async with client:
                pass


async def test_unreachable_scheduler(caplog: pytest.LogCaptureFixture) -> None:
    """Tries until the time is up, says so once, and names the address."""
    async with open_fake() as fake:
        fake.dead.add(SCHEDULER)
        with pytest.raises(SchedulerUnreachable, match=r"scheduler:8786 within 0\.3 s: nobody"):
            async with client_of(fake, timeout=0.3):
                pass
    warnings = [each.message for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "trying again for 0.3 s: nobody" in warnings[0]


async def test_scheduler_that_comes_late() -> None:
    """Is found."""
    async with open_fake() as fake:
        tries: list[str] = []

        async def dial(address: str, **options: Any) -> Any:
            tries.append(address)
            if len(tries) < 2:
                raise PeerClosed("not yet")
            return await fake.dial(address, **options)

        async with AsyncClient(SCHEDULER, config=CONFIG, dial=dial) as client:
            assert await client.submit(inc, 1) == 2


async def test_wrong_token_says_what_to_do() -> None:
    """At once, without trying again."""

    async def dial(address: str, **options: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        raise AuthenticationError("not the cluster's token")

    with pytest.raises(AuthenticationError) as caught:
        async with AsyncClient(SCHEDULER, config=CONFIG, dial=dial):
            pass
    assert "trio-dask token show" in caught.value.__notes__[0]


async def test_refused_registration() -> None:
    """The scheduler's reason comes out."""
    async with open_fake() as fake:
        fake.on_scheduler = lambda connection, message: connection.send(  # type: ignore[method-assign]
            session.Refused("no more clients")
        )
        with pytest.raises(HandshakeRefused, match="no more clients"):
            async with client_of(fake):
                pass


async def test_scheduler_that_leaves_at_once() -> None:
    """Before it has welcomed us."""
    async with open_fake() as fake:
        fake.on_scheduler = lambda connection, message: connection.close("not now")  # type: ignore[method-assign]
        with pytest.raises(SchedulerUnreachable, match="not now"):
            async with client_of(fake):
                pass


async def test_questions() -> None:
    """Answered by the scheduler, or refused with its reason, or not in time."""
    async with open_client() as (client, _):
        info = await client.scheduler_info()
        assert info == {"n_workers": 2, "address": SCHEDULER}
        assert len(await client.nthreads()) == 2
        with pytest.raises(ValueError, match=r"what\?"):
            await client.live.ask("nonsense", {})
        with pytest.raises(TimeoutError, match="only 2 of 3 workers"):
            await client.wait_for_workers(3, timeout=0.001)
        with pytest.raises(ValueError, match="n_workers=0"):
            await client.wait_for_workers(0)


async def test_an_unforeseen_error_in_sending_is_told_to_who_waits(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop is not ours to end, and would not tell those who wait."""

    def fail(*_: object) -> None:
        raise MemoryError

    async with open_client() as (client, fake):
        fake.held = True
        future = client.submit(inc, 1)
        await client.flush()
        monkeypatch.setattr(client._core, "flush", fail)
        _ = client.submit(inc, 2)
        with pytest.raises(SchedulerUnreachable, match="the client failed: MemoryError"):
            await future
        monkeypatch.undo()
    assert "MemoryError" in caplog.text
