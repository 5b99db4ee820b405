"""A few lives of clusters, and that the search for what they leave notices what is there."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from bench.soak.__main__ import soak
from bench.soak.leftovers import MARK, loud, new, processes, traces

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.processes


def test_a_few_lives_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended at work, from the command line and from a program."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv(MARK, "")
    ends, wrong = soak(["commands-at-work", "local-at-work"], 1, math.inf, print)
    assert wrong == []
    assert [len(took) for took in ends.values()] == [1, 1]


def test_what_is_left_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, a descriptor, a process; a line that is no news."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = traces()
    assert new(before, traces()) == []
    with (tmp_path / "left").open("w", encoding="utf-8") as file:
        found = new(before, traces())
        assert found == [
            f"a descriptor is left: {file.fileno()} → {file.name}",
            "a file is left: left",
        ]
    command = [sys.executable, "-c", "input()"]
    environ = os.environ | {MARK: "found"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environ) as process:
        [said] = [each for each in processes("found") if f" {process.pid} " in each]
        assert said.startswith("a process is left: ")
        process.communicate(b"\n")
    calm = "2026-11-27 07:00:00,123 - trio_dask.worker - INFO - Drained"
    loud_line = "2026-11-27 07:00:00,123 - trio_dask.worker - WARNING - It has ended"
    assert loud(f"{calm}\n{loud_line}\nTraceback\n") == [f"said: {loud_line}", "said: Traceback"]
