"""A loop in a thread, for code that blocks."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading

import pytest
import trio

from trio_dask.client import LoopThread, refuse_running_loop


async def double(x: int) -> int:
    """As little as a task can do."""
    await trio.lowlevel.checkpoint()
    return 2 * x


async def fail() -> None:
    """An error of its own."""
    raise ZeroDivisionError


@pytest.fixture
def loop() -> LoopThread:
    """A loop that runs."""
    thread = LoopThread("a test")
    thread.start()
    return thread


def test_a_call_gives_its_result(loop: LoopThread) -> None:
    """The task runs on the loop; its result comes out, or its error as it is."""
    assert loop.call(double, 21) == 42
    with pytest.raises(ZeroDivisionError):
        loop.call(fail)
    loop.stop()


def test_stopping_leaves_no_thread(loop: LoopThread) -> None:
    """Once is enough, twice does no harm, and calls are refused after it."""
    before = threading.active_count()
    loop.stop()
    loop.stop()
    assert threading.active_count() == before - 1
    assert not loop.running
    with pytest.raises(RuntimeError, match="does not run any more"):
        loop.call(double, 1)


def test_stopping_ends_calls_that_wait(loop: LoopThread) -> None:
    """A thread that waits for a task is told."""
    begun, errors = threading.Event(), list[BaseException]()

    async def wait() -> None:
        begun.set()
        await trio.sleep_forever()

    def call() -> None:
        try:
            loop.call(wait)
        except RuntimeError as error:
            errors.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    begun.wait()
    loop.stop()
    caller.join()
    assert "stopped" in str(errors[0])


def test_many_threads_call_at_once(loop: LoopThread) -> None:
    """Each gets its own result."""
    results: dict[int, int] = {}

    def call(number: int) -> None:
        for each in range(20):
            results[number * 100 + each] = loop.call(double, number * 100 + each)

    callers = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert results == {each: 2 * each for each in results}
    assert len(results) == 160
    loop.stop()


def test_interrupting_the_caller_cancels_the_task() -> None:
    """Ctrl-C while a call waits: the task ends, and the script does."""
    script = (
        "import os, signal, trio\n"
        "from trio_dask.client import LoopThread\n"
        "async def wait():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    try:\n"
        "        await trio.sleep_forever()\n"
        "    finally:\n"
        "        print('cancelled')\n"
        "loop = LoopThread('x')\n"
        "loop.start()\n"
        "try:\n"
        "    loop.call(wait)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["cancelled", "interrupted"]
    assert not run.stderr


def test_a_forked_child_has_no_loop(loop: LoopThread) -> None:
    """It says so instead of waiting for ever."""
    loop._pid = os.getpid() + 1  # as it looks from a child
    with pytest.raises(RuntimeError, match="forked"):
        loop.call(double, 1)
    loop._pid = os.getpid()
    loop.stop()


def test_where_blocking_is_refused() -> None:
    """On a running loop of either kind; not in a thread beside it."""

    async def on_a_loop() -> None:
        with pytest.raises(RuntimeError, match="use AsyncThing, and await it"):
            refuse_running_loop("Thing", "AsyncThing")

    async def beside_a_loop() -> None:
        await trio.to_thread.run_sync(refuse_running_loop, "Thing", "AsyncThing")

    trio.run(on_a_loop)
    trio.run(beside_a_loop)
    asyncio.run(on_a_loop())
    refuse_running_loop("Thing", "AsyncThing")


def test_a_loop_that_cannot_run_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """To who starts it, who would else wait for ever."""

    def full(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(trio, "run", full)
    loop = LoopThread("test")
    with pytest.raises(OSError, match="Too many open files"):
        loop.start()
    assert not loop.running
    loop.stop()
