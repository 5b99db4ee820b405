"""Futures that were pickled somewhere else than in arguments: what is unpickled asks for the task."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from trio_dask import (
    AsyncClient,
    Client,
    DataLost,
    Future,
    LocalCluster,
    SubmitError,
    futures_of,
    get_client,
)
from trio_dask.client.futures import AsyncFuture

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """One worker with two slots, in threads."""
    with LocalCluster(1, 2, processes=False, dashboard_address=None) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    """A client."""
    with Client(cluster) as client:
        yield client


def inc(number: int) -> int:
    """Add one."""
    return number + 1


def gone(client: Client, future: Future[Any]) -> None:
    """Let go of a future, and wait until the scheduler knows."""
    future.release()
    client.flush()


def test_a_copy_holds_the_task_by_itself(client: Client) -> None:
    """It has the key, is a task's input, is another future, and outlives the one it was made of."""
    future = client.submit(inc, 1)
    other: Future[int] = pickle.loads(pickle.dumps(future))
    assert (type(other), other.key, other.client) == (Future, future.key, client)
    assert other is not future
    gone(client, future)
    assert future.cancelled()
    assert other.result(PATIENCE_S) == 2
    assert client.submit(inc, other).result(PATIENCE_S) == 3
    third = copy.deepcopy({"a": [copy.copy(other)]})["a"][0]
    gone(client, other)
    assert third.result(PATIENCE_S) == 2
    assert third.status == "finished"


def test_nobody_holds_what_is_pickled(client: Client) -> None:
    """The task of a future that was let go of between is lost, and using it says so."""
    data = pickle.dumps(future := client.submit(inc, 1))
    assert future.result(PATIENCE_S) == 2
    gone(client, future)
    found: Future[int] = pickle.loads(data)
    with pytest.raises(DataLost, match=f"{future.key} is lost: nobody held a future of it"):
        found.result(PATIENCE_S)
    assert found.status == "lost"


def test_errors_come_along(client: Client) -> None:
    """Of a task that has failed."""
    future = client.submit(inc, "x")
    with pytest.raises(TypeError, match="concatenate"):
        pickle.loads(pickle.dumps(future)).result(PATIENCE_S)


def test_no_secret_is_in_it(client: Client, cluster: LocalCluster) -> None:
    """Names only: the task, the cluster and where its scheduler is."""
    core = client.live.core
    data = pickle.dumps(client.submit(inc, 1))
    bond = core._bond
    assert bond is not None
    assert len(data) < 400
    for secret in (bond.secret, cluster.token):
        assert secret
        assert secret.encode() not in data


def test_the_client_of_the_cluster_is_found(client: Client, cluster: LocalCluster) -> None:
    """Whichever is open; that of the block before others; and none of another cluster."""
    future = client.submit(inc, 1)
    data = pickle.dumps(future)
    assert future.result(PATIENCE_S) == 2
    with Client(cluster) as second:
        found = pickle.loads(data)
        assert found.client is second
        assert found.result(PATIENCE_S) == 2
        again = pickle.loads(pickle.dumps(found))  # by the name that its maker has for it
        gone(second, found)
        assert again.result(PATIENCE_S) == 2
        with pytest.raises(SubmitError, match="another client"):
            client.submit(inc, again)
        with LocalCluster(1, 1, processes=False, dashboard_address=None) as elsewhere:
            with Client(elsewhere):
                assert pickle.loads(data).client is second
        del found, again


def test_without_a_client_it_says_what_to_do(cluster: LocalCluster) -> None:
    """None at all, or of another cluster only: which to open is said."""
    with Client(cluster) as client:
        future = client.submit(inc, 1)
        data, key = pickle.dumps(future), future.key
    with pytest.raises(TypeError, match=f"{key} cannot be pickled, as its client has ended"):
        pickle.dumps(future)
    with pytest.raises(
        ValueError, match=rf"none is open here: open Client\('{cluster.scheduler_address}'\)"
    ):
        pickle.loads(data)
    with LocalCluster(1, 1, processes=False, dashboard_address=None) as other, Client(other):
        with pytest.raises(ValueError, match="are of other clusters: open Client"):
            pickle.loads(data)


def reads(data: bytes) -> tuple[int, str]:
    """A task that is given a pickle, of a future that somebody else holds."""
    future = pickle.loads(data)
    assert future.client is get_client()
    return future.result(), future.key


async def reads_async(data: bytes) -> tuple[int, str]:
    """The same on a loop."""
    future = pickle.loads(data)
    assert type(future) is AsyncFuture
    return await future, future.key


def round_trip(number: int) -> int:
    """A task that pickles the future of one of its own."""
    future: Future[int] = get_client().submit(inc, number)
    return int(pickle.loads(pickle.dumps(future)).result())


def own_in_pickle(number: int) -> bytes:
    """What becomes of the futures of a task when it has ended."""
    future: Future[int] = get_client().submit(inc, number)
    future.result()
    return pickle.dumps(future)


def deep_inside(number: int) -> object:
    """A result that hides a future."""
    return Box(get_client().submit(inc, number))


class Box:
    """Something of the user's."""

    def __init__(self, future: object) -> None:
        self.future = future


def test_in_tasks(client: Client) -> None:
    """Of clients outside, and their own; what a task has made ends with it, also in a pickle."""
    future = client.submit(inc, 1)
    data = pickle.dumps(future)
    assert future.result(PATIENCE_S) == 2
    for task in (reads, reads_async):
        read: Future[Any] = client.submit(task, data)
        assert read.result(PATIENCE_S) == (2, future.key)
    assert client.submit(round_trip, 4).result(PATIENCE_S) == 5
    late = pickle.loads(client.submit(own_in_pickle, 4).result(PATIENCE_S))
    with pytest.raises(DataLost, match="nobody held a future"):
        late.result(PATIENCE_S)
    with pytest.raises(Exception, match="cannot be pickled, as its client has ended: its task"):
        client.submit(deep_inside, 4).result(PATIENCE_S)


def test_functions_take_none_along(client: Client) -> None:
    """Futures of tasks are arguments, as before: a function lives longer than a task."""
    future = client.submit(inc, 1)
    with pytest.raises(SubmitError, match="holds a future; pass futures as arguments"):
        client.submit(lambda: future)


def test_equal_tokens() -> None:
    """Futures of one task are one argument to dask; those of others, another."""
    tokenize = pytest.importorskip("dask.base").tokenize
    with LocalCluster(1, 1, processes=False, dashboard_address=None) as cluster:
        with Client(cluster) as client, Client(cluster) as second:
            future, other = client.submit(inc, 1), client.submit(inc, 1)
            client.flush()
            copied = pickle.loads(pickle.dumps(future))
            assert copied.client is second
            assert tokenize(copied) == tokenize(future) != tokenize(other)


def test_graphs_know_what_was_attached_or_published(cluster: LocalCluster) -> None:
    """By the keys that graphs have for it, also where the first future of it is gone."""
    array = pytest.importorskip("dask.array")
    with Client(cluster) as client:
        kept = array.arange(12, chunks=3).reshape(4, 3).persist()
        copied = pickle.loads(pickle.dumps(kept))
        assert [each.key for each in futures_of(copied)] == [each.key for each in futures_of(kept)]
        client.publish_dataset(kept=kept)
        one = client.submit(inc, 1)
        other = pickle.loads(pickle.dumps(one))
        lazy = pytest.importorskip("dask").delayed(other) + 1
        del kept, one
        assert copied.sum().compute() == 66
        assert lazy.compute() == 3
        with Client(cluster) as second:
            assert second.get_dataset("kept").sum().compute() == 66
        client.unpublish_dataset("kept")
        del copied, other, lazy


@pytest.mark.anyio
async def test_awaited(cluster: LocalCluster) -> None:
    """The same for code that awaits, on both loops; a future for those that block becomes one to await."""
    async with AsyncClient(cluster) as client:
        future = client.submit(inc, 1)
        found = pickle.loads(pickle.dumps(future))
        assert type(found) is AsyncFuture
        future.release()
        assert await found == 2
        assert await client.gather({"a": pickle.loads(pickle.dumps([found]))}) == {"a": [2]}


# ---------------------------------------------------------------- by key


def test_a_future_by_its_key(client: Client) -> None:
    """As programs written for Dask have it: one more hold on what the client holds."""
    chosen, plain = client.submit(inc, 1, key="chosen"), client.submit(inc, 2)
    for future in (chosen, plain):
        again: Future[int]
        for again in (Future(future.key, client), Future(future.key), Future(key=future.key)):
            assert again.key == future.key
            assert again.client is client
            assert again.result(PATIENCE_S) == future.result(PATIENCE_S)
    found: Future[int] = Future("chosen", client)
    gone(client, chosen)
    assert client.submit(inc, found).result(PATIENCE_S) == 3
    assert found.result(PATIENCE_S) == 2


def test_the_last_one_of_a_key_is_meant(client: Client) -> None:
    """One that was let go of is not."""
    first = client.submit(inc, 1, key="twice")
    assert first.result(PATIENCE_S) == 2
    gone(client, first)
    last = client.submit(inc, 5, key="twice")
    assert Future("twice", client).result(PATIENCE_S) == 6
    del first
    gone(client, last)
    with pytest.raises(ValueError, match=r"holds no task of this key.*a Variable or a Queue"):
        Future("twice", client)


def test_a_future_of_a_graph_by_its_key(client: Client) -> None:
    """Where that is text."""
    delayed = pytest.importorskip("dask").delayed
    persisted = delayed(inc)(3).persist()
    found: Future[int] = Future(persisted.key, client)
    assert found.key == persisted.key
    assert found.result(PATIENCE_S) == 4


def test_in_a_task_it_is_the_task_s(client: Client) -> None:
    """And of another client's tasks it knows nothing."""

    def asks() -> tuple[int, str]:
        own = get_client().submit(inc, 1, key="inner")
        try:
            Future("outer")
        except ValueError as error:
            return Future("inner").result() + own.result(), str(error)
        return 0, ""

    outer = client.submit(inc, 1, key="outer")
    found, error = client.submit(asks).result(PATIENCE_S)
    assert found == 4
    assert error.startswith("Future('outer', …): the client holds no task of this key")
    assert outer.result(PATIENCE_S) == 2


async def test_an_awaited_one_by_its_key(cluster: LocalCluster) -> None:
    """Of the same kind as its client."""
    async with AsyncClient(cluster) as client:
        future = client.submit(inc, 1, key="awaited")
        assert await AsyncFuture("awaited", client) == 2
        assert await AsyncFuture("awaited") == 2
        with pytest.raises(TypeError, match="is of type Client"):
            Future("awaited", client)
        await future


@pytest.mark.parametrize("odd", [5, None, ("x", 0), b"x"])
def test_what_is_no_key(client: Client, odd: Any) -> None:
    """The error says where futures of collections are; nothing is written to stderr."""
    with pytest.raises(TypeError, match=r"key of a task is text; .* futures_of\(\)"):
        Future(odd, client)
    with pytest.raises(TypeError, match="is of type Client"):
        Future("x", odd or 5)


def test_a_future_that_was_released_is_no_argument(client: Client) -> None:
    """It is named by its key, at the call."""
    first, second = client.map(inc, [1, 2])
    client.gather([first, second])
    gone(client, second)
    for ask in (client.submit, client.map):
        with pytest.raises(SubmitError, match=f"the future {second.key} was released"):
            ask(inc, [second])
    with pytest.raises(SubmitError, match=f"the future {second.key} was released"):
        client.publish_dataset(x=[first, second])


def test_futures_of_others_are_named_by_their_keys(client: Client, cluster: LocalCluster) -> None:
    """Not by that of their neighbour, also when their client is closed."""
    with Client(cluster) as other:
        first, second = other.map(inc, [1, 2])
        other.gather([first, second])
        with pytest.raises(ValueError, match=f"the future {second.key} belongs to another client"):
            client.gather([second])
    for ask in (client.gather, client.cancel):
        with pytest.raises(ValueError, match=f"{second.key} belongs to another client: ask that"):
            ask([client.submit(inc, 1), second])
    with pytest.raises(SubmitError, match=f"the future {second.key} belongs to another client"):
        client.submit(inc, second)
