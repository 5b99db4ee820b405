"""Plugins: every runner has them before its first task, and who asked for one is answered."""

from __future__ import annotations

from typing import Any

import pytest

from tests.worker.worker_driver import FID, new_core, ready_core, run
from trio_dask.errors import RemoteProtocolError, TaskError
from trio_dask.messages.exceptions import rebuild
from trio_dask.messages.failure import Failure
from trio_dask.messages.plugins import Plugins, PluginsDone
from trio_dask.messages.tasks import Functions
from trio_dask.worker.core import ToRunner, ToScheduler


def test_a_runner_that_is_there_sets_it_up() -> None:
    """And the scheduler hears what became of it, if it has asked."""
    core = ready_core()
    core.on_scheduler(Plugins(0, ["p"], [b"P"]))
    core.on_scheduler(Plugins(5, ["q"], [b"Q"]))
    said = [Plugins(0, ["p"], [b"P"]), Plugins(5, ["q"], [b"Q"])]
    assert core.flush() == [ToRunner(1, [*said])]
    core.on_runner(1, PluginsDone(0, [b""]))
    core.on_runner(1, PluginsDone(5, [b"why"]))
    core.on_runner(1, PluginsDone(5, [b"again"]))
    assert core.flush() == [ToScheduler([PluginsDone(5, [b"why"])])]
    assert core.state.plugging == {}


def test_the_next_runner_has_them_before_its_tasks() -> None:
    """In their order; one that somebody waits for is still waited for, and comes last."""
    core = new_core()
    for serial, name in ((0, "p"), (5, "q"), (0, "p"), (6, "r")):
        core.on_scheduler(Plugins(serial, [name], [name.encode()]))
    assert core.flush() == []
    core.runner_ready(1)
    core.on_scheduler(Functions([FID], ["f"], [b"f"]))
    core.on_scheduler(run((1, {})))
    [to_runner] = [each for each in core.flush() if isinstance(each, ToRunner)]
    said = [each for each in to_runner.messages if isinstance(each, Plugins)]
    assert said == [
        Plugins(0, ["p"], [b"p"]), Plugins(5, ["q"], [b"q"]), Plugins(6, ["r"], [b"r"])
    ]  # fmt: skip
    core.on_runner(1, PluginsDone(0, [b""]))
    core.runner_died(1, [], {})
    core.flush()
    core.runner_ready(2)
    assert ToRunner(2, [*said]) in core.flush()
    core.on_runner(2, PluginsDone(0, [b""]))
    core.on_runner(2, PluginsDone(5, [b""]))
    assert core.flush() == [ToScheduler([PluginsDone(5, [b""])])]


def test_what_was_taken_back_is_forgotten() -> None:
    """The next runner knows nothing of it."""
    core = ready_core()
    core.on_scheduler(Plugins(0, ["p"], [b"P"]))
    core.on_scheduler(Plugins(0, ["p"], [b""]))
    core.runner_died(1, [], {})
    core.flush()
    core.runner_ready(2)
    assert not any(isinstance(each, ToRunner) for each in core.flush())


def test_outcomes_that_do_not_add_up() -> None:
    """The runner is to be ended."""
    core = ready_core()
    core.on_scheduler(Plugins(5, ["p"], [b"P"]))
    with pytest.raises(RemoteProtocolError, match="2 outcomes for 1 plugins"):
        core.on_runner(1, PluginsDone(5, [b"", b""]))


def test_each_runner_that_takes_tasks_is_waited_for() -> None:
    """What failed in one of them has failed; one that takes nothing more does not count."""
    core = ready_core()
    core.on_scheduler(run((1, {})))
    core.recycle(1, "it has lived long enough")
    core.flush()
    core.on_scheduler(Plugins(5, ["p"], [b"P"]))
    assert core.flush() == [ToRunner(1, [Plugins(5, ["p"], [b"P"])])]
    core.runner_ready(2)
    assert ToRunner(2, [Plugins(5, ["p"], [b"P"])]) in core.flush()
    core.on_runner(1, PluginsDone(5, [b"why"]))
    assert core.flush() == []
    core.on_runner(2, PluginsDone(5, [b""]))
    assert core.flush() == [ToScheduler([PluginsDone(5, [b"why"])])]
    core.on_scheduler(Plugins(6, ["q"], [b"Q"]))
    core.flush()
    core.on_runner(2, PluginsDone(6, [b""]))
    assert core.flush() == [ToScheduler([PluginsDone(6, [b""])])]
    core.on_runner(1, PluginsDone(6, [b"late"]))
    assert core.flush() == []


def test_who_dies_is_not_waited_for() -> None:
    """If nobody has answered yet, the next runner does."""
    core = ready_core()
    core.on_scheduler(Plugins(5, ["p"], [b"P"]))
    core.runner_died(1, [], {})
    core.runner_ready(2)
    assert ToRunner(2, [Plugins(5, ["p"], [b"P"])]) in core.flush()
    core.on_runner(2, PluginsDone(5, [b""]))
    assert core.flush() == [ToScheduler([PluginsDone(5, [b""])])]


def test_what_ends_the_process_is_given_up() -> None:
    """Three runners have died while they set it up: that is the answer, and the next has tasks."""
    core = ready_core()
    for serial, name in ((0, "p"), (5, "q"), (6, "r")):
        core.on_scheduler(Plugins(serial, [name], [name.encode()]))
    said: list[Any] = [
        Plugins(0, ["p"], [b"p"]), Plugins(5, ["q"], [b"q"]), Plugins(6, ["r"], [b"r"])
    ]  # fmt: skip
    for number, reason in ((1, "exited with code 3"), (2, "killed by SIGSEGV")):
        assert ToRunner(number, said) in core.flush()
        core.runner_died(number, [], {"reason": reason})
        core.runner_ready(number + 1)
    core.runner_died(3, [], {"reason": "it was restarted", "on_purpose": True})
    core.runner_ready(4)
    assert ToRunner(4, said) in core.flush()
    core.runner_died(4, [], {"reason": "killed by SIGSEGV"})
    [answer] = [
        message
        for each in core.flush()
        if isinstance(each, ToScheduler)
        for message in each.messages
        if isinstance(message, PluginsDone)
    ]
    assert answer.serial == 5
    error = rebuild(Failure.from_bytes(answer.failures[0]))
    assert str(error) == (
        "the process that was to set it up ended, 3 times, on worker me: "
        "exited with code 3, killed by SIGSEGV"
    )
    assert isinstance(error, TaskError)
    core.runner_ready(5)
    assert ToRunner(5, [said[0], said[2]]) in core.flush()
    core.on_runner(5, PluginsDone(6, [b""]))
    assert core.flush() == [ToScheduler([PluginsDone(6, [b""])])]
