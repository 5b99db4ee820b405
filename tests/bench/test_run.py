"""The command as a whole, with real processes."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


def processes_with(token: str) -> Iterator[psutil.Process]:
    """Whoever has this token in its environment."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("TRIO_DASK_TOKEN") == token:
                yield process


@pytest.mark.processes
@pytest.mark.slow
def test_two_systems_are_measured_and_compared(tmp_path: Path) -> None:
    """Table on stdout, plain lines on stderr, JSON in the file; and no process is left."""
    figures = tmp_path / "figures.json"
    token = secrets.token_hex(32)
    command = [sys.executable, "-m", "bench", "--quick", "--no-distributed", "--json", str(figures)]
    done = subprocess.run(
        [*command, "--cases", "latency", "crossbar"],
        cwd=ROOT,
        env={**os.environ, "TRIO_DASK_TOKEN": token},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "1/" in done.stderr
    assert "\x1b" not in done.stderr + done.stdout
    assert "crossbar" in done.stdout
    content = json.loads(figures.read_text(encoding="utf-8"))
    assert content["errors"] == []
    ours = content["medians"]["trio_dask"]["crossbar"]
    assert {"tasks/s", "CPU µs/task", "scheduler CPU µs/task", "client CPU µs/task"} <= ours.keys()
    assert content["ratios"]["ProcessPoolExecutor"]["crossbar"].keys() >= {"tasks/s"}
    assert list(processes_with(token)) == []
