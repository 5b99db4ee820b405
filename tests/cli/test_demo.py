"""The demo: the README's first command."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import psutil
import pytest

from trio_dask.cli.demo_job import Tally, merge, source_files, tally_file

if TYPE_CHECKING:
    from pathlib import Path


def test_the_files_are_the_standard_library() -> None:
    """All of its sources, nothing installed."""
    files = source_files()
    assert ast.__file__ in files
    assert len(files) > 500
    assert not any("site-packages" in name for name in files)


def test_a_file_is_tallied(tmp_path: Path) -> None:
    """Each top-level module once, relative imports not at all."""
    source = tmp_path / "a.py"
    source.write_text(
        "import os, os.path\nfrom sys import path\nfrom . import b\n", encoding="utf-8"
    )
    tally = tally_file(str(source))
    assert tally == Tally(1, source.stat().st_size, 0, Counter({"os": 1, "sys": 1}))


def test_a_file_that_does_not_parse_is_counted(tmp_path: Path) -> None:
    """It is no error: the library has files that are meant to be wrong."""
    source = tmp_path / "a.py"
    source.write_text("def (:\n", encoding="utf-8")
    assert tally_file(str(source)) == Tally(1, source.stat().st_size, 1)


def test_tallies_add_up() -> None:
    """Merging adds everything, and leaves what it merges alone."""
    one, two = Tally(1, 10, 0, Counter({"a": 1})), Tally(2, 20, 1, Counter({"a": 1, "b": 2}))
    assert merge([one, two, Tally()]) == Tally(3, 30, 1, Counter({"a": 2, "b": 2}))
    assert one == Tally(1, 10, 0, Counter({"a": 1}))


@pytest.mark.slow
@pytest.mark.processes
def test_the_demo_does_its_job_and_leaves_nothing() -> None:
    """Every file is counted, stderr stays empty, and no process is left."""
    before = set(psutil.pids())
    done = subprocess.run(
        [sys.executable, "-m", "trio_dask", "demo"], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.returncode == 0
    assert f"{len(source_files()):,} files, " in done.stdout
    assert "trio-dask worker tcp://" in done.stdout
    started = [psutil.Process(pid) for pid in set(psutil.pids()) - before if psutil.pid_exists(pid)]
    assert not any("trio_dask" in word for each in started for word in each.cmdline())
