"""What becomes of tasks, whatever they do; in a process and in threads."""

from __future__ import annotations

import asyncio
import functools
import operator
import os
import re
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import trio
import trio.lowlevel

from tests.runner.runner_driver import Held, Runner, run_of
from tests.runner.runner_tasks import Ref, Thing, fail, inc, recurse
from trio_dask.errors import DataLost, RemoteError, TaskError
from trio_dask.messages.payload import pack_function
from trio_dask.messages.tasks import Done, ForgetFunctions, Free

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.processes


@pytest.fixture(params=["process", "threads"])
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """A runner with one slot."""
    with Runner(hosted=request.param == "threads") as made:
        yield made


@pytest.mark.parametrize(
    ("fn", "args", "expected"),
    [
        (operator.add, (1, 2), 3),
        (inc, (1,), 2),
        (lambda x: x * 2, (4,), 8),
        (functools.partial(operator.mul, 3), (5,), 15),
        (Thing(2), (3,), 5),
        (Thing(2).method, (3,), 6),
        (len, ("abc",), 3),
        ("a-b".split, ("-",), ["a", "b"]),
        (int, ("7",), 7),
        (Thing, (9,), Thing(9)),
        (lambda: None, (), None),
        (lambda: {"a": (1, [2.5])}, (), {"a": (1, [2.5])}),
    ],
)
def test_functions_of_all_kinds_run(runner: Runner, fn: Any, args: Any, expected: Any) -> None:
    """Named, local, partial, callable, bound and built-in functions give their values."""
    assert runner.call(fn, *args) == expected


def test_many_tasks_each_have_one_outcome(runner: Runner) -> None:
    """Thousands of tasks in several messages all come back, each once, with its own value."""
    runner.function(1, operator.neg)
    for start in range(1, 5001, 500):
        message = run_of(*range(start, start + 500))
        message.args = [run_of(1, args=(each,)).args[0] for each in message.attempts]
        runner.say(message)
    assert runner.outcomes(5000) == {each: -each for each in range(1, 5001)}


@pytest.mark.parametrize("kind", [ValueError, KeyError, RecursionError, MemoryError, StopIteration])
def test_exceptions_are_outcomes(runner: Runner, kind: type[BaseException]) -> None:
    """What a function raises comes back as itself, with where it was raised."""
    with pytest.raises(kind) as caught:
        runner.call(fail, kind, "x")
    assert "in fail" in caught.value.__notes__[0]
    assert "Raised in task fail-3e8 on worker w-0 (" in caught.value.__notes__[0]
    assert "runner/slots.py" not in caught.value.__notes__[0]
    assert runner.call(inc, 1) == 2


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_ends_programs_does_not_end_the_runner(runner: Runner, kind: Any) -> None:
    """`sys.exit` in a task fails that task; the next one runs."""
    with pytest.raises(RemoteError, match=kind.__name__):
        runner.call(fail, kind, 3)
    with pytest.raises(RemoteError, match="SystemExit"):
        runner.call(sys.exit)
    assert runner.call(inc, 1) == 2


def test_recursion_without_end_is_an_outcome(runner: Runner) -> None:
    """A task that recurses too deep fails like any other."""
    with pytest.raises(RecursionError):
        runner.call(recurse)
    assert runner.call(inc, 1) == 2


def test_a_function_that_cannot_be_unpickled_fails_its_tasks_only(runner: Runner) -> None:
    """Each of its tasks fails, naming the reason; tasks of other functions run."""
    runner.function(7, b"\x80\x05cno_such_module\nfn\n.", name="gone")
    runner.function(1, inc)
    runner.run(1, 2, fid=7)
    runner.run(3, args=(1,))
    found = runner.outcomes(3)
    for attempt in (1, 2):
        assert type(found[attempt]) is TaskError
        assert "gone cannot be unpickled" in str(found[attempt])
        assert "No module named 'no_such_module'" in str(found[attempt])
        assert isinstance(found[attempt].__cause__, ModuleNotFoundError)
    assert found[3] == 2


def test_arguments_that_cannot_be_unpickled_fail_their_task(runner: Runner) -> None:
    """The reason is named; the same function runs with other arguments."""
    runner.function(1, inc)
    message = run_of(1, 2, args=(1,))
    message.args[0] = b"\x80\x05cno_such_module\nvalue\n."
    runner.say(message)
    found = runner.outcomes(2)
    assert "arguments cannot be unpickled" in str(found[1])
    assert "no_such_module" in str(found[1])
    assert found[2] == 2


def test_functions_that_were_never_sent_or_forgotten(runner: Runner) -> None:
    """A task of an unknown function fails, and says so."""
    runner.function(1, inc)
    runner.say(ForgetFunctions([1, 99]))
    runner.run(1, args=(1,))
    assert "was not sent" in str(runner.outcomes(1)[1])


def test_a_function_can_be_forgotten_while_its_tasks_wait(runner: Runner) -> None:
    """Tasks that are there keep their function."""
    runner.function(1, inc)
    runner.say(run_of(1, 2, args=(1,)), ForgetFunctions([1]))
    assert runner.outcomes(2) == {1: 2, 2: 2}


def test_large_values_stay_and_can_be_fetched(runner: Runner) -> None:
    """A large result is announced with its size; whoever asks gets it, until it is freed."""
    runner.function(1, np.arange)
    runner.run(1, 2, args=(100_000,))
    found = runner.outcomes(2)
    assert all(isinstance(each, Held) and each.nbytes >= 800_000 for each in found.values())
    fetched = runner.fetch(1, 5, 2)
    assert (fetched[1] == np.arange(100_000)).all()
    assert fetched[5] is None
    runner.say(Free([1, 77]))
    assert runner.fetch(1)[1] is None
    assert (runner.fetch(2)[2] == np.arange(100_000)).all()


def test_very_large_values_come_in_parts(runner: Runner) -> None:
    """Several large values are several parts of one answer."""
    runner.function(1, bytes)
    runner.run(*range(1, 11), args=(3_000_000,))
    runner.outcomes(10)
    assert runner.fetch(*range(1, 11)) == dict.fromkeys(range(1, 11), bytes(3_000_000))


@pytest.mark.parametrize(
    "fn", [lambda: (each for each in [1]), threading.Lock, lambda: [threading.Lock()]]
)
def test_results_that_cannot_be_pickled_stay(runner: Runner, fn: Any) -> None:
    """They are held; only asking for them fails, naming their type."""
    runner.function(1, fn)
    runner.run(1)
    assert isinstance(runner.outcomes(1)[1], Held)
    found = runner.fetch(1)[1]
    assert type(found) is TaskError
    assert "cannot be pickled" in str(found)
    assert "generator" in str(found) or "lock" in str(found)
    runner.function(2, lambda each: type(each).__name__)
    runner.run(2, fid=2, args=(Ref(1),), here=(1,))
    assert runner.outcomes(1)[2] in ("generator", "lock", "list")


def test_inputs_come_inline_or_are_held_here(runner: Runner) -> None:
    """Values sent along, given before, and made here all reach the arguments."""
    runner.function(1, lambda *args: [getattr(each, "nbytes", each) for each in args])
    runner.function(2, np.zeros)
    runner.give({50: "given", 51: np.ones(5000)})
    runner.run(60, fid=2, args=(1000,))
    assert isinstance(runner.outcomes(1)[60], Held)
    runner.run(
        1, 2, args=(Ref(40), Ref(50), Ref(51), Ref(60)), inputs={40: "inline"}, here=(50, 51, 60)
    )
    assert runner.outcomes(2) == {each: ["inline", "given", 40_000, 8000] for each in (1, 2)}


def test_inputs_may_be_called_by_other_ids(runner: Runner) -> None:
    """Where two ids name one task, the arguments keep calling it by their own."""
    runner.function(1, operator.add)
    runner.give({50: 5})
    runner.run(1, args=(Ref(70), Ref(71)), inputs={40: 1}, here=(50,), refs=(70, 71))
    assert runner.outcomes(1) == {1: 6}


def test_a_missing_input_fails_its_task(runner: Runner) -> None:
    """A value that is not here is an error of that task alone."""
    runner.function(1, operator.neg)
    runner.run(1, args=(Ref(50),), here=(50,))
    runner.run(2, args=(4,))
    found = runner.outcomes(2)
    assert type(found[1]) is DataLost
    assert found[2] == -4


def test_an_input_that_cannot_be_unpickled_fails_its_task(runner: Runner) -> None:
    """Here too the reason is named."""
    runner.function(1, operator.neg)
    message = run_of(1, args=(Ref(50),), inputs={50: 1})
    message.dep_values = [b"\x80\x05cno_such_module\nvalue\n."]
    runner.say(message)
    found = runner.outcomes(1)[1]
    assert type(found) is TaskError
    assert "input cannot be unpickled" in str(found)
    assert "no_such_module" in str(found)


def test_inputs_that_do_not_fit_into_memory_are_refused() -> None:
    """With numbers, and before any of them is unpacked. Arrays are read where they are."""
    with Runner(hosted=True, memory_limit=100_000) as runner:
        runner.function(1, lambda *args: sum(map(len, args)))
        runner.give({50: b"x" * 55_000, 51: b"y" * 65_000, 52: np.ones(50_000)})
        runner.run(1, args=(Ref(50), Ref(51)), here=(50, 51))
        found = runner.outcomes(1)[1]
        assert type(found) is MemoryError
        assert re.search(
            r"need 117\.\d+ KiB .*\(\d+ bytes\).* 97\.66 KiB \(100000 bytes\)", str(found)
        )
        assert "The largest of 2, the value of task 33, needs 63.49 KiB" in str(found)
        assert "--memory-limit" in str(found)
        runner.run(2, args=(Ref(52), Ref(50)), here=(52, 50))
        runner.run(3, args=(Ref(51), Ref(50), Ref(51)), here=(51, 50, 51))
        assert runner.outcomes(2) == {2: 105_000, 3: 185_000}


def test_given_values_are_passed_on_as_they_came(runner: Runner) -> None:
    """A value that was given can be fetched, whether or not a task has used it."""
    runner.give({50: np.ones(5000), 51: Thing(3)})
    assert (runner.fetch(50)[50] == np.ones(5000)).all()
    runner.function(1, lambda array, thing: array.sum() + thing.x)
    runner.run(1, args=(Ref(50), Ref(51)), here=(50, 51))
    assert runner.outcomes(1) == {1: 5003.0}
    found = runner.fetch(50, 51)
    assert (found[50] == np.ones(5000)).all()
    assert found[51].x == 3


def test_async_functions_run_on_trio(runner: Runner) -> None:
    """Coroutines run on one Trio loop, mixed with plain functions; errors are theirs."""

    async def double(x: int) -> int:
        await trio.lowlevel.checkpoint()
        return 2 * x

    async def broken() -> None:
        await trio.lowlevel.checkpoint()
        raise KeyError("async")

    async def group() -> None:
        async with trio.open_nursery() as nursery:  # noqa: ASYNC112 - users do, and get a group
            nursery.start_soon(broken)

    async def leaves() -> None:
        await trio.lowlevel.checkpoint()
        raise SystemExit(3)

    assert runner.call(double, 4) == 8
    assert runner.call(inc, 4) == 5
    assert runner.call(functools.partial(double, 5)) == 10
    with pytest.raises(KeyError) as caught:
        runner.call(broken)
    assert "in broken" in caught.value.__notes__[0]
    assert "asynchronous.py" not in caught.value.__notes__[0]
    with pytest.RaisesGroup(KeyError):
        runner.call(group)
    with pytest.raises(RemoteError, match="SystemExit"):
        runner.call(leaves)
    with pytest.raises(RemoteError, match="CancelledError"):
        runner.call(fail, asyncio.CancelledError)
    assert runner.call(double, 1) == 2


def test_the_lowest_rank_runs_first(tmp_path: Path) -> None:
    """What waits is run by rank, not by arrival."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    order: list[int] = []
    with Runner() as runner:
        runner.function(1, gate.read_bytes)
        runner.function(2, abs)
        runner.run(100)
        runner.say(run_of(1, 2, 3, fid=2, args=(1,), ranks=(30, 10, 20)))
        runner.say(run_of(4, 5, fid=2, args=(1,), ranks=(5, 25)))
        runner.fetch(1)  # the runner has read all of it
        gate.write_bytes(b"")
        while len(order) < 6:
            order += runner.expect(Done).attempts
    assert order == [100, 4, 2, 3, 5, 1]


def test_keys_are_told_in_failures(runner: Runner) -> None:
    """A failure names the key the user chose, else the automatic one."""
    runner.function(1, fail)
    runner.run(1, 2, args=(ValueError, "x"), keys=("mine", ""))
    found = runner.outcomes(2)
    assert "task mine on" in found[1].__notes__[0]
    assert "task fail-2 on" in found[2].__notes__[0]


def test_seconds_are_the_functions_own(runner: Runner) -> None:
    """A row says how long the function ran."""
    runner.function(1, lambda seconds: threading.Event().wait(seconds))
    runner.run(1, args=(0.05,))
    done = runner.expect(Done)
    assert 0.05 <= done.seconds[0] < 5


def test_an_empty_run_is_nothing(runner: Runner) -> None:
    """Messages without rows do no harm."""
    runner.say(run_of(), Free([]), ForgetFunctions([]))
    assert runner.call(inc, 1) == 2


def test_functions_are_unpickled_once(runner: Runner) -> None:
    """What a function keeps in its globals is there at its next call."""
    seen: list[int] = []

    def remember(x: int) -> int:
        seen.append(x)
        return len(seen)

    runner.function(1, pack_function(remember))
    runner.run(1, 2, 3, args=(1,))
    assert sorted(runner.outcomes(3).values()) == [1, 2, 3]
    assert seen == []


def test_columns_that_do_not_add_up_end_the_runner() -> None:
    """A worker that breaks the rules is told on stderr, and the runner ends."""
    with Runner(stderr=subprocess.PIPE) as runner:
        good = run_of(1, args=(1,), inputs={5: 1})
        good.dep_counts = [2]
        runner.say(good)
        assert runner.wait() == 1
        assert runner.process is not None
        assert runner.process.stderr is not None
        assert b"do not add up" in runner.process.stderr.read()
        runner.process.stderr.close()
