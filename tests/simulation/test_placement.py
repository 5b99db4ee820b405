"""Policies of one's own in simulated clusters: whatever they propose, every rule holds."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from trio_dask.scheduler import Placement
from trio_dask.testing import Simulation
from trio_dask.testing.simulation.__main__ import main

if TYPE_CHECKING:
    from trio_dask.scheduler import TaskView, WorkerView

pytestmark = pytest.mark.simulation


class Whimsical(Placement):
    """By chance, from a seed."""

    def __init__(self) -> None:
        self._chance = Random(7)

    def home(self, task: TaskView) -> WorkerView | None:
        homes = [each for dep in task.inputs for each in dep.holders]
        return self._chance.choice([None, *homes])

    def load_s(self, worker: WorkerView) -> float:
        return self._chance.random()

    def is_worth_moving(self, task: TaskView, home: WorkerView, idle: WorkerView) -> bool:
        return self._chance.random() < 0.5


class Fallen(Placement):
    """It has a bug."""

    def home(self, task: TaskView) -> WorkerView | None:
        return task.inputs[99].holders[0]


def test_no_rule_depends_on_the_policy() -> None:
    """Nothing is lost or done twice, however badly it is placed; and a run can be repeated."""
    for seed in range(25):
        run = Simulation(seed=seed, placement=Whimsical).run()
        assert run.ok, run.report()
    first, again = (Simulation(seed=24, placement=Whimsical).run() for _ in range(2))
    assert again.trace_hash == first.trace_hash


def test_a_policy_that_proposes_nonsense_is_found() -> None:
    """And the command that shows it again names it."""
    run = Simulation(seed=3, workers=3, workload="tree", faults=False, placement=Fallen).run()
    assert not run.ok
    assert run.violations[0].startswith("Fallen.home: raised IndexError")
    assert "--placement tests.simulation.test_placement:Fallen" in run.report()


def test_the_command_takes_a_policy(capsys: pytest.CaptureFixture[str]) -> None:
    """By its path."""
    words = ["--seeds", "3:5", "--workload", "tree", "--no-faults", "--workers", "3", "--placement"]
    assert main([*words, "tests.simulation.test_placement:Whimsical"]) == 0
    assert main([*words, "tests.simulation.test_placement:Fallen"]) == 1
    assert "Fallen.home" in capsys.readouterr().out
