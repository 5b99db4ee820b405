"""Steps of a dataframe that follow one another are one task, where nobody can want them apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("dask.dataframe", reason="dask[dataframe] is not installed")

import dask
import dask.array as da
import dask.dataframe as dd
import pandas as pd
from dask._expr import FinalizeCompute
from dask.base import collections_to_expr
from dask.delayed import delayed
from dask.utils import key_split

from trio_dask.client.collections.graphs import concrete, keys_in

if TYPE_CHECKING:
    from trio_dask import Client

FRAME = pd.DataFrame({"a": range(60), "b": [row % 7 for row in range(60)]})
PARTS = 4


def sums() -> Any:
    """Of parts, and of these."""
    return dd.from_pandas(FRAME, npartitions=PARTS).groupby("b").a.sum()


def names(*collections: Any) -> list[str]:
    """What the tasks of a computation are called, as `dask.compute` hands it over."""
    expr = FinalizeCompute(collections_to_expr(collections)).optimize()
    return [key_split(key) for key in concrete(expr, keys_in(list(expr.__dask_keys__()))).nodes]


def test_parts_are_read_and_summed_up_by_one_task_each() -> None:
    """It has the names of both, as in what is persisted."""
    found = names(sums())
    assert len(found) == PARTS + 1
    assert len(set(found[:PARTS])) == 1
    assert found[0] == "frompandas-chunk"


def test_what_several_need_is_a_task_of_its_own() -> None:
    """It is done once, whoever of them comes first."""
    frame = dd.from_pandas(FRAME, npartitions=PARTS)
    assert len(names(frame.groupby("b").a.sum(), frame.groupby("b").a.max())) == 3 * PARTS + 2


def test_what_is_wanted_has_its_key() -> None:
    """Though it is in the middle of others."""
    frame = dd.from_pandas(FRAME, npartitions=1)
    expr = (frame + 1).abs().optimize(fuse=False).expr
    graph = dict(expr.__dask_graph__())
    assert len(graph) == 3
    assert list(concrete(expr, list(graph)).nodes) == sorted(graph, key=list(graph)[::-1].index)
    assert len(concrete(expr, expr.__dask_keys__()).nodes) == 1


def test_who_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """By dask's configuration, or with annotations, which are about single steps."""
    many = 2 * PARTS + 1
    with dask.config.set({"optimization.fuse.active": False}):
        assert len(names(sums())) == many
    expr = FinalizeCompute(collections_to_expr([sums()])).optimize()
    key = next(iter(expr.__dask_graph__()))

    chosen = {"priority": {key: 1}}
    monkeypatch.setattr(type(expr), "__dask_annotations__", lambda _: chosen)
    assert len(concrete(expr, keys_in(list(expr.__dask_keys__()))).nodes) == many


def test_others_come_as_they_are() -> None:
    """Calls of `delayed` are tasks to those who write them; so is what is in a low-level graph."""
    assert len(names(delayed(abs)(delayed(abs)(delayed(abs)(-1))))) == 3
    assert len(concrete({"x": 1, "y": (abs, "x"), "z": (abs, "y")}, ["z"]).nodes) == 3
    with pytest.warns(UserWarning, match="mixed collections"):
        assert len(names(sums(), da.ones(4, chunks=2).sum())) > 2 * PARTS


async def later() -> pd.DataFrame:
    """A part that takes its time."""
    return FRAME


def test_coroutines_among_them(client: Client) -> None:
    """They are awaited before the next step has their value."""
    frame = dd.from_delayed([delayed(later)() for _ in range(2)], meta=FRAME[:0], verify_meta=False)
    found = (frame.a + 1).sum().compute(scheduler=client)
    assert found == 2 * (FRAME.a + 1).sum()


@pytest.mark.parametrize("active", [None, False])
def test_the_same_values(client: Client, active: bool | None) -> None:
    """With and without."""
    frame = dd.from_pandas(FRAME, npartitions=PARTS)
    expected = FRAME.assign(c=FRAME.a * 2)[FRAME.a > 5].groupby("b").c.mean()
    with dask.config.set({"optimization.fuse.active": active}):
        made = frame.assign(c=frame.a * 2)[frame.a > 5]
        found = made.groupby("b").c.mean().compute(scheduler=client).sort_index()
        kept = made.persist(scheduler=client)
        again = kept.groupby("b").c.mean().compute(scheduler=client).sort_index()
        del kept
    pd.testing.assert_series_equal(found, expected)
    pd.testing.assert_series_equal(again, expected)


def test_steps_that_are_known_by_other_names() -> None:
    """As a part that two frames share has: nobody asks for a step amid others by any of its names."""
    frame = dd.from_pandas(FRAME, npartitions=3)
    expr = FinalizeCompute(
        collections_to_expr([dd.concat([frame, frame]).partitions[4].a + 1])
    ).optimize()
    keys = keys_in(list(expr.__dask_keys__()))
    with dask.config.set({"optimization.fuse.active": False}):
        apart = concrete(expr, keys)
    together = concrete(expr, keys)
    assert apart.missing() == together.missing() == []
    assert len(together.nodes) < len(apart.nodes)
    amid = set(apart.meant.values()) - together.nodes.keys() - together.meant.keys()
    assert amid, "some had names"
