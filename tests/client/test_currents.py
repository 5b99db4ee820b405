"""Which client is meant where none is named, and what is said outside of tasks."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.client.fake_cluster import client_of, open_blocking, open_client, open_fake
from trio_dask import AsyncClient, Client, get_client, get_worker, rejoin, secede, worker_client

if TYPE_CHECKING:
    from collections.abc import Callable


def test_there_is_none() -> None:
    """That is an error, which says what there is none of."""
    with pytest.raises(ValueError, match="no open client"):
        get_client()
    with pytest.raises(ValueError, match="no open Client"):
        Client.current()
    with pytest.raises(ValueError, match="no open AsyncClient"):
        AsyncClient.current()


def test_the_client_of_the_block_and_else_the_last_one() -> None:
    """In other threads there is no block, so it is the last one opened that is still open."""
    found: list[object] = []

    def look() -> None:
        thread = threading.Thread(target=lambda: found.append(get_client()))
        thread.start()
        thread.join()

    with open_blocking() as (outer, _):
        assert get_client() is outer
        assert Client.current() is outer
        with open_blocking() as (inner, _):
            look()
            with worker_client() as mine:
                assert mine is inner
            inner.close()
            assert get_client() is outer
        look()
        assert get_client() is outer
    assert found == [inner, outer]


@pytest.mark.anyio
async def test_async_clients() -> None:
    """Theirs is the block, too; a kind that is asked for is what is given."""
    async with open_fake() as fake, client_of(fake) as outer:
        assert get_client() is outer
        assert AsyncClient.current() is outer
        async with open_client() as (inner, _):
            assert get_client() is inner
        assert get_client() is outer
        with pytest.raises(ValueError, match="no open Client"):
            Client.current()
        await outer.close()
        with pytest.raises(ValueError, match="no open client"):
            get_client()


@pytest.mark.parametrize("what", [get_worker, secede, rejoin])
def test_what_is_for_tasks_only(what: Callable[[], object]) -> None:
    """It says so."""
    with pytest.raises(
        ValueError, match=rf"{what.__name__}\(\) is for functions that run as a task"
    ):
        what()
