"""What a program has told Dask is known where its tasks run."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from trio_dask import Client
from trio_dask.deploy.dasks import dasks_settings

dask_config: Any = pytest.importorskip("dask.config")


def told(name: str) -> Any:
    """What Dask knows where this runs."""
    return dask_config.get(name, None)


@pytest.mark.processes
def test_settings_of_dask_reach_the_workers() -> None:
    """As they were when the cluster was made, without a client that is the scheduler."""
    with dask_config.set({"a-setting": {"of": [1, "two"]}, "scheduler": object()}):
        options: Any = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
        with Client(**options, set_as_default=False) as client:
            assert client.submit(told, "a-setting").result() == {"of": [1, "two"]}
        [text] = dasks_settings().values()
    assert "scheduler" not in dask_config.deserialize(text)


def test_nothing_is_said_of_it_if_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask is not imported, or there is too much."""
    with dask_config.set({"much": "x" * 200_000}):
        assert dasks_settings() == {}
    monkeypatch.delitem(sys.modules, "dask.config")
    assert dasks_settings() == {}
