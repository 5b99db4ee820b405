"""A runner in threads of another process, at its end: what runs there ends with it, if it can."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.runner.runner_driver import PATIENCE_S, Runner
from trio_dask import TaskCancelled, check_cancelled, shield
from trio_dask.runner import hosting
from trio_dask.runner.on_asyncio import OnAsyncio

if TYPE_CHECKING:
    from pathlib import Path


Threads = Callable[..., list[threading.Thread]]


@pytest.fixture
def here(new_threads: Threads) -> Callable[[], list[str]]:
    """The threads that run tasks."""
    return lambda: [each.name for each in new_threads("slot-", "async-tasks", "writer", "runner")]


def loop(begun: str) -> None:
    """Python code without an end."""
    open(begun, "w").close()  # noqa: PTH123 - as short as can be
    while True:
        pass


def short_naps(begun: str) -> None:
    """In C most of the time, but it comes back."""
    open(begun, "w").close()  # noqa: PTH123
    while True:
        time.sleep(0.01)


def polite(begun: str) -> None:
    """It looks whether it is to stop, and says what it has been told."""
    open(begun, "w").close()  # noqa: PTH123
    try:
        while True:
            check_cancelled()
    except TaskCancelled:
        open(begun + ".asked", "w").close()  # noqa: PTH123
        raise


def stubborn(begun: str) -> None:
    """It swallows the first."""
    open(begun, "w").close()  # noqa: PTH123
    try:
        while True:
            pass
    except TaskCancelled:
        while True:
            pass


def shielded(begun: str) -> None:
    """Not to be disturbed for a moment."""
    with shield(max=0.3):
        open(begun, "w").close()  # noqa: PTH123
        while True:
            pass


async def asleep(begun: str) -> None:
    """On Trio."""
    open(begun, "w").close()  # noqa: ASYNC230, PTH123
    await trio.sleep_forever()


async def asleep_on_asyncio(begun: str) -> None:
    """On a loop of its own."""
    open(begun, "w").close()  # noqa: ASYNC230, PTH123
    await asyncio.Event().wait()


def begin(runner: Runner, fn: Callable[..., Any], path: Path, attempt: int = 1) -> Path:
    """Run it, and wait until it has begun."""
    begun = path / f"{attempt}"
    runner.function(attempt, fn)
    runner.run(attempt, fid=attempt, args=[str(begun)])
    while not begun.exists():
        time.monotonic()
    return begun


@pytest.mark.parametrize(
    "fn",
    [loop, short_naps, polite, stubborn, shielded, asleep, OnAsyncio(asleep_on_asyncio)],
    ids=lambda fn: fn.__name__,
)
def test_what_runs_ends_with_it(
    fn: Callable[..., Any], tmp_path: Path, new_threads: Threads, here: Callable[[], list[str]]
) -> None:
    """It is asked, and interrupted until it has ended; nothing begins any more."""
    runner = Runner(2, hosted=True, profile_interval_s=0.0)
    begin(runner, fn, tmp_path)
    begin(runner, fn, tmp_path, 2)
    runner.run(3, fid=1, args=[str(tmp_path / "late")])
    runner.close()
    for thread in new_threads("async-tasks"):  # it was told
        thread.join(PATIENCE_S)
    assert here() == []
    assert not (tmp_path / "late").exists()


def test_who_looks_is_asked_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Callable[[], list[str]]
) -> None:
    """And has time to end in its own way before it is interrupted."""
    monkeypatch.setattr(hosting, "_ASK_S", PATIENCE_S)
    runner = Runner(hosted=True, profile_interval_s=0.0)
    begun = begin(runner, polite, tmp_path)
    runner.close()
    assert begun.with_suffix(".asked").exists()
    assert here() == []


def test_what_is_stuck_is_left_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    new_threads: Threads,
    here: Callable[[], list[str]],
) -> None:
    """Nothing reaches it in a function in C: it holds nobody up, and ends when that comes back."""
    monkeypatch.setattr(hosting, "_STRIKE_S", 0.05)
    gate = threading.Lock()
    gate.acquire()
    monkeypatch.setattr(hosting, "test_gate", gate, raising=False)

    def stuck(begun: str) -> None:
        open(begun, "w").close()  # noqa: PTH123
        hosting.test_gate.acquire()  # type: ignore[attr-defined]
        open(begun + ".after", "w").close()  # noqa: PTH123

    runner = Runner(hosted=True, profile_interval_s=0.0)
    begun = begin(runner, stuck, tmp_path)
    runner.close()
    assert here() == ["slot-0"]
    gate.release()
    [left] = new_threads("slot-0")
    left.join(PATIENCE_S)
    assert here() == []
    assert not begun.with_suffix(".after").exists(), "it was interrupted as soon as it could be"
