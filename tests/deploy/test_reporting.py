"""Reports of work on a real cluster, for both ways of writing programs."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from dask import delayed

from tests.client.jobs import inc
from trio_dask import (
    AsyncClient,
    AsyncLocalCluster,
    Client,
    ConfigError,
    LocalCluster,
    TrioDaskError,
    get_task_stream,
    performance_report,
)

pytestmark = pytest.mark.network

LEFT = 'style="text-align:left"'


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
        total = client.compute(delayed(inc)(1))
        assert repr(total).startswith("<Future: ")
        assert total._repr_html_().startswith("<div><b>Future</b>")
    page = file.read_text()
    assert "Of mine" in page
    assert "<td class=num>30</td>" in page
    assert "ZeroDivisionError" in page
    assert 'href="http' not in cluster._repr_html_()


def test_a_client_of_its_own_cluster_shows_what_that_has() -> None:
    """Workers and threads, as long as it is open."""
    with Client(
        n_workers=2, threads_per_worker=3, processes=False, dashboard_address=None
    ) as client:
        shown = client._repr_html_()
        assert f">Workers</th><td {LEFT}>2</td>" in shown
        assert f">Threads</th><td {LEFT}>6</td>" in shown
    assert "Workers" not in client._repr_html_()


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


def test_the_stream_of_a_client() -> None:
    """Dask's method: all since it was called first, or a part of it; it ends with the client."""
    with LocalCluster(1, 1, processes=False, dashboard_address="127.0.0.1:0") as cluster:
        with Client(cluster) as client:
            assert client.get_task_stream() == []
            first, second = (client.submit(time.sleep, 0.05, key=key) for key in ("a", "b"))
            client.gather([first, second])
            rows = client.get_task_stream()
            assert [row["key"] for row in rows] == ["a", "b"]
            assert client.get_task_stream(count=1) == rows[1:]
            [ran] = rows[1]["startstops"]
            middle = (ran["start"] + ran["stop"]) / 2
            assert client.get_task_stream(start=middle, count=5) == rows[1:]
            assert client.get_task_stream(stop=middle - 0.05) == rows[:1]
            assert len(client.get_task_stream(start="1h")) == 2
            assert client.get_task_stream(start=ran["stop"] + 60) == []
            with Client(cluster) as other:  # there was somebody who has looked before
                assert [row["key"] for row in other.get_task_stream()] == ["a", "b"]
        assert not {"recorder", "follower"} & {each.name for each in threading.enumerate()}


async def test_the_stream_of_a_client_that_is_awaited() -> None:
    """The same."""
    async with (
        AsyncLocalCluster(1, 1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        AsyncClient(cluster) as client,
    ):
        assert await client.get_task_stream() == []
        await client.submit(time.sleep, 0.05, key="a")
        assert [row["key"] for row in await client.get_task_stream()] == ["a"]
        await client.close()
        assert not {"recorder", "follower"} & {each.name for each in threading.enumerate()}


def test_many_threads_look_at_once() -> None:
    """One of them begins, and the others see the same."""
    with (
        LocalCluster(1, 1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        seen: list[Any] = []
        threads = [
            threading.Thread(target=lambda: seen.append(client.get_task_stream())) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [[]] * 4
        assert [each.name for each in threading.enumerate()].count("recorder") == 1


def test_whose_dashboard_has_gone() -> None:
    """An error that says so, each time."""
    with LocalCluster(1, 1, processes=False, dashboard_address="127.0.0.1:0") as cluster:
        client = Client(cluster)
        client.get_task_stream()
    with client:
        for _ in range(2):
            with pytest.raises(TrioDaskError):
                client.get_task_stream()
        assert not {"recorder", "follower"} & {each.name for each in threading.enumerate()}


def test_of_a_client_by_name(tmp_path: Path) -> None:
    """Whichever is the current one; and what is written with Dask's words."""
    with (
        LocalCluster(1, 1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
        LocalCluster(1, 1, processes=False, dashboard_address=None) as plain,
        Client(plain),
    ):
        with client.performance_report(tmp_path / "mine.html", title="Mine"):
            assert client.submit(inc, 1).result() == 2
        with get_task_stream(client, plot="save", filename=tmp_path / "stream.html") as stream:
            client.submit(time.sleep, 0.05).result()
        assert [row["prefix"] for row in stream.data] == ["sleep"]
        with pytest.raises(ConfigError, match="has no dashboard"):
            Client.current().get_task_stream()
    assert "Mine" in (tmp_path / "mine.html").read_text()
    assert "sleep" in (tmp_path / "stream.html").read_text()
    with pytest.raises(ValueError, match="plot=True: it is 'save'"):
        get_task_stream(plot=True)  # type: ignore[arg-type]


async def test_of_a_client_that_is_awaited_by_name(tmp_path: Path) -> None:
    """With `async with`, and an error that says so otherwise."""
    async with (
        AsyncLocalCluster(1, 1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        AsyncClient(cluster) as client,
    ):
        with pytest.raises(TypeError, match="async with"), client.performance_report():
            pass
        async with client.performance_report(tmp_path / "mine.html", title="Mine"):
            await client.submit(inc, 1)
    assert "Mine" in (tmp_path / "mine.html").read_text()


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
