"""Collections on real processes."""

from __future__ import annotations

import pytest

dask = pytest.importorskip("dask", reason="the extra `dask` is not installed")
dd = pytest.importorskip("dask.dataframe", reason="dask[dataframe] is not installed")

from trio_dask import Client  # noqa: E402 - after it is known that there is something to test
from trio_dask.errors import SubmitError  # noqa: E402


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


@pytest.mark.processes
def test_tasks_of_graphs_with_processes_of_their_own() -> None:
    """Those of a layer that says so, or all; a graph has nothing for asyncio."""

    def pid(*_: object) -> int:
        import os

        return os.getpid()

    with Client(n_workers=1, threads_per_worker=1) as client:
        shared = client.submit(pid).result()
        with dask.annotate(executor="process"):
            own = dask.delayed(pid)()
        found = dask.delayed(lambda *pids: pids)(own, dask.delayed(pid)()).compute()
        assert found[0] != shared
        assert found[1] == shared
        every = dask.compute(*[dask.delayed(pid)(own) for _ in range(2)], executor="process")
        assert len({*every, shared}) == 3
        for how in ("asyncio", "threads"):
            with pytest.raises(SubmitError, match=f"executor='{how}'"):
                client.compute(dask.delayed(pid)(), executor=how)
