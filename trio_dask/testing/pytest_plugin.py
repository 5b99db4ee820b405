"""Coroutine tests run on Trio, each with a time limit; tests marked ``anyio`` are left alone.

pytest-trio would take those too and run them on Trio only, without a word, while
tests of the client are meant for both loops. Async fixtures are not offered: a
test opens what it needs with ``async with``, so that its lifetime can be read.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
import trio
from trio.testing import MockClock, trio_test

#: A test that takes longer is stuck.
LIMIT_S: Final = 60.0
#: One that is marked as nightly has more to do, but still less than Python's own patience.
NIGHTLY_LIMIT_S: Final = 170.0
#: The same in a mock clock's seconds: enough for any story, soon over when all are blocked.
MOCK_LIMIT_S: Final = 3600.0

_AsyncTest = Callable[..., Awaitable[None]]


def _limited(test: _AsyncTest, limit_s: float) -> _AsyncTest:
    @functools.wraps(test)
    async def run(**arguments: Any) -> None:
        mocked = any(isinstance(value, MockClock) for value in arguments.values())
        with trio.fail_after(MOCK_LIMIT_S if mocked else limit_s):
            await test(**arguments)

    return run


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Turn a coroutine test into a plain one that runs it on Trio."""
    if pyfuncitem.get_closest_marker("anyio") is not None:
        return
    test = pyfuncitem.obj
    nightly = pyfuncitem.get_closest_marker("nightly") is not None
    limit_s = NIGHTLY_LIMIT_S if nightly else LIMIT_S
    if inspect.iscoroutinefunction(test):
        pyfuncitem.obj = trio_test(_limited(test, limit_s))
        return
    handle = getattr(test, "hypothesis", None)
    inner = getattr(handle, "inner_test", None)
    if handle is not None and inspect.iscoroutinefunction(inner):
        handle.inner_test = trio_test(_limited(inner, limit_s))


@pytest.fixture
def mock_clock() -> MockClock:
    """A clock that stands still until the test moves it; the test's Trio run uses it."""
    return MockClock()


@pytest.fixture
def autojump_clock() -> MockClock:
    """A clock that jumps to the next deadline when every task waits; the test's Trio run uses it."""
    return MockClock(autojump_threshold=0)
