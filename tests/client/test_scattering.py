"""How long a scatter waits for a worker, and what it says meanwhile."""

from __future__ import annotations

import anyio
import pytest

from tests.client.fake_cluster import open_blocking, open_client
from trio_dask.client import scattering
from trio_dask.client.core.storing import Storer
from trio_dask.messages import Message, tasks, values


@pytest.mark.anyio
async def test_no_worker_in_time() -> None:
    """It says which value and why, and lets go of all of them."""
    async with open_client() as (client, fake):
        words = r"scatter: 2 values found no worker within 0 s\. Nobody is here\."
        with pytest.raises(TimeoutError, match=words) as caught:
            await client.scatter([1, 2], workers="nobody", timeout=0)
        await client.flush()
        assert fake.tids(tasks.Release) == fake.tids(tasks.Put)
        del caught  # it holds the traceback, but that holds nothing
        assert not client._core.storing._puts


@pytest.mark.anyio
async def test_no_time_is_enough_where_there_is_a_worker() -> None:
    """However long a value then takes."""
    async with open_client() as (client, _):
        assert await (await client.scatter(5, timeout=0)) == 5


@pytest.mark.anyio
async def test_a_wait_for_a_worker_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In the client's log, with the reason; when there is a worker all is well."""
    monkeypatch.setattr(scattering, "LOOK_S", 0.001)
    async with open_client() as (client, fake), anyio.create_task_group() as beside:

        async def come() -> None:
            while len(fake.told(tasks.Put)) < 1 or not caplog.records:
                await client.flush()
            for _ in range(10):
                await client.flush()
            fake.place()

        beside.start_soon(come)
        assert await (await client.scatter(5, workers="nobody")) == 5
    lines = [each.getMessage() for each in caplog.records if each.name == "trio_dask.client"]
    assert lines == ["scatter: a value waits for a worker. Nobody is here."]


@pytest.mark.anyio
async def test_a_scheduler_that_is_away_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else could say where the value should go."""
    async with open_client() as (client, _):
        monkeypatch.setattr(type(client._core), "away", True)
        with pytest.raises(TimeoutError, match="The scheduler cannot be reached at the moment"):
            _ = await client.scatter(5, workers="nobody", timeout=0)


@pytest.mark.anyio
async def test_a_scheduler_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for, either."""
    monkeypatch.setattr(scattering, "ANSWER_S", 0.0)
    async with open_client() as (client, _):
        with pytest.raises(TimeoutError, match="The scheduler does not say why"):
            _ = await client.scatter(5, workers="nobody", timeout=0)


def test_blocking_as_well() -> None:
    """The same, with a time limit as text."""
    with open_blocking() as (client, fake):
        with pytest.raises(TimeoutError, match="a value found no worker within 0 s"):
            client.scatter(5, workers="nobody", timeout="0s")
        with pytest.raises(ValueError, match="timeout='soon'"):
            client.scatter(5, timeout="soon")
        assert not any(fake.stores.values())


def test_what_waits_for_a_worker_is_known() -> None:
    """Until the scheduler says where it goes; again when that worker is lost, or the scheduler is."""
    said: list[Message] = []
    sent: list[tuple[str, Message]] = []
    storer = Storer(said.append, lambda *each: sent.append(each), lambda: 7, lambda *_: None)
    storer.put(1, [b"x", b"y"], ["nobody"], broadcast=False)
    assert [storer.is_nowhere(tid) for tid in (1, 2, 3)] == [True, True, False]
    storer.on_put_at(tasks.PutAt([1], [0], ["a"]))
    assert [storer.is_nowhere(tid) for tid in (1, 2)] == [False, True]
    storer.on_lost("a", "the cable")
    assert storer.is_nowhere(1)
    assert said[-1] == tasks.Put([1], [1], ["nobody"], broadcast=False)
    storer.on_put_at(tasks.PutAt([1, 2], [0, 1], ["b", "c"]))
    storer.on_store_done("b", values.StoreDone(7, ""))
    list(storer.said_again())
    assert [storer.is_nowhere(tid) for tid in (1, 2)] == [False, True]
    storer.forget(2)
    assert not storer.is_nowhere(2)
