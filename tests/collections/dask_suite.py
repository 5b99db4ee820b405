"""A plugin for pytest: dask's own tests, computed by a client instead of dask's schedulers.

Most of them name a scheduler of dask's, or compute with the default one; both are replaced.
Used by the nox session `dask_suite`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", autouse=True)
def a_client_computes() -> Iterator[None]:
    """For all tests: one client, and its cluster in this process."""
    import dask.base

    from trio_dask import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False) as cluster,
        Client(cluster) as client,
    ):
        before: dict[str, Any] = dict(dask.base.named_schedulers)
        dask.base.named_schedulers.update(dict.fromkeys(before, client.get))
        yield
        dask.base.named_schedulers.update(before)
