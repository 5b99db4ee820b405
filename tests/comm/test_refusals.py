"""Strangers that come often: few lines, and they wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from tests.comm.comm_driver import MemoryListener, read_to_end
from tests.comm.test_serving import check_served, serving
from trio_dask.comm.refusals import HOLD_S, LINES_MAX, OFTEN, WINDOW_S, Refusals

if TYPE_CHECKING:
    import pytest
    from trio.testing import MockClock


def test_lines_are_few_and_the_rest_is_counted() -> None:
    """In each window a few; what was not said is said once, as a number."""
    refusals = Refusals()
    assert [refusals.note(f"h{n}", 0.0) for n in range(100)].count(True) == LINES_MAX
    assert refusals.unsaid(WINDOW_S - 1) == 0
    assert refusals.unsaid(WINDOW_S) == 100 - LINES_MAX
    assert refusals.unsaid(WINDOW_S) == 0
    assert refusals.note("h", WINDOW_S)


def test_who_comes_often_waits_and_others_do_not() -> None:
    """Until a window has passed without it, or somebody from there holds the token."""
    refusals = Refusals()
    for n in range(OFTEN + 1):
        assert refusals.hold_s("here", n / 10) == 0
        refusals.note("here", n / 10)
    assert refusals.hold_s("here", OFTEN / 10) == HOLD_S
    assert refusals.hold_s("there", OFTEN / 10) == 0
    assert refusals.hold_s("here", OFTEN / 10 + WINDOW_S) == 0
    refusals.forgive("here")
    assert refusals.hold_s("here", OFTEN / 10) == 0


def test_hosts_are_not_remembered_without_bound() -> None:
    """A stranger with many addresses costs no more than that."""
    refusals = Refusals()
    for n in range(10_000):
        refusals.note(f"h{n}", 0.0)
    assert len(refusals._hosts) == 1024


async def test_a_flood_is_a_few_lines(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Hundreds that speak something else: most are dropped silently, and one of us gets in."""
    listener = MemoryListener()
    async with serving(listener):
        streams = [listener.dial() for _ in range(300)]
        for each in streams:
            await each.send_all(b"GET / HTTP/1.1\r\n")
        for each in streams:
            await read_to_end(each)
        assert len(caplog.records) == LINES_MAX
        before = trio.current_time()
        await check_served(listener)
        assert trio.current_time() - before == HOLD_S
        before = trio.current_time()
        await check_served(listener)
        assert trio.current_time() == before
        await trio.sleep(WINDOW_S)
        last = listener.dial()
        await last.send_all(b"GET / HTTP/1.1\r\n")
        await read_to_end(last)
    lines = [each.getMessage() for each in caplog.records[LINES_MAX:]]
    assert lines[0] == f"dropped {300 - LINES_MAX} more that did not authenticate"
    assert len(lines) == 2
