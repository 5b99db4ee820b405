"""A token is replaced while all goes on: for a while two are good, everywhere."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from tests.comm.comm_driver import KEYS, OTHER_KEYS
from tests.comm.test_sockets import echo, talk
from trio_dask.comm import (
    Keys,
    Listener,
    connect,
    connect_anyio,
    keys_from_token,
    open_listener,
    own_keys,
    serve,
)
from trio_dask.config import Config, ensure_token, find_token, new_token, replace_token, token_path
from trio_dask.errors import AuthenticationError
from trio_dask.messages.tasks import Free

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SAID = Free([1])


@asynccontextmanager
async def echoing(keys: Keys) -> AsyncIterator[Listener]:
    """A scheduler that echoes."""
    async with trio.open_nursery() as nursery:
        listener = await open_listener("tcp://127.0.0.1:0")
        await nursery.start(partial(serve, listener, keys=keys, role="scheduler", handler=echo))
        yield listener
        nursery.cancel_scope.cancel()


async def gets_in(listener: Listener, keys: Keys) -> bool:
    """Whether somebody with these keys is served, on both loops alike."""
    found = set()
    for dial in (connect, connect_anyio):
        try:
            connection = await dial(listener.address, keys=keys, role="client")
        except AuthenticationError:
            found.add(False)
        else:
            found.add(await talk(connection, SAID) == [SAID])
    [same] = found
    return same


@pytest.mark.network
async def test_both_are_accepted_and_both_are_tried() -> None:
    """Whoever has one of two gets in where two are; and where one of them is, who has both."""
    both = Keys(OTHER_KEYS.connect, OTHER_KEYS.accept, OTHER_KEYS.dashboard, former=(KEYS,))
    third = keys_from_token(new_token())
    for inside, expected in ((both, (True, True, True)), (KEYS, (True, False, True)),
                             (OTHER_KEYS, (False, True, True)), (third, (False,) * 3)):  # fmt: skip
        async with echoing(inside) as listener:
            outside = (KEYS, OTHER_KEYS, both)
            assert tuple([await gets_in(listener, each) for each in outside]) == expected


@pytest.mark.network
async def test_a_server_that_runs_takes_a_new_token(caplog: pytest.LogCaptureFixture) -> None:
    """With the next connection; the old one for as long as it was said, and then no more."""
    before = keys_from_token(ensure_token())
    async with echoing(own_keys(find_token(), Config())) as listener:
        client = own_keys(find_token(), Config())
        assert await gets_in(listener, before)
        after = keys_from_token(replace_token(accept_former_s=3600))
        assert [await gets_in(listener, each) for each in (before, after, client)] == [True] * 3
        token_path().write_text("rubbish")
        assert await gets_in(listener, after)
        assert "the token stays what it was" in caplog.text
        token_path().unlink()
        assert await gets_in(listener, before)
        last = keys_from_token(replace_token())
        assert [await gets_in(listener, each) for each in (before, after)] == [False, False]
        assert [await gets_in(listener, each) for each in (last, client)] == [True, True]


def test_the_time_of_an_old_token_comes_without_any_other_change() -> None:
    """It is looked at with each connection."""
    old, new = new_token(), new_token()
    ensure_token()
    soon = datetime.now(UTC) + timedelta(seconds=0.2)
    token_path().write_text(f"{new}\n{old} {soon.isoformat()}\n")
    keys = own_keys(find_token(), Config())
    assert len(keys.current().accepted) == 2
    os.utime(token_path())
    while datetime.now(UTC) < soon:
        pass
    assert [each.connect for each in keys.current().accepted] == [keys_from_token(new).connect]


def test_a_token_from_elsewhere_stays() -> None:
    """One from the environment, or of a cluster of one's own, has no file to look at."""
    ensure_token()
    for keys in (
        own_keys(new_token(), Config(), origin="the cluster's token"),
        own_keys(token := new_token(), Config(token=token)),
    ):
        replace_token()
        assert keys.current() is keys
