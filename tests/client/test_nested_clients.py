"""Clients in tasks, which have no connection of their own, over many messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trio_dask import Client, LocalCluster, get_client

if TYPE_CHECKING:
    from collections.abc import Callable


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
