"""Reports of work on a real cluster, for both ways of writing programs."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.client.jobs import inc
from trio_dask import (
    AsyncClient,
    AsyncLocalCluster,
    Client,
    ConfigError,
    LocalCluster,
    get_task_stream,
    performance_report,
)

pytestmark = pytest.mark.network


def fail(client: Client, futures: list[Any]) -> None:
    """Do thirty tasks, and fail in another."""
    futures += client.map(inc, range(30, 60))
    futures.append(client.submit(divmod, 1, 0))
    client.gather(futures)


def test_of_code_that_blocks(tmp_path: Path) -> None:
    """Also of a block that fails; and everything has a picture for notebooks."""
    file = tmp_path / "report.html"
    with (
        LocalCluster(2, 1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        assert client.gather(client.map(inc, range(20))) == list(range(1, 21))
        futures: list[Any] = []
        with pytest.raises(ZeroDivisionError), performance_report(file, title="Of mine"):
            fail(client, futures)
        shown = futures[-1]._repr_html_() + client._repr_html_() + cluster._repr_html_()
        assert "divmod-" in shown
        assert shown.count(cluster.dashboard_link) == 4
    page = file.read_text()
    assert "Of mine" in page
    assert "<td class=num>30</td>" in page
    assert "ZeroDivisionError" in page
    assert 'href="http' not in cluster._repr_html_()


async def test_of_code_that_awaits(tmp_path: Path) -> None:
    """The same."""
    file = tmp_path / "report.html"
    async with (
        AsyncLocalCluster(2, 1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        AsyncClient(cluster) as client,
    ):
        async with performance_report(file):
            await client.gather(client.map(inc, range(30)))
    assert "<td class=num>30</td>" in file.read_text()


def test_the_stream_as_data(tmp_path: Path) -> None:
    """A row for each task that takes its time, when and where it ran; nothing of before."""
    with (
        LocalCluster(1, 1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        client.submit(Path.read_bytes, tmp_path / "nothing").exception()
        began = datetime.now(UTC).timestamp()
        with get_task_stream() as stream:
            running = client.submit(time.sleep, 0.1)
            assert running.result() is None
            assert isinstance(client.submit(divmod, 1, 0).exception(), ZeroDivisionError)
        [slept, divided] = stream.data
        assert (slept["key"], slept["prefix"], slept["tasks"]) == (running.key, "sleep", 1)
        assert (slept["status"], divided["status"]) == ("OK", "error")
        assert {slept["worker"], divided["worker"]} == set(client.nthreads())
        [ran] = slept["startstops"]
        assert ran["action"] == "compute"
        assert ran["stop"] - ran["start"] == pytest.approx(0.1, abs=0.09)
        assert began - 1 < ran["start"] <= ran["stop"] < datetime.now(UTC).timestamp() + 1


async def test_the_stream_of_code_that_awaits() -> None:
    """The same; it may be empty."""
    async with (
        AsyncLocalCluster(1, 1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        AsyncClient(cluster),
    ):
        async with get_task_stream() as stream:
            pass
        assert stream.data == []


def test_without_a_dashboard(tmp_path: Path) -> None:
    """It says what to do."""
    with (
        LocalCluster(1, 1, processes=False, dashboard_address=None) as cluster,
        Client(cluster),
        pytest.raises(ConfigError, match="has no dashboard"),
        performance_report(tmp_path / "x"),
    ):
        pass
    assert not list(tmp_path.iterdir())
