"""Several questions of one peer are answered in turn, so that little does not wait for much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from tests.worker.worker_driver import after, new_core
from trio_dask.messages import values
from trio_dask.messages.values import Fetch, Values
from trio_dask.worker.core import ToPeer, WorkerCore, serving
from trio_dask.worker.core.serving import TURN_BYTES, UNDERWAY_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


def answers(core: WorkerCore) -> list[Values]:
    """What the peer is told before it has read."""
    return [
        message
        for action in after(core)
        if isinstance(action, ToPeer)
        for message in action.messages
        if isinstance(message, Values)
    ]


def test_who_asks_for_little_does_not_wait_for_who_asks_for_much() -> None:
    """Questions of one peer are answered in turn, though the first fills what may be under way."""
    core = new_core()
    core.peer_joined(1, may_store=True)
    big = bytes(TURN_BYTES // 2)
    many = list(range(100, 100 + 3 * UNDERWAY_BYTES_MAX // len(big)))
    core.on_peer(1, values.Store(1, [1, 2], [b"small", b"little"]))
    core.on_peer(1, values.Store(2, many, [big] * len(many)))
    after(core)
    core.on_peer(1, Fetch(3, many))
    core.on_peer(1, Fetch(4, [1]))
    core.on_peer(1, Fetch(5, [2]))
    [first] = answers(core)
    assert len(first.payloads) * len(big) == UNDERWAY_BYTES_MAX
    core.drained(1)
    second, *others = answers(core)
    assert (second.serial, len(second.payloads) * len(big)) == (3, TURN_BYTES)
    assert [each.serial for each in others] == [4, 5, 3]
    got = [first, second, *others]
    while not got[-1].last:
        core.drained(1)
        got += answers(core)
    assert [tid for each in got if each.serial == 3 for tid in each.tids] == many
    assert sum(each.last for each in got) == 3


def test_two_that_ask_for_much_get_it_alternately() -> None:
    """Each has a turn of so many bytes, and both come to their end."""
    core = new_core()
    core.peer_joined(1, may_store=True)
    tids = list(range(100, 160))
    core.on_peer(1, values.Store(1, tids, [bytes(TURN_BYTES)] * 60))
    after(core)
    core.on_peer(1, Fetch(3, tids[:30]))
    core.on_peer(1, Fetch(4, tids[30:]))
    got = answers(core)
    while sum(each.last for each in got) < 2:
        core.drained(1)
        got += answers(core)
    for serial, asked in ((3, tids[:30]), (4, tids[30:])):
        assert [tid for each in got if each.serial == serial for tid in each.tids] == asked
    serials = [each.serial for each in got[1:]]
    assert serials[:10] == [3, 4] * 5


# ---------------------------------------------------------------- rules broken on purpose


def no_turns() -> AbstractContextManager[Any]:
    """Who asked first gets all that may be under way."""
    return patch.object(serving, "TURN_BYTES", UNDERWAY_BYTES_MAX)


def first_comes_first() -> AbstractContextManager[Any]:
    """A question that is not answered as a whole stays the first."""
    real = serving._answer

    def answer(state: Any, answering: Any, turn: int) -> bool:
        whole = real(state, answering, turn)
        while not whole and answering.session.unsent < UNDERWAY_BYTES_MAX:
            whole = real(state, answering, turn)
        return whole

    return patch.object(serving, "_answer", answer)


def last_comes_first() -> AbstractContextManager[Any]:
    """The newest question goes before all others, each time that something was written."""
    real = serving.pump

    def pump(state: Any, session: Any) -> None:
        session.queue.reverse()
        real(state, session)

    return patch.object(serving, "pump", pump)


def more_than_its_turn() -> AbstractContextManager[Any]:
    """A question has twice the bytes that it should."""
    return patch.object(serving, "TURN_BYTES", 2 * TURN_BYTES)


@pytest.mark.parametrize(
    "broken", [no_turns, first_comes_first, last_comes_first, more_than_its_turn]
)
def test_turns_that_are_none_are_noticed(broken: Callable[[], AbstractContextManager[Any]]) -> None:
    """One of the tests above fails with each."""
    failed = 0
    with broken():
        for test in (
            test_who_asks_for_little_does_not_wait_for_who_asks_for_much,
            test_two_that_ask_for_much_get_it_alternately,
        ):
            try:
                test()
            except (AssertionError, ValueError, IndexError):
                failed += 1
    assert failed
