"""Collections on real processes."""

from __future__ import annotations

import pytest

dask = pytest.importorskip("dask", reason="the extra `dask` is not installed")
dd = pytest.importorskip("dask.dataframe", reason="dask[dataframe] is not installed")

from trio_dask import Client  # noqa: E402 - after it is known that there is something to test


def nested(count: int) -> tuple[int, str]:
    """A task that finds dask, and its cluster, by itself."""
    import dask
    import dask.array as da

    return int(da.ones(count, chunks=5).sum().compute()), type(
        dask.config.get("scheduler")
    ).__name__


@pytest.mark.processes
@pytest.mark.slow
def test_a_shuffle_and_nested_tasks() -> None:
    """Workers share nothing but what they send each other."""
    import pandas as pd

    rows = pd.DataFrame({"a": range(100), "b": [row % 5 for row in range(100)]})
    with Client(n_workers=2, threads_per_worker=1) as client:
        shuffled = dd.from_pandas(rows, npartitions=3).shuffle("b").compute()
        assert sorted(shuffled.a) == list(range(100))
        again = (
            dd.from_pandas(rows, npartitions=3)
            .shuffle("b")
            .map_partitions(lambda part: pd.DataFrame({"b": part.b.unique()}), meta={"b": int})
        )
        assert sorted(again.b.compute()) == [0, 1, 2, 3, 4]  # each is in one partition
        assert client.submit(nested, 20).result() == (20, "TaskClients")
        assert dask.delayed(nested)(10).compute() == (10, "TaskClients")
