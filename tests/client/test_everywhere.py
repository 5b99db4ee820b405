"""What is run on each worker, and what is installed there."""

from __future__ import annotations

import operator
import os
import socket
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from trio_dask import AsyncClient, Client, LocalCluster, get_worker
from trio_dask.client import everywhere
from trio_dask.errors import TaskError
from trio_dask.runner.versions import versions

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """A client of a cluster in this process."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False) as cluster,
        Client(cluster) as made,
    ):
        yield made


def own_address() -> str:
    """Of the worker."""
    return get_worker().address


def get_worker_of(address: str) -> Any:
    """Something that looks like a worker."""
    return SimpleNamespace(address=address)


def fails_at(address: str) -> int:
    """An error on one of the workers."""
    return 1 // int(get_worker().address != address)


def test_on_each_worker(client: Client) -> None:
    """Once, by address; on those that are named, by what they are called."""
    addresses = list(client.nthreads())
    assert client.run(own_address) == {address: address for address in addresses}
    assert client.run(operator.add, 1, 2) == dict.fromkeys(addresses, 3)
    assert client.run(dict, a=1, priority=2) == {
        address: {"a": 1, "priority": 2} for address in addresses
    }
    assert list(client.run(os.getpid, workers=addresses[1])) == [addresses[1]]
    name = client.scheduler_info()["workers"][addresses[0]]["name"]
    assert client.run(own_address, workers=[name]) == {addresses[0]: addresses[0]}
    for host in ("127.0.0.1", socket.gethostname()):
        assert list(client.run(own_address, workers=[host, name])) == addresses
    with pytest.raises(ValueError, match="there is no worker 'nobody'"):
        client.run(own_address, workers="nobody")


def test_what_dask_gives_to_such_functions(client: Client) -> None:
    """The worker, to those that have a parameter for it; an empty list is of no workers."""

    def who(prefix: str, dask_worker: Any) -> str:
        return prefix + str(dask_worker.address)

    async def later(dask_worker: Any = None) -> str:
        return str(dask_worker.address)

    addresses = list(client.nthreads())
    assert client.run(who, "at ") == {each: f"at {each}" for each in addresses}
    assert client.run(later) == {each: each for each in addresses}
    assert set(client.run(later, dask_worker=get_worker_of("other")).values()) == {"other"}
    assert client.run(own_address, workers=[]) == {}
    with pytest.raises(AttributeError, match=r"'data'.*it has name, address, .*another process"):
        client.run(lambda dask_worker: dask_worker.data)


def test_what_cannot_be_had(client: Client) -> None:
    """A result that cannot be pickled is an error, as one that is raised; one that is given is not."""
    with pytest.raises(TaskError, match="cannot be pickled"):
        client.run(threading.Lock)
    assert client.run(threading.Lock, on_error="ignore") == {}
    assert all(isinstance(each, ValueError) for each in client.run(ValueError, 1).values())


def test_errors(client: Client) -> None:
    """Raised, returned or left out."""
    first, second = client.nthreads()
    with pytest.raises(ZeroDivisionError):
        client.run(fails_at, first)
    found = client.run(fails_at, first, on_error="return")
    assert isinstance(found[first], ZeroDivisionError)
    assert found[second] == 1
    assert client.run(fails_at, first, on_error="ignore") == {second: 1}
    with pytest.raises(ValueError, match="on_error"):
        client.run(fails_at, first, on_error="never")  # type: ignore[arg-type]


def test_versions(client: Client) -> None:
    """Of Python and of packages; what differs is a warning, if it is asked for."""
    found = client.get_versions(check=True, packages=["pytest", "no-such-package"])
    python = ".".join(map(str, sys.version_info[:3]))
    assert found["client"]["python"] == python
    assert found["client"]["no-such-package"] is None
    assert list(found["workers"].values()) == [found["client"]] * 2
    theirs = versions

    def ours(packages: list[str]) -> dict[str, object]:
        return theirs(packages) | {"python": "3.99.1", "trio": "0.1"}

    answers = everywhere._differences(
        ours(["trio"]), {"there": theirs(["trio"]), "x": OSError("y")}
    )
    assert [line.split(":")[0].strip() for line in answers[:2]] == ["python", "trio"]
    assert "does not say" in answers[2]


@pytest.mark.anyio
async def test_with_await(client: Client) -> None:
    """The other client has the same."""
    async with AsyncClient(client.scheduler_address) as other:
        assert len(await other.run(own_address)) == 2
        assert len((await other.get_versions())["workers"]) == 2
        with pytest.raises(ZeroDivisionError):
            await other.run(operator.floordiv, 1, 0)
