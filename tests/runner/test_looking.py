"""What runs is seen while it runs, from outside: calls, and where time goes; never a value."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from queue import SimpleQueue
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.runner.runner_driver import PATIENCE_S, Runner
from trio_dask.messages.inquiring import SAID_BYTES_MAX, Inquire, Profiled, Told, unpacked
from trio_dask.messages.profiles import Profile
from trio_dask.messages.tasks import Done
from trio_dask.runner.callstacks import running
from trio_dask.runner.profiling import Sampler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from trio_dask.messages.profiles import Node

pytestmark = pytest.mark.processes


@pytest.fixture(params=["process", "threads"])
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """A runner with two slots that looks all the time."""
    often: dict[str, Any] = {"profile_interval_s": 0.001, "profile_tell_s": 0.01}
    with Runner(2, hosted=request.param == "threads", **often) as made:
        yield made


@pytest.fixture
def gate(tmp_path: Path) -> str:
    """A pipe with a name: who reads it waits until somebody writes."""
    path = str(tmp_path / "gate")
    os.mkfifo(path)
    return path


def opens(path: str) -> int:
    """Wait until somebody writes."""
    with open(path, "rb") as gate:  # noqa: PTH123 - of another process
        return len(gate.read())


def waits(path: str, secret: str) -> int:
    """Calls another function, which waits."""
    return opens(path) + len(secret)


async def waits_async(path: str, secret: str) -> int:
    """The same, as it awaits."""
    import trio.lowlevel

    async def inner() -> None:
        gate = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        await trio.lowlevel.wait_readable(gate)
        os.close(gate)

    await inner()
    return len(secret)


def spins(path: str) -> int:
    """Works until there is a file."""
    count = 0
    while not os.path.exists(path):  # noqa: PTH110
        count += sum(range(100))
    return count


def let_go(path: str) -> None:
    """Whoever waits goes on."""
    with open(path, "wb"):  # noqa: PTH123
        pass


def answered(runner: Runner, **params: Any) -> dict[str, Any]:
    """What the runner says about calls."""
    runner.say(Inquire(3, "call_stack", {"bytes_max": SAID_BYTES_MAX, **params}))
    while True:
        message = runner.hear()
        if isinstance(message, Told):
            assert (message.serial, message.ok) == (3, True)
            return unpacked(message.said[0])
        assert isinstance(message, Profiled)


def stacks(runner: Runner, done: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """What is being done, once it is that."""
    while True:
        found: list[dict[str, Any]] = answered(runner)["stacks"]
        if done(found):
            return found


def names(stack: dict[str, Any]) -> list[str]:
    """The functions that are called, outermost first."""
    return [str(each[0]).rpartition(".")[2] for each in stack["frames"]]


def ended(runner: Runner) -> None:
    """One task has ended well."""
    while isinstance(message := runner.hear(), Profiled):
        pass
    assert isinstance(message, Done)


def test_the_calls_of_a_task(runner: Runner, gate: str) -> None:
    """Files, lines and functions, while it waits in a call of the system; no argument is there."""
    runner.function(1, waits)
    runner.run(11, args=(gate, "hush"), keys=["mine"])
    [stack] = stacks(runner, lambda found: bool(found) and names(found[0])[1:2] == ["opens"])
    assert (stack["key"], stack["name"], stack["attempt"]) == ("mine", "waits", 11)
    assert names(stack)[:2] == ["waits", "opens"]
    assert stack["frames"][0][1].endswith("test_looking.py")
    assert stack["frames"][0][2] > waits.__code__.co_firstlineno
    assert not stack["waits"]
    assert "hush" not in str(stack)
    assert answered(runner, attempts=[12])["stacks"] == []
    assert len(answered(runner, attempts=[11])["stacks"]) == 1
    assert answered(runner, bytes_max=100) == {"stacks": [], "left_out": 1}
    let_go(gate)
    ended(runner)
    assert answered(runner)["stacks"] == []


def test_the_calls_of_a_coroutine(runner: Runner, gate: str) -> None:
    """What it awaits, also while something else runs on the loop."""
    runner.function(1, waits_async)
    runner.run(11, args=(gate, "hush"))
    [stack] = stacks(
        runner, lambda found: bool(found) and names(found[0])[:2] == ["waits_async", "inner"]
    )
    assert not stack["waits"]
    let_go(gate)
    ended(runner)


def test_deep_calls_are_shortened(runner: Runner, gate: str) -> None:
    """The outermost and the innermost are told."""

    def deep(levels: int, path: str) -> int:
        if levels:
            return deep(levels - 1, path)
        with open(path, "rb") as waiting:  # noqa: PTH123
            return len(waiting.read())

    runner.function(1, deep)
    runner.run(11, args=(600, gate))
    [stack] = stacks(runner, lambda found: bool(found) and found[0]["left_out"] >= 400)
    assert len(stack["frames"]) == 200
    let_go(gate)
    ended(runner)


def test_a_runner_knows_nothing_else(runner: Runner) -> None:
    """And says so."""
    runner.say(Inquire(4, "weather", {}))
    assert runner.expect(Told).ok is False


def test_where_time_goes(runner: Runner, tmp_path: Path) -> None:
    """Tasks are looked at while they run; what was seen is told, and nothing when nothing runs."""
    path = str(tmp_path / "go")
    runner.function(1, spins)
    profile = Profile()
    runner.run(11, args=(path,))
    while (found := below(profile.root, "spins", "spins")) is None or found.count < 20:
        profile.merge(unpacked(runner.expect(Profiled).stacks[0]))
    assert profile.names().keys() == {"spins"}
    let_go(path)
    ended(runner)


def below(node: Node, *functions: str) -> Node | None:
    """The node that is reached by these functions."""
    for function in functions:
        found = [each for frame, each in node.children.items() if frame.function == function]
        if not found:
            return None
        node = found[0]
    return node


@pytest.mark.parametrize("interval_s", [0.0, 0.001])
def test_nobody_looks_where_that_is_switched_off(
    interval_s: float, new_threads: Callable[..., list[threading.Thread]]
) -> None:
    """No thread is started."""
    with Runner(hosted=True, profile_interval_s=interval_s) as runner:
        runner.function(1, int)
        runner.run(1)
        assert runner.outcomes(1) == {1: 0}
        assert bool(new_threads("profiler")) == bool(interval_s)


class Watched(Sampler):
    """Says when it rests."""

    def __init__(self) -> None:
        super().__init__(0.001, 0.01)
        self.rests: SimpleQueue[None] = SimpleQueue()

    def _wait(self, seconds: float | None) -> bool:
        if seconds is None:
            self.rests.put(None)
        return super()._wait(seconds)


def test_nobody_looks_while_nothing_runs() -> None:
    """After some looks the thread rests, until there are tasks again; at the end it ends."""
    looks: list[None] = []
    nobody = SimpleNamespace(current=[])

    def coroutines() -> dict[int, Any]:
        looks.append(None)
        return {}

    slots: Any = SimpleNamespace(
        coroutines=coroutines,
        strikes=nobody,
        has_begun=lambda: False,
        queue=SimpleNamespace(heap=[]),
    )
    sampler = Watched()
    assert sampler.resting
    sampler.wake(slots)
    sampler.rests.get(timeout=PATIENCE_S)
    assert sampler.resting
    once = len(looks)
    sampler.wake(slots)
    sampler.rests.get(timeout=PATIENCE_S)
    assert len(looks) == 2 * once
    thread = sampler._thread
    sampler.close()
    assert thread is not None
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert not sampler.resting


def test_who_has_looked_keeps_nothing() -> None:
    """What was in the calls that were seen is let go of when these end, without a collector."""
    begun, leave, made = threading.Event(), threading.Event(), list[weakref.ref[Any]]()

    def work() -> None:
        value = threading.Event()
        made.append(weakref.ref(value))
        begun.set()
        leave.wait(PATIENCE_S)

    slots: Any = SimpleNamespace(
        coroutines=dict, strikes=SimpleNamespace(current=[0], idents=[0]), call_code=None
    )
    worker = threading.Thread(target=work)
    gc.disable()
    try:
        worker.start()
        begun.wait(PATIENCE_S)
        assert list(running(slots)) == []
        leave.set()
        worker.join(PATIENCE_S)
        assert made[0]() is None
    finally:
        gc.enable()
