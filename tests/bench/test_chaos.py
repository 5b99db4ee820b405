"""A short run of chaos, and that its verdict notices what it is there for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from bench.chaos.jobs import Run
from bench.chaos.play import play
from bench.chaos.verdict import Death, missing, unexplained

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.processes
async def test_nothing_is_lost_and_nothing_done_twice(tmp_path: Path) -> None:
    """Some seconds of it: every result is right, every run explained."""
    report = await play(5, tmp_path, 2, time.monotonic() + 12)
    assert report.violations == []
    assert report.rounds
    assert report.blows


def ran(pid: int, ended: float) -> Run:
    """A run of task 7 in a worker process whose number is ten times as large."""
    return Run(7, pid, 10 * pid, ended - 0.1, ended)


def test_a_second_run_needs_a_death_before_it() -> None:
    """Of the process that ran the first, or of its worker; a later one explains nothing."""
    runs = {7: [ran(1, 5.0), ran(2, 9.0)]}
    assert unexplained(runs, [Death(1, 6.0, "")]) == []
    assert unexplained(runs, [Death(10, 4.0, "")]) == []
    for deaths in ([], [Death(1, 9.5, "")], [Death(2, 6.0, ""), Death(20, 6.0, "")]):
        [said] = unexplained(runs, deaths)
        assert said.startswith("task 7 ran in process 1 of worker process 10, and again 4.000 s")


def test_a_result_needs_a_run() -> None:
    """Whatever it is."""
    assert missing([7, 8], {7: [ran(1, 5.0)]}) == ["task 8 has a result, and never ran"]
