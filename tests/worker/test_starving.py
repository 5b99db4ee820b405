"""Runners that have too much memory are ended, and only where that helps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.worker.test_room import RULES, a_core, look, put
from tests.worker.worker_driver import run
from trio_dask.messages.sealing import Pressure, Unload
from trio_dask.messages.tasks import (
    OK_HELD,
    Done,
)
from trio_dask.worker.core import (
    KillRunner,
    ToRunner,
)
from trio_dask.worker.core.invariants import violations


def test_a_runner_that_has_too_much_is_ended() -> None:
    """What it was running is to blame."""
    core = a_core()
    look(core, 94, 90)
    [end] = [each for each in look(core, 96, 90) if isinstance(each, KillRunner)]
    assert end.starved
    assert "95%" in end.reason


def test_a_runner_is_not_ended_in_vain() -> None:
    """Where what is too much is not its own."""
    core = a_core()
    assert not [each for each in look(core, 120, 10) if isinstance(each, KillRunner)]


@pytest.mark.parametrize("share", ["target", "spill", "pause", "terminate"])
def test_each_can_be_done_without(share: str) -> None:
    """The others go on."""
    never: dict[str, Any] = {share: 0.0}
    core = a_core(replace(RULES, **never))
    put(core, *range(1, 8))
    leaving = set(core.state.room.leaving)
    assert (leaving == set()) == (share == "target")
    actions = look(core, 99, 99)
    assert any(isinstance(each, KillRunner) for each in actions) == (share != "terminate")
    assert core.state.room.paused == (share != "pause")
    assert core.state.room.spilling == (share != "spill")


def test_the_largest_of_several_runners_is_ended() -> None:
    """And each is told how short memory is."""
    core = a_core()
    core.on_scheduler(run((1, {})))
    core.recycle(1, "it has lived long enough")
    core.runner_ready(2)
    core.flush()
    core.uses(97, {1: 30, 2: 40}, 1.0)
    actions = core.flush()
    assert [each for each in actions if isinstance(each, KillRunner)] == [
        KillRunner(2, "memory: 0 MiB are in use, more than 95% of the limit of 0 MiB", starved=True)
    ]
    told = [each for each in actions if isinstance(each, ToRunner)]
    assert [each.runner for each in told if Pressure(2) in each.messages] == [1, 2]
    core.runner_died(2, [], {"starved": True})
    core.flush()
    assert violations(core.state) == []


def test_values_of_several_runners() -> None:
    """Each is asked for what it has."""
    core = a_core()
    core.on_scheduler(run((1, {}), (2, {})))
    core.recycle(1, "it has lived long enough")
    core.on_runner(1, Done([1], [OK_HELD], [0.1], [50], [b""]))
    core.runner_ready(2)
    core.on_scheduler(run((3, {})))
    core.on_runner(2, Done([3], [OK_HELD], [0.1], [40], [b""]))
    asked = [
        (each.runner, message.tids)
        for each in core.flush()
        if isinstance(each, ToRunner)
        for message in each.messages
        if isinstance(message, Unload)
    ]
    assert asked == [(1, [1001])]
    core.runner_died(1, [], {"signal": 9})
    core.flush()
    assert violations(core.state) == []
    assert core.state.room.here == {1003: 40}
