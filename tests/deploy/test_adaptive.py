"""Clusters whose size follows the work."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from typing import Any

import pytest

from trio_dask import AsyncClient, AsyncLocalCluster, Client, Future, LocalCluster
from trio_dask.cli import main
from trio_dask.deploy import ClusterHandle
from trio_dask.deploy.adaptive import AdaptiveSettings, Sizing, _look, idle_together
from trio_dask.deploy.plan import plan_local
from trio_dask.deploy.sizes import WorkerSize
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
        (
            {"wait_count": 1, "together": 4, "maximum": 8},
            [(1, 0, 0, 4), (5, 0, 4, 8), (9, 0, 8, 8)],
        ),
        (
            {"wait_count": 1, "together": 4},
            [(3, 4, 8, 4), (0, 0, 4, 4), (1, 4, 4, 4), (0, 4, 4, 0)],
        ),
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
        {"maximum_cores": 1}, {"minimum_memory": "1GiB"},
    ],
)  # fmt: skip
def test_what_makes_no_sense(options: dict[str, Any]) -> None:
    """Is refused."""
    with pytest.raises(ConfigError):
        AdaptiveSettings.of(WorkerSize(cores=2), **options)


def test_options_that_there_are_not() -> None:
    """The nearest one is named."""
    with pytest.raises(
        ConfigError, match=r"unknown option max_cores; .*did you mean maximum_cores"
    ):
        AdaptiveSettings.of(WorkerSize(cores=2), max_cores=2)


def test_who_can_go_together() -> None:
    """None of whom has anything to do; least to lose first, then the youngest."""
    workers = {f"w-{at // 2}-{at % 2}": f"tcp://{at}" for at in range(8)}
    info = {address: {"processing": 0, "in_memory": 0} for address in workers.values()}
    info["tcp://1"]["processing"] = 1
    info["tcp://5"]["in_memory"] = 1
    assert idle_together(workers, info) == [
        ["tcp://6", "tcp://7"], ["tcp://2", "tcp://3"], ["tcp://4", "tcp://5"],
    ]  # fmt: skip
    del info["tcp://6"]  # the scheduler does not know it
    assert ["tcp://6", "tcp://7"] not in idle_together(workers, info)


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


@pytest.mark.network
@pytest.mark.processes
def test_by_cores_and_memory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As many as fit, in processes of their own; who asks for the status is told."""
    with LocalCluster(
        0, 2, memory_limit="512MiB", dashboard_address="127.0.0.1:0", silence_logs="error"
    ) as cluster:  # fmt: skip
        with pytest.raises(ConfigError, match=r"with 2 cores for each worker"):
            cluster.adapt(maximum_cores=1)
        with pytest.raises(ConfigError, match=r"from 2 to 1 .*512.00 MiB for each worker"):
            cluster.adapt(minimum=2, maximum_memory="1023MiB")
        cluster.adapt(minimum_cores=3, maximum_memory="1.6GiB", maximum_cores=100, interval="20ms")
        cluster.wait_for_workers(2, timeout=60)  # of two cores each
        with Client(cluster) as client:
            futures = client.map(lambda _: time.sleep(60), range(100))
            cluster.wait_for_workers(3, timeout=60)  # and three have as much memory as they may
            monkeypatch.setenv("TRIO_DASK_TOKEN", cluster.token)
            assert main(["status", cluster.scheduler_address]) == 0
            assert "workers, adapting: 2 to 3\n" in capsys.readouterr().out
            assert main(["status", cluster.scheduler_address, "--json"]) == 0
            told = json.loads(capsys.readouterr().out)
            assert told["adapting"] == {"minimum": 2, "maximum": 3}
            link = cluster.dashboard_link.replace("/status", "/api/v1/adaptive_target")
            with urllib.request.urlopen(link) as answer:
                said = json.load(answer)
            assert said["adapting"] == {"minimum": 2, "maximum": 3}
            assert said["workers"] > 3
            client.cancel(futures)
            cluster.scale(cores=2)
            while cluster.n_workers > 1:
                client.submit(abs, -1).result()
            assert main(["status", cluster.scheduler_address]) == 0
            assert "adapting" not in capsys.readouterr().out


class SlowAsker:
    """A scheduler that is given a number while it thinks."""

    def __init__(self, handle: ClusterHandle, answers: dict[str, dict[str, Any]], at: str) -> None:
        self._handle = handle
        self._answers = answers
        self._at = at

    async def ask(self, topic: str, params: dict[str, Any]) -> dict[str, Any]:
        """An answer that comes too late."""
        if topic == self._at:
            self._handle.scale(1)
        return self._answers[topic]


async def test_who_has_been_let_go_of_is_known_with_the_number() -> None:
    """Never the number alone: others would have to leave."""
    handle = ClusterHandle(plan_local(4, 1, processes=False))
    gone: list[tuple[set[str], int]] = []
    handle.obey(lambda _: None, lambda names: gone.append((names, handle.wanted)))
    for number in range(4):
        handle.worker_changed(f"w-{number}", f"tcp://{number}")
    handle.adapt(settings := AdaptiveSettings(maximum=9, wait_count=1))
    answers: dict[str, dict[str, Any]] = {
        "workers_wanted": {"wanted": 2, "idle": 4},
        "retire_workers": {"workers": {"tcp://0": {}, "tcp://3": {}}},
    }
    await _look(handle, SlowAsker(handle, answers, ""), Sizing(settings))  # type: ignore[arg-type]
    assert gone == [({"w-0", "w-3"}, 4)]
    assert handle.wanted == 2


@pytest.mark.parametrize(
    ("at", "orders"), [("workers_wanted", [4, 1]), ("retire_workers", [4, 1, 1])]
)
@pytest.mark.parametrize("wanted", [9, 2])
async def test_a_number_holds_though_an_answer_is_under_way(
    at: str, orders: list[int], wanted: int
) -> None:
    """What the work would need does not matter any more, and who was let go is made up for."""
    handle = ClusterHandle(plan_local(4, 1, processes=False))
    given: list[int] = []
    handle.obey(given.append)
    for number in range(4):
        handle.worker_changed(f"w-{number}", f"tcp://{number}")
    handle.adapt(settings := AdaptiveSettings(maximum=9, wait_count=1))
    answers: dict[str, dict[str, Any]] = {
        "workers_wanted": {"wanted": wanted, "idle": 4},
        "retire_workers": {"workers": {"tcp://0": {}, "tcp://1": {}}},
    }
    asker = SlowAsker(handle, answers, at)
    await _look(handle, asker, Sizing(settings))  # type: ignore[arg-type]
    if wanted > 4 and at == "retire_workers":  # nobody is to go, and nobody is asked
        assert (handle.wanted, given) == (9, [4, 9])
    else:
        assert (handle.wanted, given) == (1, orders)
