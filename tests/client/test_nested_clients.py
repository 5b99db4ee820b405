"""Clients in tasks, which have no connection of their own, over many messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trio_dask import AsyncClient, AuthenticationError, Client, LocalCluster, get_client
from trio_dask.config import Config, token

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def double(x: int) -> int:
    """A child."""
    return 2 * x


def one_by_one(count: int) -> int:
    """A parent that waits for each child before it starts the next one."""
    client = get_client()
    return sum(client.submit(double, number).result() for number in range(count))


async def async_one_by_one(count: int) -> int:
    """The same in async code."""
    client = get_client()
    return sum([await client.submit(double, number) for number in range(count)])


def all_at_once(count: int) -> int:
    """A parent of many."""
    client = get_client()
    return sum(client.gather(client.map(double, range(count))))


def opens_one(address: str) -> None:
    """A task that does as programs do."""
    Client(address, config=Config(token="0123456789abcdef" * 4))


async def opens_one_awaited(address: str) -> None:
    """The same in async code, without any token."""
    async with AsyncClient(address, config=Config()):
        pass


@pytest.mark.parametrize("task", [opens_one, opens_one_awaited])
def test_a_client_in_a_task_that_has_no_token(
    task: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Tasks are not given the cluster's; what they have instead is said."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        # It is known where the cluster was started; here tasks run in just that process.
        monkeypatch.setattr(token, "_own", {})
        with pytest.raises(AuthenticationError) as caught:
            client.submit(task, cluster.scheduler_address).result()
        assert any("get_client() gives it a client" in note for note in caught.value.__notes__)
    with pytest.raises(AuthenticationError) as caught:
        Client("tcp://127.0.0.1:1", config=Config())
    assert not any("get_client()" in note for note in getattr(caught.value, "__notes__", ()))


@pytest.mark.parametrize(
    ("parent", "count"), [(one_by_one, 100), (async_one_by_one, 100), (all_at_once, 10_000)]
)
def test_nobody_is_to_confirm_what_a_client_in_a_task_hears(
    parent: Callable[[int], Any], count: int
) -> None:
    """However often it hears something, and of however many tasks."""
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        assert client.submit(parent, count).result() == count * (count - 1)
