"""Stopping tasks that run, each in a process of its own."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest
import trio

from tests.runner.runner_driver import PATIENCE_S, Held, Runner, run_of
from tests.runner.runner_tasks import inc
from trio_dask import TaskCancelled, check_cancelled
from trio_dask.messages.payload import unpack
from trio_dask.messages.tasks import ASK, RAISE, STOPPED, Done, Interrupt, Interrupting, Returned
from trio_dask.runner import actors, chunks, graphs

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.processes


def loop(begun: str) -> None:
    """Python code without an end."""
    open(begun, "w").close()  # noqa: PTH123 - as short as can be
    while True:
        pass


def nap(begun: str) -> None:
    """A very long sleep."""
    open(begun, "w").close()  # noqa: PTH123
    time.sleep(1000)  # the body of a task


def lock(begun: str) -> None:
    """A lock that never comes."""
    gate = threading.Lock()
    gate.acquire()
    open(begun, "w").close()  # noqa: PTH123
    gate.acquire()


def event(begun: str) -> None:
    """The same, by the library's own means."""
    open(begun, "w").close()  # noqa: PTH123
    threading.Event().wait()


def polite(begun: str) -> None:
    """It looks."""
    open(begun, "w").close()  # noqa: PTH123
    while True:
        check_cancelled()


async def asleep(begun: str) -> None:
    """An async task."""
    open(begun, "w").close()  # noqa: ASYNC230, PTH123
    await trio.sleep_forever()


def tidy(begun: str) -> str:
    """It notices, and ends in its own way."""
    try:
        open(begun, "w").close()  # noqa: PTH123
        while True:
            pass
    except TaskCancelled:
        raise ValueError("of its own") from None


def swallow(begun: str) -> str:
    """It notices, and goes on as if nothing had happened."""
    try:
        open(begun, "w").close()  # noqa: PTH123
        while True:
            pass
    except TaskCancelled:
        return "done"


def logs(begun: str) -> None:
    """It is in code that must not be interrupted, for a while."""
    logger = logging.getLogger("busy")
    logger.addHandler(logging.StreamHandler(open(os.devnull, "w")))  # noqa: PTH123, SIM115
    open(begun, "w").close()  # noqa: PTH123
    for _ in range(5000):
        logger.error("again")
    while True:
        pass


def log_lock_is_free() -> bool:
    """Whether another thread could log."""
    lock: Any = logging.getLogger("busy").handlers[0].lock
    free: list[bool] = []
    thread = threading.Thread(target=lambda: free.append(lock.acquire(timeout=5)))
    thread.start()
    thread.join()
    return free[0]


def closes_slowly(begun: str) -> None:
    """The file that it has in hand is closed for as long as nobody reads what is in it."""
    pipe = os.open(f"{begun}.pipe", os.O_RDWR | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while os.write(pipe, bytes(4096)):
            pass
    os.set_blocking(pipe, True)
    with_the_rest(pipe).write(never(begun))


def never(begun: str) -> bytes:
    """What would come after a loop without an end."""
    loop(begun)
    return b""


def with_the_rest(pipe: int) -> Any:
    """A file that has something to write yet."""
    file = open(pipe, "wb")  # noqa: SIM115
    file.write(b"the rest")
    return file


def in_a_call(begun: str) -> None:
    """As an executor calls it, or joblib."""
    chunks.call(loop, begun)


def in_a_row(begun: str) -> None:
    """As `map` of an executor does."""
    chunks.call_rows(loop, [(begun,)])


def in_a_graph(begun: str) -> None:
    """As a node of a Dask graph."""
    graphs.GraphCall("loop", ())(cloudpickle.dumps((0, [(loop, [begun], {}, [], [])])))


def without_frames_in_a_graph(begun: str) -> None:
    """The same of a function of C."""
    steps: list[Any] = [(open, [begun, "w"], {}, [], []), (time.sleep, [1000], {}, [], [])]
    graphs.GraphCall("sleep", ())(cloudpickle.dumps((0, steps)))


class Busy:
    """What an actor may be."""

    def work(self, begun: str) -> None:
        """What it may do."""
        loop(begun)


def in_an_actor(begun: str) -> None:
    """As a method that another task calls."""
    actors.call_actor(actors.ActorCell(Busy()), ("work", (begun,), {}), None)


def in_an_actor_here(begun: str) -> None:
    """As a method that a task calls of an actor in its own process."""
    actors.ActorCell(Busy()).work(begun)


def runner_value(done: Done) -> Any:
    """The value of the one task that was done."""
    return unpack(done.values[0])


def begin(runner: Runner, fn: Callable[..., Any], tmp_path: Any, attempt: int = 1) -> None:
    """Run it, and wait until it has begun."""
    begun = tmp_path / f"{fn.__name__}{attempt}"
    runner.function(attempt, fn)
    runner.run(attempt, fid=attempt, args=[str(begun)])
    until = time.monotonic() + PATIENCE_S
    while not begun.exists():
        assert time.monotonic() < until


def stop(runner: Runner, attempt: int, *, strike: bool) -> Done:
    """Stop it; what the runner reports."""
    runner.say(Interrupt([attempt], [ASK]))
    heard = runner.hear()
    until = time.monotonic() + PATIENCE_S
    while isinstance(heard, Interrupting):
        assert time.monotonic() < until
        if strike and heard.attempts == [attempt]:
            runner.say(Interrupt([attempt], [RAISE]))  # as a worker does, now and then
        heard = runner.hear()
    assert isinstance(heard, Done)
    return heard


def alive(runner: Runner) -> bool:
    """Whether its slots work, and no more than what was asked for came to an end."""
    runner.function(99, inc)
    runner.run(*range(100, 150), fid=99, args=(1,))
    found: dict[int, Any] = {}
    while len(found) < 50:
        heard = runner.hear()
        if isinstance(heard, Done):
            found |= dict(zip(heard.attempts, heard.statuses, strict=True))
    return set(found.values()) == {0}


@pytest.mark.parametrize("fn", [loop, nap, lock, event])
def test_the_main_thread_is_interrupted_wherever_it_is(fn: Any, tmp_path: Any) -> None:
    """In Python code, in a sleep, at a lock; and goes on with the next task."""
    with Runner(1) as runner:
        begin(runner, fn, tmp_path)
        assert stop(runner, 1, strike=True).statuses == [STOPPED]
        assert alive(runner)


def test_a_function_without_frames_is_interrupted() -> None:
    """As `time.sleep` itself, of which nothing is to be seen but that it was called."""
    with Runner(1) as runner:
        runner.function(1, time.sleep)
        runner.run(1, fid=1, args=[1000])
        while not runner.board.running():
            time.monotonic()
        assert stop(runner, 1, strike=True).statuses == [STOPPED]
        assert alive(runner)


@pytest.mark.parametrize(
    "fn",
    [in_a_call, in_a_row, in_a_graph, without_frames_in_a_graph, in_an_actor, in_an_actor_here],
)
def test_however_it_is_called_it_is_interrupted(fn: Any, tmp_path: Any) -> None:
    """What only calls it is no reason to leave it alone until its process has to end."""
    with Runner(1) as runner:
        begin(runner, fn, tmp_path)
        assert stop(runner, 1, strike=True).statuses == [STOPPED]
        assert alive(runner)


def test_other_slots_are_interrupted_in_python_code(tmp_path: Any) -> None:
    """Each for itself: what runs beside it is not touched."""
    with Runner(3) as runner:
        for attempt in (1, 2, 3):
            begin(runner, loop, tmp_path, attempt)
        for attempt in (3, 1, 2):
            done = stop(runner, attempt, strike=True)
            assert (done.attempts, done.statuses) == ([attempt], [STOPPED])
        assert alive(runner)


def test_what_is_struck_again_while_it_leaves_leaves(tmp_path: Any) -> None:
    """Closing a file lets others go on: what they raise comes when the function is over."""
    os.mkfifo(tmp_path / "closes_slowly2.pipe")
    reader = os.open(tmp_path / "closes_slowly2.pipe", os.O_RDONLY | os.O_NONBLOCK)
    with Runner(2) as runner, os.fdopen(reader, "rb") as pipe:
        begin(runner, loop, tmp_path, other := 1)
        if runner.board.idle(0):  # the main thread is the one that is not looked at
            begin(runner, loop, tmp_path, other := 3)
            assert stop(runner, 1, strike=True).statuses == [STOPPED]
        begin(runner, closes_slowly, tmp_path, 2)
        runner.say(Interrupt([2], [ASK]))
        for _ in range(50):
            assert runner.expect(Interrupting).attempts == [2]
            runner.say(Interrupt([2], [RAISE]))
        while not (pipe.read(1 << 20) or b"").endswith(b"the rest"):
            pass
        last = [runner.hear(), runner.hear()]
        assert {type(each) for each in last} == {Interrupting, Done}
        ((attempts, statuses),) = [(e.attempts, e.statuses) for e in last if isinstance(e, Done)]
        assert (attempts, statuses) == ([2], [STOPPED])
        assert stop(runner, other, strike=True).statuses == [STOPPED]
        assert alive(runner)


@pytest.mark.parametrize("fn", [polite, asleep])
def test_asking_is_enough_for_who_looks(fn: Any, tmp_path: Any) -> None:
    """A plain function that checks, and an async one at its next checkpoint."""
    with Runner(2) as runner:
        begin(runner, fn, tmp_path)
        assert stop(runner, 1, strike=False).statuses == [STOPPED]
        assert alive(runner)


def test_an_error_of_its_own_counts_and_a_swallowed_cancellation_does_not(tmp_path: Any) -> None:
    """What it returns after it was interrupted is no result."""
    with Runner(1) as runner:
        begin(runner, tidy, tmp_path, 1)
        runner.say(Interrupt([1], [ASK]), Interrupt([1], [RAISE]))
        assert [runner.expect(Interrupting) for _ in range(2)]
        error = runner.outcomes(1)[1]
        assert isinstance(error, ValueError)
        assert str(error) == "of its own"
        begin(runner, swallow, tmp_path, 2)
        assert stop(runner, 2, strike=True).statuses == [STOPPED]


def test_delicate_code_is_left_alone(tmp_path: Any) -> None:
    """What logs is interrupted between two lines or after them, and the log still works."""
    with Runner(1) as runner:
        begin(runner, logs, tmp_path)
        assert stop(runner, 1, strike=True).statuses == [STOPPED]
        runner.function(2, log_lock_is_free)
        runner.run(2, fid=2)
        while not isinstance(heard := runner.hear(), Done):
            assert isinstance(heard, Interrupting)
        assert runner_value(heard) is True


def test_what_has_not_begun_is_given_back_and_what_is_over_is_left(tmp_path: Any) -> None:
    """Neither is waited for."""
    with Runner(1) as runner:
        begin(runner, loop, tmp_path)
        runner.say(run_of(2, fid=1, args=["x"]), Interrupt([2], [ASK]))
        assert runner.expect(Returned).attempts == [2]
        assert runner.expect(Interrupting).attempts == [2]
        runner.say(Interrupt([77], [ASK]), Interrupt([77], [RAISE]))
        assert runner.expect(Interrupting).attempts == [77]
        assert runner.expect(Interrupting).attempts == [77]
        assert stop(runner, 1, strike=True).statuses == [STOPPED]
        assert alive(runner)


def test_a_storm_of_strikes_hits_nobody_else(tmp_path: Any) -> None:
    """Short tasks that are interrupted at every moment: each ends once, as itself or stopped."""
    with Runner(2) as runner:
        runner.function(1, inc)
        runner.call(len, [])  # loads what it takes
        ended: dict[int, int] = {}
        for first in range(10_000, 10_400, 8):
            attempts = list(range(first, first + 8))
            runner.run(*attempts, fid=1, args=(1,))
            for attempt in attempts:
                runner.say(Interrupt([attempt], [ASK]), Interrupt([attempt], [RAISE]))
            left = 2 * len(attempts)
            while left or not ended.keys() >= set(attempts):
                heard = runner.hear()
                if isinstance(heard, Interrupting):
                    left -= 1
                elif isinstance(heard, Returned):
                    assert ended.keys().isdisjoint(heard.attempts)
                    ended |= dict.fromkeys(heard.attempts, -1)
                else:
                    assert isinstance(heard, Done)
                    assert ended.keys().isdisjoint(heard.attempts)
                    ended |= dict(zip(heard.attempts, heard.statuses, strict=True))
        assert set(ended.values()) <= {-1, 0, STOPPED}
        assert len(ended) == 400
        assert alive(runner)


def test_outside_a_task_there_is_nothing_to_check() -> None:
    """It does nothing there, so the same code runs anywhere."""
    check_cancelled()
    with Runner(1) as runner:
        assert isinstance(runner.call(bytes, 100_000), Held)
