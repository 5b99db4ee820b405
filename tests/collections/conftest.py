"""Dask's collections on a small cluster in this process."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from trio_dask import Client, LocalCluster

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("dask", reason="the extra `dask` is not installed")


@pytest.fixture(scope="module")
def shared_client() -> Iterator[Client]:
    """One for all tests of a module."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def client(shared_client: Client) -> Iterator[Client]:
    """The client; a test lets go of all its futures."""
    yield shared_client
    if left(shared_client):
        gc.collect()
    assert left(shared_client) == 0


def left(client: Client) -> int:
    """How many tasks the client holds."""
    with client.live.lock:
        client.live.core.drop()
        return len(client.live.core.table)
