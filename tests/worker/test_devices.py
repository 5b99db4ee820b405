"""Which GPUs a worker has: its own, and nobody else's at the same time."""

from __future__ import annotations

import os

import pytest

from trio_dask import Client, LocalCluster
from trio_dask.errors import ConfigError
from trio_dask.worker.devices import Devices


def test_each_has_its_own() -> None:
    """What one gives back the next one gets."""
    devices = Devices({"GPU": 1}, "3, GPU-a,MIG-b")
    with devices.lent() as first, devices.lent() as second:
        assert first == {"CUDA_VISIBLE_DEVICES": "3"}
        with devices.lent() as third:
            assert third == {"CUDA_VISIBLE_DEVICES": "MIG-b"}
            with pytest.raises(ConfigError, match="GPU=1 for each worker is more"), devices.lent():
                pass
        assert second == {"CUDA_VISIBLE_DEVICES": "GPU-a"}
    with devices.lent() as again:
        assert again == first


@pytest.mark.parametrize("resources", [{}, {"GPU": 0}, {"GPU": 0.5}, {"MEM": 2}])
def test_what_is_no_device(resources: dict[str, float]) -> None:
    """Is nobody's."""
    with Devices(resources, "").lent() as environ:
        assert environ == {}


def test_none_are_visible() -> None:
    """Then there are none to be had."""
    with pytest.raises(ConfigError), Devices({"GPU": 1}, "").lent():
        pass


@pytest.mark.processes
def test_tasks_see_those_of_their_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """In every runner, also one that takes another's place."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, resources={"GPU": 2}) as cluster,
        Client(cluster) as client,
    ):
        seen = client.run(os.getenv, "CUDA_VISIBLE_DEVICES")
        assert sorted(seen.values()) == ["4,5", "6,7"]
        client.restart()
        assert client.run(os.getenv, "CUDA_VISIBLE_DEVICES") == seen
