"""Shields and deadlines as a task sees them, in a process of its own."""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.runner.runner_driver import Runner, run_of
from tests.runner.runner_tasks import inc
from trio_dask import TaskCancelled, check_cancelled, current_deadline, shield
from trio_dask.messages.payload import unpack
from trio_dask.messages.tasks import (
    ASK,
    INTERRUPT,
    OK_INLINE,
    OVERDUE,
    RAISE,
    STOPPED,
    TIMED_OUT,
    Done,
    Interrupt,
    Interrupting,
    Returned,
)

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.processes


def begin(pipe: str) -> None:
    """Say that it has begun: whoever reads the pipe goes on."""
    with open(pipe, "wb"):  # noqa: PTH123
        pass


def wait(pipe: str) -> None:
    """Until the other side has opened and closed its end."""
    with open(pipe, "rb") as end:  # noqa: PTH123
        end.read()


class Gates:
    """Two pipes: the task has begun, and the task may go on."""

    def __init__(self, path: Any) -> None:
        self.begun, self.go = str(path / "begun"), str(path / "go")
        os.mkfifo(self.begun)
        os.mkfifo(self.go)


@pytest.fixture
def gates(tmp_path: Any) -> Gates:
    """For one task."""
    return Gates(tmp_path)


def protected(begun: str, go: str, done: str) -> str:
    """What must not be torn, in a shield; and then something that may be."""
    with shield(max=60):
        begin(begun)
        wait(go)
        check_cancelled()  # not in here
        open(done, "w").close()  # noqa: PTH123
    return "went on"


def nested(begun: str, go: str, done: str) -> str:
    """Leaving the inner one is not the end of the outer one."""
    with shield(max=60):
        with shield(max=60):
            begin(begun)
            wait(go)
        with shield(max=0.001):
            pass
        open(done, "w").close()  # noqa: PTH123
    return "went on"


async def asynchronous(begun: str, go: str, done: str) -> str:
    """The same in an async task; checkpoints are no end of it."""
    with shield(max=60):
        await trio.to_thread.run_sync(begin, begun)
        await trio.to_thread.run_sync(wait, go)
        await trio.lowlevel.checkpoint()
        open(done, "w").close()  # noqa: ASYNC230, PTH123
    await trio.lowlevel.checkpoint()
    return "went on"


@pytest.mark.parametrize("fn", [protected, nested, asynchronous])
@pytest.mark.parametrize("slot", [0, 1])
def test_a_shield_is_not_interrupted(
    fn: Callable[..., Any], slot: int, gates: Gates, tmp_path: Any
) -> None:
    """The worker hears for how long at most; when it is left, the task ends at once."""
    done = tmp_path / "done"
    with Runner(2) as runner:
        runner.function(9, time.sleep)
        runner.function(1, fn)
        if slot:  # the main thread has something else to do
            runner.run(5, fid=9, args=(1000,))
        runner.run(1, args=(gates.begun, gates.go, str(done)))
        wait(gates.begun)
        runner.say(Interrupt([1, 77], [ASK, ASK]))
        heard = runner.expect(Interrupting)
        assert 50 < heard.spared[0] <= 60
        assert heard.spared[1] == 0
        runner.say(Interrupt([1], [RAISE]))
        assert runner.expect(Interrupting).attempts == [1]
        assert not done.exists()
        begin(gates.go)
        ended = runner.expect(Done)
        assert (ended.attempts, ended.statuses) == ([1], [STOPPED])
        assert done.exists()


def endless(begun: str) -> None:
    """It stays in there for too long."""
    with shield(max=0.05):
        begin(begun)
        while True:
            pass


async def endless_async(begun: str) -> None:
    """The same."""
    with shield(max=0.05):
        await trio.to_thread.run_sync(begin, begun)
        await trio.sleep_forever()


@pytest.mark.parametrize("fn", [endless, endless_async])
def test_a_shield_is_bounded(fn: Callable[..., Any], gates: Gates) -> None:
    """After that many seconds it is none, whatever is going on in there."""
    with Runner(1) as runner:
        runner.function(1, fn)
        runner.run(1, args=(gates.begun,))
        wait(gates.begun)
        runner.say(Interrupt([1], [ASK]))
        assert max(runner.expect(Interrupting).spared, default=0.0) <= 0.05
        while True:
            runner.say(Interrupt([1], [RAISE]))
            ended = runner.hear()
            if isinstance(ended, Done):
                break
        assert ended.statuses == [STOPPED]


def late(begun: str) -> str:
    """It is asked to stop, does not look, and then wants a shield."""
    begin(begun)
    while True:
        try:
            with shield(max=5):
                pass
        except TaskCancelled:
            return "none is to be had"


def test_there_is_none_for_who_is_to_stop(gates: Gates) -> None:
    """Who was asked before ends where it asks for one."""
    with Runner(1) as runner:
        runner.function(1, late)
        runner.run(1, args=(gates.begun,))
        wait(gates.begun)
        runner.say(Interrupt([1], [ASK]))
        runner.expect(Interrupting)
        assert unpack(runner.expect(Done).values[0]) == "none is to be had"


def raises() -> None:
    """An error passes, also through a shield."""
    with shield(max=5):
        raise ValueError("mine")


def test_errors_pass() -> None:
    """And the next task of the slot is not shielded."""
    with Runner(1) as runner, pytest.raises(ValueError, match="mine"):
        runner.call(raises)


@pytest.mark.parametrize("most", [0, -1, math.nan, math.inf, 301, True, "5", None])
def test_silly_bounds_are_refused(most: Any) -> None:
    """Where they are written, inside a task or not."""
    with pytest.raises(ValueError, match="a number of seconds above 0, 300 at most"):
        shield(max=most)
    with pytest.raises(TypeError):
        shield()  # type: ignore[call-arg]


def test_outside_of_tasks_nothing_happens() -> None:
    """So functions can be tried as they are."""
    with shield(max=1), shield(max=1):
        assert current_deadline() == math.inf
    once = shield(max=1)
    with once:
        pass


# ---------------------------------------------------------------- deadlines


async def left_async() -> float:
    """The time that is left, in an async task."""
    with trio.move_on_after(1000):
        await trio.lowlevel.checkpoint()
        return current_deadline()
    raise AssertionError


@pytest.mark.parametrize(
    ("timeout", "deadline", "most"),
    [(math.inf, math.inf, math.inf), (50.0, math.inf, 50), (math.inf, 40.0, 40), (50.0, 40.0, 40)],
)
def test_a_task_sees_how_much_time_is_left(timeout: float, deadline: float, most: float) -> None:
    """By whichever of its limits is over first; also by cancel scopes of its own."""
    with Runner(1) as runner:
        runner.function(1, current_deadline)
        runner.function(2, left_async)
        for attempt, fid in ((1, 1), (2, 2), (3, 1)):
            run = run_of(attempt, fid=fid)
            if attempt < 3:
                run.timeouts = [timeout]
                run.deadlines = [time.monotonic() + deadline]
                run.ways = [INTERRUPT]
            runner.say(run)
            value = runner.outcomes(1)[attempt]
            bound = {1: most, 2: min(most, 1000), 3: math.inf}[attempt]
            assert value == bound == math.inf or bound - 20 < value <= bound


async def asleep() -> None:
    """For ever."""
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("timeout", "deadline", "status"), [(0.05, math.inf, TIMED_OUT), (math.inf, 0.2, OVERDUE)]
)
def test_async_tasks_end_by_themselves(timeout: float, deadline: float, status: int) -> None:
    """The deadline is that of their cancel scope."""
    with Runner(1) as runner:
        runner.call(inc, 1)
        runner.function(1, asleep)
        run = run_of(1)
        run.timeouts, run.ways = [timeout], [INTERRUPT]
        run.deadlines = [time.monotonic() + deadline]
        runner.say(run)
        message = runner.hear()
        if isinstance(message, Returned):  # a slow machine: it was over before it had begun
            assert status == OVERDUE
        else:
            assert isinstance(message, Done)
            assert message.statuses == [status]


def test_what_is_too_late_is_not_begun() -> None:
    """It is given back; what comes behind it runs."""
    with Runner(1) as runner:
        runner.function(1, inc)
        run = run_of(1, 2, args=(1,))
        run.timeouts, run.ways = [math.inf] * 2, [INTERRUPT] * 2
        run.deadlines = [time.monotonic() - 1, math.inf]
        runner.say(run)
        assert runner.expect(Returned).attempts == [1]
        assert runner.expect(Done).statuses == [OK_INLINE]
