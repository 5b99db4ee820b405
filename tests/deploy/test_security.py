"""Clusters whose connections are encrypted."""

from __future__ import annotations

import pytest

from trio_dask import AsyncClient, AsyncLocalCluster, Client, LocalCluster, Security
from trio_dask.errors import ConfigError

pytest.importorskip("cryptography", reason="certificates are made with it")


@pytest.mark.network
def test_all_of_a_cluster_is_encrypted() -> None:
    """Scheduler, workers and the client; values go from worker to client over it, too."""
    with LocalCluster(2, 1, processes=False, security=True, dashboard_address=None) as cluster:
        assert cluster.scheduler_address.startswith("tls://")
        assert all(address.startswith("tls://") for address in cluster.workers.values())
        with Client(cluster) as client:
            values = client.map(bytes, [100_000, 200_000])
            assert client.submit(len, client.submit(b"".join, values)).result() == 300_000
            assert client.gather(values)[1] == bytes(200_000)
        with pytest.raises(ConfigError, match="TLS takes certificates"):
            Client(cluster.scheduler_address, timeout=5)
        with Client(cluster.scheduler_address, security=cluster.security) as client:
            assert client.submit(abs, -1).result() == 1


@pytest.mark.network
@pytest.mark.processes
async def test_so_is_one_of_processes() -> None:
    """Their certificates are in files that go with them."""
    security = Security.temporary()
    async with (
        AsyncLocalCluster(2, 1, security=security, dashboard_address=None) as cluster,
        AsyncClient(cluster) as client,
    ):
        assert cluster.scheduler_address.startswith("tls://")
        [one, other] = cluster.workers.values()
        assert one.startswith("tls://")
        value = client.submit(bytes, 3_000_000, workers=[one])
        assert await client.submit(len, value, workers=[other]) == 3_000_000
        assert len(await value) == 3_000_000
