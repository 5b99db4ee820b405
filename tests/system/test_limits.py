"""Timeouts and deadlines on real processes: whatever a function does, its time is what it was given."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.system.conftest import open_cluster
from tests.system.test_cancelling import Gate, asleep, hold, inc, loop, nap, polite, stubborn
from trio_dask import AsyncClient, Client, TaskTimeout, current_deadline, get_client, shield

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.system.conftest import Cluster


@pytest.fixture(scope="module", params=[1, 2])
def worker(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of one worker with so many slots."""
    with open_cluster() as opened:
        opened.workers(1, "--nthreads", str(request.param))
        yield opened


@pytest.fixture
def gate(tmp_path: Any) -> Gate:
    """Where a task says that it has begun."""
    return Gate(tmp_path / "gate")


@pytest.mark.parametrize(
    ("fn", "way"),
    [
        (loop, "interrupt"),
        (nap, "interrupt"),
        (nap, "kill"),
        (hold, "interrupt"),
        (stubborn, "interrupt"),
        (polite, "cooperate"),
        (asleep, "interrupt"),
    ],
)
def test_whatever_it_does_its_time_is_up(
    worker: Cluster, fn: Callable[[str], Any], way: Any
) -> None:
    """It and what needs it have an error that says so, and the worker works."""
    with Client(worker.address, config=worker.config) as client:
        future = client.submit(fn, os.devnull, timeout="100 ms", on_cancel=way)
        after = client.submit(inc, future)
        with pytest.raises(TaskTimeout, match=r"its timeout of 0\.1 s") as caught:
            future.result()
        error = caught.value
        assert error.phase == "running"
        assert error.ran_for is not None
        assert error.ran_for >= 0.1
        assert error.host
        assert isinstance(after.exception(), TaskTimeout)
        assert client.gather(client.map(inc, range(20))) == list(range(1, 21))


def test_what_runs_at_its_deadline_is_stopped(worker: Cluster) -> None:
    """By its worker, which was told how much time was left."""
    with Client(worker.address, config=worker.config) as client:
        future = client.submit(loop, os.devnull, deadline=2)
        with pytest.raises(TaskTimeout, match="its deadline of") as caught:
            future.result()
        assert caught.value.phase == "running"
        assert client.submit(inc, 1).result() == 2


def test_what_waits_at_its_deadline_is_over(cluster: Cluster, gate: Gate) -> None:
    """Behind another, in its worker's window or at the scheduler; and where there is no worker."""
    with Client(cluster.address, config=cluster.config) as client:
        error = client.submit(inc, 1, deadline=0.05).exception()
        assert isinstance(error, TaskTimeout)
        assert (error.phase, error.ran_for) == ("queued", 0.0)
        cluster.workers(1, "--nthreads", "1")
        busy = client.submit(loop, gate.path)
        gate.wait()
        waiting = client.map(inc, range(50), deadline=0.05)
        assert {getattr(each.exception(), "phase", "") for each in waiting} == {"queued"}
        assert busy.status == "pending"


def test_a_timeout_is_tried_again_as_often_as_errors_are(cluster: Cluster, gate: Gate) -> None:
    """The second run is in time."""
    cluster.workers(1, "--nthreads", "1")
    marker = f"{gate.path}.ran"

    def slow_at_first() -> str:
        try:
            with open(marker, "x"):  # noqa: PTH123
                time.sleep(1000)  # the body of a task
        except FileExistsError:
            return "in time"
        return "never"

    with Client(cluster.address, config=cluster.config) as client:
        assert client.submit(slow_at_first, timeout=0.5, retries=3).result() == "in time"


async def test_an_async_task_sees_its_time(cluster: Cluster) -> None:
    """As the deadline of its cancel scope."""
    cluster.workers(1, "--nthreads", "1")

    async def left() -> float:
        return trio.current_effective_deadline() - trio.current_time()

    async with AsyncClient(cluster.address, config=cluster.config) as client:
        assert 50 < await client.call(left, deadline=60) <= 60
        assert 60 < await client.call(left, deadline=100, timeout=70) <= 70
        assert await client.call(left) == float("inf")


async def test_a_scope_s_time_is_its_tasks(cluster: Cluster) -> None:
    """Whoever notices first, one error says that the scope was out of time."""
    cluster.workers(1, "--nthreads", "2")

    async def left() -> float:
        return trio.current_effective_deadline() - trio.current_time()

    async with AsyncClient(cluster.address, config=cluster.config) as client:
        with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - raised at its end
            async with client.scope(timeout=5) as scope:
                endless = scope.submit(loop, os.devnull)
                for limits, most in (({}, 5), ({"deadline": 3}, 3), ({"deadline": 60}, 5)):
                    found: Any = await scope.submit(left, **limits)
                    assert 0 < found <= most
                await trio.sleep_forever()
        assert endless.done()
        [error] = caught.value.exceptions
        assert isinstance(error, TaskTimeout)
        assert "the scope was not done after 5 s" in str(error)


def test_what_a_task_starts_has_no_more_time_than_the_task(cluster: Cluster) -> None:
    """Whatever it asks for; and its own limits are those that it sees."""
    cluster.workers(1, "--nthreads", "1")

    def parent() -> list[float]:
        client = get_client()
        plain = client.submit(current_deadline)
        asks = client.submit(current_deadline, deadline=1000)
        less = client.submit(current_deadline, deadline=20)
        return [current_deadline(), plain.result(), asks.result(), less.result()]

    with Client(cluster.address, config=cluster.config) as client:
        own, plain, asks, less = client.submit(parent, timeout=60).result()
        assert own <= 60
        assert max(plain, asks) <= 60
        assert less <= 20
        assert client.submit(current_deadline).result() == float("inf")


def test_waiting_for_children_is_running(cluster: Cluster) -> None:
    """Its slot is free meanwhile, and its time goes on."""
    cluster.workers(1, "--nthreads", "1")

    def parent() -> None:
        get_client().submit(loop, os.devnull).result()

    with Client(cluster.address, config=cluster.config) as client:
        error = client.submit(parent, timeout=0.5).exception()
        assert isinstance(error, TaskTimeout)
        assert client.submit(inc, 1).result() == 2


@pytest.mark.parametrize("nthreads", [1, 2])
def test_a_shield_outlives_the_ladder(cluster: Cluster, tmp_path: Any, nthreads: int) -> None:
    """The process of a task in a shield is not ended; its slot works afterwards."""
    cluster.workers(1, "--nthreads", str(nthreads))
    path = tmp_path / "whole"

    def careful() -> None:
        with shield(max=30):
            time.sleep(3)  # the body of a task: longer than the ladder
            path.write_text("whole")
        while True:
            pass

    with Client(cluster.address, config=cluster.config) as client:
        future = client.submit(careful, timeout=0.3)
        assert isinstance(future.exception(), TaskTimeout)
        assert path.read_text() == "whole"
        assert client.submit(inc, 1).result() == 2
