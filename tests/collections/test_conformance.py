"""What dask does with a scheduler: a row of its contract each, computed here and by dask itself."""

from __future__ import annotations

import gc
import operator
import pickle
import warnings
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("dask.array", reason="dask[array] is not installed")
pytest.importorskip("dask.dataframe", reason="dask[dataframe] is not installed")

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.delayed import delayed
from dask.highlevelgraph import HighLevelGraph
from dask.utils import SerializableLock

from trio_dask import AsyncClient, Future, Lock, futures_of, get_client, wait
from trio_dask.errors import SubmitError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trio_dask import Client

FRAME = pd.DataFrame({"a": range(60), "b": [row % 7 for row in range(60)], "c": np.arange(60) / 4})


def array() -> Any:
    """A hundred numbers in chunks."""
    return da.arange(100, chunks=12).reshape(10, 10)


def frame() -> Any:
    """Sixty rows in partitions."""
    return dd.from_pandas(FRAME, npartitions=4)


def other() -> Any:
    """Rows to be merged with."""
    return dd.from_pandas(pd.DataFrame({"b": range(7), "name": list("abcdefg")}), npartitions=2)


def bag() -> Any:
    """Numbers in three partitions."""
    return db.from_sequence(range(30), npartitions=3)


def inc(number: int) -> int:
    """Add one."""
    return number + 1


def total() -> Any:
    """Delayed calls, of each other."""
    return delayed(sum)([delayed(inc)(number) for number in range(6)])


class Target:
    """An array in a file."""

    shape = (10, 10)

    def __init__(self, path: str) -> None:
        self.path = path
        np.save(path, np.zeros(self.shape))

    def __setitem__(self, where: Any, values: Any) -> None:
        np.load(self.path, mmap_mode="r+")[where] = values


COLLECTIONS: dict[str, Callable[[], Any]] = {
    "array sum": lambda: array().sum(),
    "array": array,
    "matrix product": lambda: array().rechunk(5) @ array().rechunk(5).T,
    "rechunk": lambda: array().rechunk((3, 10)),
    "overlap": lambda: da.overlap.overlap(array(), depth=1, boundary="reflect"),
    "map_blocks": lambda: array().map_blocks(lambda block: block * 2),
    "slicing": lambda: array()[2:7, ::3],
    "delayed": total,
    "bag": bag,
    "bag groupby": lambda: bag().groupby(lambda number: number % 3).map(operator.itemgetter(0)),
    "bag frequencies": lambda: bag().map(lambda number: number % 4).frequencies(),
    "groupby": lambda: frame().groupby("b").agg({"c": "mean"}),
    "merge": lambda: frame().merge(other(), on="b").sort_values("a").reset_index(drop=True),
    "shuffle": lambda: frame().shuffle("b")[["a"]],
    "set_index": lambda: frame().set_index("b")[["c"]],
    "sort_values": lambda: frame().sort_values("c", ascending=False).a,
    "length": lambda: frame().a.size,
}


def in_order(value: Any) -> Any:
    """Rows of one key may come in any order."""
    return value.sort_values(list(value.columns)).sort_index(kind="stable")


def same(left: Any, right: Any) -> None:
    """Whether two values are."""
    if isinstance(left, pd.DataFrame):
        assert in_order(left).equals(in_order(right))
    elif isinstance(left, pd.Series):
        assert left.equals(right)
    elif isinstance(left, list):
        assert sorted(left) == sorted(right)
    else:
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("name", COLLECTIONS)
def test_what_is_computed(name: str, client: Client) -> None:
    """The value is the one that dask computes in this process."""
    with dask.config.set(scheduler="sync"):
        expected = COLLECTIONS[name]().compute()
    assert dask.config.get("scheduler") is client
    same(COLLECTIONS[name]().compute(), expected)
    same(COLLECTIONS[name]().compute(scheduler=client, optimize_graph=False), expected)


@pytest.mark.parametrize("name", ["array", "delayed", "bag", "groupby", "merge"])
def test_what_is_persisted(name: str, client: Client) -> None:
    """It is a collection of the same kind, whose parts are futures, to compute with."""
    with dask.config.set(scheduler="sync"):
        expected = COLLECTIONS[name]().compute()
    made = COLLECTIONS[name]()
    kept = made.persist()
    assert type(kept) is type(made)
    same(kept.compute(), expected)
    again = client.persist(kept)
    futures: list[Any] = futures_of(kept)
    wait(futures)
    assert len(client.nbytes(futures, summary=False)) == len(futures)
    assert sum(client.nbytes(futures).values()) > 0
    del futures
    copied = pickle.loads(pickle.dumps(kept))
    del kept
    same(dask.compute(again)[0], expected)
    del again
    same(copied.compute(), expected)


def test_several_at_once(client: Client) -> None:
    """Of different kinds, and inside containers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the kinds are mixed
        one, two, three = dask.compute(array().sum(), {"in": total()}, frame().a.max())
    assert (one, two, three) == (4950, {"in": 21}, 59)
    kept = dask.persist(array(), bag())
    assert [int(kept[0].sum().compute()), kept[1].sum().compute()] == [4950, 435]
    del kept


def test_compute_gives_futures(client: Client) -> None:
    """One for each collection; what is none stays as it is."""
    future = client.compute(array().sum())
    assert future.result() == 4950
    assert future.status == "finished"
    first, second, third = client.compute([total(), 7, [total(), 3]])
    assert (first.result(), second, third.result()) == (21, 7, [21, 3])
    assert client.compute(total(), sync=True) == 21
    del future, first, third


@pytest.mark.parametrize("lock", [False, True, SerializableLock("rows"), Lock("rows")], ids=repr)
def test_store(client: Client, tmp_path: Path, lock: Any) -> None:
    """Into whatever can be assigned to where the tasks run, one after the other if that is said."""
    target = Target(str(tmp_path / "stored.npy"))
    da.store(array(), target, lock=lock)
    same(np.load(target.path), np.arange(100).reshape(10, 10))
    assert not client.coordination()["locks"]


def test_annotations(client: Client) -> None:
    """Of layers, of a block, and as arguments."""
    with dask.annotate(priority=3, retries=2):
        annotated = array() + 1
    assert annotated.sum().compute(optimize_graph=False) == 5050
    with dask.annotate(priority=lambda key: 5, workers=list(client.nthreads())):
        assert array().sum().compute(optimize_graph=False) == 4950
    assert array().sum().compute(priority=1.0, retries=1, num_workers=3) == 4950
    where = next(iter(client.nthreads()))
    kept = client.persist(da.ones(8000, chunks=2000), workers=where, allow_other_workers=False)
    wait(kept)
    parts = futures_of(kept)
    assert len(parts) == 4
    assert all(each == [where] for each in client.who_has(parts).values())
    del kept, parts


def test_retries(client: Client, tmp_path: Path) -> None:
    """A task that fails the first time is run again where its annotation says so."""

    def fails_twice(path: Path) -> int:
        with path.open("a") as file:
            file.write("x")
        if path.stat().st_size < 3:
            raise ValueError("too early")
        return 5

    with pytest.raises(ValueError, match="too early"):
        delayed(fails_twice)(tmp_path / "one").compute(retries=1)
    with dask.annotate(retries=2):
        lazy = delayed(fails_twice)(tmp_path / "two")
    assert lazy.compute(optimize_graph=False) == 5


def test_futures_in_graphs(client: Client) -> None:
    """Of submitted calls, as values of delayed ones, and as parts of collections."""
    three: Future[int] = client.submit(abs, -3)
    assert (delayed(three) + 1).compute() == 4
    assert delayed(lambda given: given["k"][0])({"k": [three]}).compute() == 3
    assert delayed(sum)(client.map(abs, [1, -2])).compute() == 3
    named: Future[int] = client.submit(abs, -4, key="four")
    assert (delayed(named) + 1).compute() == 5
    parts = client.map(np.full, [3, 3], [1, 2])
    made = da.concatenate([da.from_delayed(part, (3,), int) for part in parts])
    assert made.sum().compute() == 9
    rows = client.map(lambda row: pd.DataFrame({"a": [row]}), range(4))
    assert dd.from_delayed(rows, meta=pd.DataFrame({"a": [0]})).a.sum().compute() == 6
    lists = client.map(lambda row: [row], range(4))
    assert db.from_delayed(lists).sum().compute() == 6
    assert client.submit(inc, client.compute(total())).result() == 22
    del three, named, parts, made, rows, lists


def test_futures_of_others(client: Client) -> None:
    """They are unknown here, as those are that were let go."""
    from trio_dask import Client

    with Client(client.scheduler_address) as another:
        theirs: Future[int] = another.submit(abs, -3)
        lazy = delayed(theirs) + 1
        with pytest.raises(SubmitError, match="belongs to another client"):
            client.compute(lazy)
        assert another.compute(lazy).result() == 4
    mine: Future[int] = client.submit(abs, -3)
    lazy = delayed(mine) + 1
    mine.release()
    with pytest.raises(SubmitError, match="was released"):
        lazy.compute(scheduler=client)
    del lazy, theirs, mine


def test_low_level_graphs(client: Client) -> None:
    """Dicts with tuples for calls, nested keys, names of names, and graphs of layers."""
    graph: Any = {
        "x": 1,
        "y": (inc, "x"),
        "z": (sum, ["x", "y", (inc, 3)]),
        "again": "z",
        ("t", 0): "y",
    }
    assert client.get(graph, [["z", "again"], ["x"], ("t", 0)]) == [[7, 7], [1], 2]
    assert client.get(graph, "y") == 2
    assert client.get({**graph, "x": 11}, "z") == 27
    layers = HighLevelGraph.from_collections("layer", {("layer", 0): (inc, 4)})
    assert client.get(layers, [("layer", 0)]) == [5]
    future = client.get(graph, "y", sync=False)
    assert future.result() == 2
    del future
    with pytest.raises(SubmitError, match="no graph"):
        client.get(7, "x")
    with pytest.raises(SubmitError, match="not there"):
        client.get(graph, "not there")
    with pytest.raises(SubmitError, match="none"):
        client.persist([7])
    assert client.persist([]) == []


def test_a_key_of_a_low_level_graph_is_used_again(client: Client) -> None:
    """Its futures end with the last reference, so that the next one is another task."""
    gc.disable()  # which would end what refers to itself, sooner or later
    try:
        for number in range(3):
            nested = client.get({"x": (inc, number)}, [["x"], "x"], sync=False)
            assert client.gather(nested) == [[number + 1], number + 1]
            del nested
    finally:
        gc.enable()


def test_keys_of_one_graph_that_look_the_same(client: Client) -> None:
    """They are different tasks."""
    graph: Any = {1: (inc, 11), "1": (inc, 12), ("a", 1): (inc, 13), "('a', 1)": (inc, 14), 1.5: 6}
    assert client.get(graph, [1, "1", ("a", 1), "('a', 1)", 1.5]) == [12, 13, 14, 15, 6]


def test_errors(client: Client) -> None:
    """What a task raises comes out; what cannot be pickled is named, and nothing is left."""
    with pytest.raises(ZeroDivisionError):
        delayed(operator.floordiv)(1, 0).compute()
    import threading

    with pytest.raises(SubmitError, match="lock"):
        delayed(inc)(threading.Lock()).compute()
    with pytest.raises(SubmitError, match="priority"):
        client.compute(total(), priority="high")


@pytest.mark.parametrize("kind", ["frame", "merge", "array"])
def test_the_shuffle_of_distributeds_workers_is_refused(kind: str, client: Client) -> None:
    """Before anything is run, and with the name of what does it: tasks would fail obscurely."""
    pytest.importorskip("distributed", reason="without dask.distributed nobody can choose it")
    shuffled = {
        "frame": lambda: frame().shuffle("b", shuffle_method="p2p"),
        "merge": lambda: frame().merge(other(), shuffle_method="p2p", broadcast=False),
        "array": lambda: da.ones((40, 40), chunks=(5, 40)).rechunk((40, 5), method="p2p"),
    }
    with pytest.raises(SubmitError, match=r"only workers of dask\.distributed .* choose 'tasks'"):
        shuffled[kind]().compute()
    with pytest.raises(SubmitError, match="choose 'tasks'"):
        shuffled[kind]().persist()


def test_large_things_are_sent_once(client: Client) -> None:
    """An argument of many tasks is stored; large graphs go in slices."""
    large = np.arange(100_000)
    sums = [delayed(lambda values, row: int(values[row]))(large, row) for row in range(50)]
    assert sum(dask.compute(*sums)) == sum(range(50))
    words = ["word"] * 50_000
    assert delayed(len)(words).compute() == 50_000
    many = da.ones(3000, chunks=1).map_blocks(lambda block: block + 1)
    assert many.sum().compute() == 6000


def test_coroutine_functions(client: Client) -> None:
    """They are run as any other task is."""

    async def later(number: int) -> int:
        return number + 1

    assert client.get({"x": (later, 1), "y": (inc, "x")}, "y") == 3


def test_compute_inside_a_task(client: Client) -> None:
    """It uses the cluster that the task runs on, and its slot is free meanwhile."""

    def inner(count: int) -> tuple[int, str]:
        found = int(da.ones(count, chunks=2).sum().compute())
        kept = da.ones(count, chunks=2).persist()
        return found + int(kept.sum().compute()), type(get_client()).__name__

    futures = [client.submit(inner, 8) for _ in range(4)]
    assert client.gather(futures) == [(16, "TaskClient")] * 4
    assert delayed(inner)(4).compute() == (8, "TaskClient")
    del futures


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio", "asyncio"])
async def test_the_async_client(shared_client: Client, anyio_backend: str) -> None:
    """It has the same methods, to be awaited where they wait; dask's own way of computing refuses it."""
    async with AsyncClient(shared_client.scheduler_address) as client:
        with pytest.raises(RuntimeError, match="asynchronous Client"):
            array().sum().compute(scheduler=client)
        assert await client.compute(array().sum(), sync=True) == 4950
        assert await client.compute(total()) == 21
        futures = client.compute([total(), array().sum(), 3])
        assert await client.gather(futures[:2]) == [21, 4950]
        assert await client.compute([total(), 3], sync=True) == [21, 3]
        kept = client.persist(array())
        assert await client.compute(kept.sum(), sync=True) == 4950
        assert await client.get({"x": (inc, 1)}, ["x"]) == [2]
        pending = await client.get({"x": (inc, 1)}, ["x"], sync=False)
        assert await pending[0] == 2
        del kept


def test_what_is_asked_of_a_persisted_collection_is_asked_of_its_parts(client: Client) -> None:
    """It is one thing to its user."""
    waits = dask.persist(dask.delayed(int)(), workers=["nobody"])[0]
    [future] = futures_of(waits)
    assert not future.done()
    client.cancel(waits)
    assert future.cancelled()
    done = client.persist(dask.delayed(bytes)(100_000))
    wait(done)
    assert list(client.who_has(done)) == [each.key for each in futures_of(done)]
