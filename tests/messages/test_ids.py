from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from trio_dask.messages import ids

CLIENTS = st.integers(1, ids.CLIENT_MAX)
COUNTERS = st.integers(0, (1 << ids.COUNTER_BITS) - 1)


@given(CLIENTS, COUNTERS)
def test_an_id_knows_its_client(client: int, counter: int) -> None:
    """Every id of a client's range is that client's, and fits a signed 64-bit word."""
    task = ids.first_id(client) + counter
    assert ids.client_of(task) == client
    assert 0 < task < 1 << 62


@given(CLIENTS, COUNTERS, st.text(max_size=10))
def test_an_automatic_key_tells_its_task(client: int, counter: int, name: str) -> None:
    """The id is read back out of the key, whatever the function is called."""
    task = ids.first_id(client) + counter
    assert ids.task_of_key(ids.auto_key(name, task)) == task


@pytest.mark.parametrize(
    "key",
    ["", "-", "x-", "10", "x-0x10", "x-1_0", "x- 10", "x-+5", "x-CAFE", "x-010", "my own key"],
)
def test_other_keys_tell_nothing(key: str) -> None:
    """What `auto_key` does not write is nobody's automatic key."""
    assert ids.task_of_key(key) is None


@given(st.integers(0, 1 << 20), COUNTERS)
def test_an_attempt_knows_its_epoch(epoch: int, counter: int) -> None:
    """Attempts of one epoch are all above those of the epochs before."""
    attempt = ids.first_attempt(epoch) + counter
    assert ids.epoch_of(attempt) == epoch
    assert ids.first_attempt(epoch + 1) > attempt
