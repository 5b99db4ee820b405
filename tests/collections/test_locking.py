"""What writes under a lock of one process is given one of the cluster."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("dask.array", reason="dask[array] is not installed")
pytest.importorskip("dask.dataframe", reason="dask[dataframe] is not installed")

import dask
import dask.array as da
import numpy as np
from dask._task_spec import Task, TaskRef, convert_legacy_graph, fuse_linear_task_spec
from dask.array.core import load_store_chunk
from dask.dataframe.io.hdf import _pd_to_hdf
from dask.utils import SerializableLock

from trio_dask import Client, Lock, wait
from trio_dask.client.collections.compiling import Program
from trio_dask.client.collections.locking import WritersLock
from trio_dask.runner import current


class Target:
    """Where nothing is ever written."""

    shape, dtype = (4,), np.dtype("f8")


def locks_of(node: Any) -> list[Any]:
    """All that its calls have as a lock."""
    program = Program(tuple(node.dependencies))
    program.compile(node)
    given = [each for _, args, kwargs in program.calls for each in (*args, *kwargs.values())]
    return [each for each in given if isinstance(each, Lock | SerializableLock)]


def names(locks: list[Any]) -> set[str]:
    """Those of locks of the cluster; what is none of those fails."""
    assert all(isinstance(each, Lock) for each in locks)
    return {each.name for each in locks}


@pytest.mark.parametrize("optimized", [False, True])
def test_arrays_are_stored_under_one_lock(*, optimized: bool) -> None:
    """The one that dask makes, for all chunks, also where tasks have been fused."""
    stored = da.store(da.ones(4, chunks=1) + 1, Target(), compute=False)
    [stored] = dask.optimize(stored) if optimized else [stored]
    nodes = convert_legacy_graph(dict(stored.__dask_graph__()))
    writing = [node for node in nodes.values() if locks_of(node)]
    assert len(writing) == 4
    [name] = set().union(*(names(locks_of(node)) for node in writing))
    assert name.startswith("dask-")


def test_the_same_lock_is_the_same() -> None:
    """That of a token has one name, so that two stores wait for each other."""
    args = (np.ones(1), Target(), (slice(1),), None)
    nodes = [
        Task(key, load_store_chunk, *args, lock=SerializableLock("rows"), return_stored=False)
        for key in "ab"
    ]
    assert [names(locks_of(node)) for node in nodes] == [{"dask-rows"}] * 2


def test_other_locks_stay() -> None:
    """One of the cluster, and none."""
    assert names(locks_of(Task("x", load_store_chunk, 1, 2, 3, 4, Lock("rows")))) == {"rows"}
    assert not locks_of(Task("x", load_store_chunk, 1, 2, 3, 4, lock=False))


def test_readers_keep_theirs() -> None:
    """Each process may read for itself: nobody waits for other processes."""
    read = da.from_array(np.ones(4), chunks=1, lock=True, asarray=False, name="read")
    nodes = convert_legacy_graph(dict(read.__dask_graph__()))
    locks = [lock for node in nodes.values() for lock in locks_of(node)]
    assert {type(lock) for lock in locks} == {SerializableLock}


def test_files_of_tables() -> None:
    """Their writers come as tuples, the next one after the one before."""
    graph = convert_legacy_graph(
        {
            "rows": 1,
            ("out", 0): (_pd_to_hdf, str, SerializableLock("h5"), ["rows", "path"], {}),
            ("out", 1): (max, ("out", 0), (_pd_to_hdf, str, SerializableLock("h5"), ["rows"], {})),
        }
    )
    assert names(locks_of(graph["out", 0])) == {"dask-h5"}
    assert names(locks_of(graph["out", 1])) == {"dask-h5"}


def test_fused() -> None:
    """A task of several others has its lock inside."""
    graph = {
        "a": Task("a", abs, -1),
        "b": Task("b", load_store_chunk, TaskRef("a"), 2, 3, 4, lock=SerializableLock("rows")),
    }
    fused = fuse_linear_task_spec(graph, {"b"})["a-b"]
    assert not fused.dependencies
    assert names(locks_of(fused)) == {"dask-rows"}


def waited_aside(lock: Lock) -> bool:
    """Whether the slot was free while this waited for the lock."""
    with lock:
        nest = current()
        assert nest is not None
        return nest.parked_s > 0


@pytest.mark.parametrize(("kind", "aside"), [(WritersLock, False), (Lock, True)])
def test_who_waits_to_write_keeps_the_slot(
    client: Client, kind: type[Lock], *, aside: bool
) -> None:
    """Else all parts of what is written would wait side by side, and in memory."""
    with kind("rows"):
        waiting = client.submit(waited_aside, kind("rows"))
        while not client.coordination()["locks"]["rows"]["waiting_count"]:
            assert waiting.status == "pending"
        wait([client.submit(abs, -1)])  # whoever waits has come as far as it gets
    assert waiting.result() is aside
