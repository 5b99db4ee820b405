"""Where values are, in a real cluster: copies, and as much on each worker."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pytest

from trio_dask import AsyncClient, AsyncLocalCluster, Client, LocalCluster

MIB = 1 << 20


async def test_copies_and_balance() -> None:
    """For the client that is awaited."""
    async with (
        AsyncLocalCluster(3, 1, processes=False, dashboard_address=None) as cluster,
        AsyncClient(cluster) as client,
    ):
        places = list(await client.nthreads())
        values = client.map(np.full, [MIB] * 6, range(6), dtype="u1", workers=places[:1])
        await client.replicate(values[:2], n=2)
        assert [len(each) for each in (await client.who_has(values)).values()][:2] == [2, 2]
        await client.rebalance(values[2:])
        holders = list((await client.who_has(values[2:])).values())
        assert len({place for each in holders for place in each}) > 1
        await client.replicate(values, workers=places[:2])
        who = await client.who_has(values)
        assert all(set(places[:2]) <= set(each) for each in who.values())
        for x, value in enumerate(await client.gather(values)):
            assert (value == x).all()


def test_a_broadcast_is_everywhere() -> None:
    """When the client has it back all workers hold it, and a worker that is named in vain is none."""
    with (
        LocalCluster(4, 1, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        array, text = client.scatter([np.ones(MIB), "text"], broadcast=True)
        assert {len(each) for each in client.who_has([array, text]).values()} == {4}
        places = list(client.nthreads())
        some = client.scatter(b"some", broadcast=True, workers=[*places[:2], "nobody"])
        assert some.result() == b"some"
        assert set(client.who_has(some)[some.key]) <= set(places[:2])


def test_both_clients(caplog: pytest.LogCaptureFixture) -> None:
    """And for the one that blocks; what cannot be copied is said."""
    with (
        LocalCluster(2, 1, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        value = client.submit(np.zeros, MIB)
        client.replicate([value], n=2)
        assert len(client.who_has(value)[value.key]) == 2
        client.replicate(value, n=1)
        assert len(client.who_has(value)[value.key]) == 1
        client.rebalance()
        with pytest.raises(ValueError, match="n must be a whole number of at least 1"):
            client.replicate(value, n=0)
        stuck = client.submit(threading.Lock)
        with caplog.at_level(logging.WARNING, "trio_dask.client"):
            client.replicate(stuck, n=2)
    assert "copies could not be made" in caplog.text
