"""Clusters whose size follows the work."""

from __future__ import annotations

import threading

import pytest

from trio_dask import AsyncClient, AsyncLocalCluster, Client, Future, LocalCluster
from trio_dask.deploy.adaptive import AdaptiveSettings, Sizing
from trio_dask.errors import ConfigError

#: Tasks of a cluster in this process wait for it.
GATE = threading.Event()


def pass_the_gate(number: int) -> int:
    """Waits until it may go on."""
    GATE.wait(30)
    return number


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        # what is wanted, how many are idle, how many there are → how many there shall be
        ({}, [(5, 0, 0, 5), (9, 0, 5, 9)]),
        ({"minimum": 2, "maximum": 4}, [(0, 0, 0, 2), (9, 0, 2, 4), (9, 0, 4, 4)]),
        ({"wait_count": 3}, [(0, 4, 4, 4), (0, 4, 4, 4), (0, 4, 4, 0)]),
        ({"wait_count": 3}, [(0, 4, 4, 4), (0, 4, 4, 4), (4, 0, 4, 4), (0, 4, 4, 4)]),
        ({"wait_count": 2}, [(1, 4, 4, 4), (3, 4, 4, 3), (1, 3, 3, 3)]),
        ({"wait_count": 1}, [(0, 1, 4, 3), (0, 0, 3, 3), (0, 9, 3, 0)]),
        ({"wait_count": 1, "maximum": 2}, [(9, 5, 5, 2)]),
    ],
)
def test_when_it_becomes_another(
    settings: dict[str, int], steps: list[tuple[int, int, int, int]]
) -> None:
    """Up at once; down when less was enough for a while, and never one that works."""
    sizing = Sizing(AdaptiveSettings(**settings))
    for wanted, idle, now, expected in steps:
        assert sizing.decide(wanted, idle=idle, now=now) == expected


@pytest.mark.parametrize(
    "options",
    [
        {"minimum": -1}, {"minimum": 3, "maximum": 2}, {"maximum": 0}, {"minimum": 1.5},
        {"interval": 0}, {"target_duration": "0s"}, {"wait_count": "3"}, {"interval": "soon"},
    ],
)  # fmt: skip
def test_what_makes_no_sense(options: dict[str, object]) -> None:
    """Is refused."""
    with pytest.raises(ConfigError):
        AdaptiveSettings.of(**options)


@pytest.mark.network
def test_a_cluster_grows_with_its_work_and_shrinks_without() -> None:
    """From none to as many as allowed, and back; results stay."""
    GATE.clear()
    with LocalCluster(0, 1, processes=False, dashboard_address=None) as cluster:
        cluster.adapt(maximum=3, interval="20ms", target_duration="50ms", wait_count=2)
        with Client(cluster) as client:
            futures = client.map(pass_the_gate, range(20))
            cluster.wait_for_workers(3, timeout=30)
            GATE.set()
            assert sum(client.gather(futures)) == 190
            value: Future[int] = client.submit(pow, 2, 3)
            value.result()
            del futures
            while cluster.n_workers > 1:
                client.submit(abs, -1).result()
            assert value.result() == 8
            cluster.scale(2)
            cluster.wait_for_workers(2, timeout=30)


@pytest.mark.network
async def test_the_async_one_does_too() -> None:
    """It starts what it needs."""
    GATE.set()
    async with AsyncLocalCluster(0, 1, processes=False, dashboard_address=None) as cluster:
        await cluster.adapt(minimum=1, maximum=2, interval="20ms")
        async with AsyncClient(cluster) as client:
            assert await client.submit(pass_the_gate, 1) == 1
