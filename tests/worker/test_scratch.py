"""Scratch directories: one for each process, and none left behind for long."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from trio_dask.errors import ConfigError
from trio_dask.worker.scratch import scratch_directory

HOLDER = """
import sys, pathlib
from trio_dask.worker.scratch import scratch_directory
with scratch_directory(sys.argv[1]) as made:
    (pathlib.Path(made) / "file").write_text("x")
    print(made, flush=True)
    sys.stdin.read()
"""


def wait_purged() -> None:
    """Purging is done by a thread."""
    for each in threading.enumerate():
        if each.name == "purge":
            each.join()


def test_it_is_there_inside_the_block(tmp_path: Path) -> None:
    """And gone afterwards, with what is in it and the descriptor that locks it."""
    before = len(os.listdir("/proc/self/fd"))
    with scratch_directory(str(tmp_path / "deep" / "er")) as made:
        (Path(made) / "x").write_text("x")
        assert len(os.listdir("/proc/self/fd")) == before + 1
    assert not Path(made).exists()
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_a_killed_process_left_is_purged(tmp_path: Path) -> None:
    """By the next that starts; not while its owner lives."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as holder:  # fmt: skip
        assert holder.stdout is not None
        theirs = Path(holder.stdout.readline().strip())
        with scratch_directory(str(tmp_path)):
            wait_purged()
            assert (theirs / "file").exists()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert theirs.exists()
    with scratch_directory(str(tmp_path)) as ours:
        wait_purged()
        assert not theirs.exists()
        assert Path(ours).exists()


def test_only_what_is_surely_ours_is_purged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file, no link, nothing of another user, nothing of another name."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "trio-dask-worker-link").symlink_to(elsewhere)
    (tmp_path / "trio-dask-worker-file").write_text("x")
    (tmp_path / "other").mkdir()
    stranger = tmp_path / "trio-dask-worker-stranger"
    stranger.mkdir()
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    with scratch_directory(str(tmp_path)) as ours:
        wait_purged()
        left = {path.name for path in tmp_path.iterdir()} - {Path(ours).name}
    assert left == {"elsewhere", "trio-dask-worker-link", "trio-dask-worker-file", "other",
                    "trio-dask-worker-stranger"}  # fmt: skip


def test_an_impossible_place_is_refused() -> None:
    """With the setting's name."""
    with (
        pytest.raises(
            ConfigError,
            match=r"^worker.local_directory: /dev/null/x cannot be made: Not a directory$",
        ),
        scratch_directory("/dev/null/x"),
    ):
        pass


@pytest.mark.parametrize("when", ["before it is open", "before it is locked"])
def test_who_is_purged_before_it_has_its_lock_makes_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """A worker that starts at the same moment takes it for what a dead one has left."""
    make, lock, made = tempfile.mkdtemp, fcntl.flock, list[str]()

    def make_one(**options: Any) -> str:
        made.append(make(**options))
        if len(made) == 1 and when == "before it is open":
            Path(made[0]).rmdir()
        return made[-1]

    def lock_one(fd: int, how: int) -> None:
        if len(made) == 1:
            Path(made[0]).rmdir()
        lock(fd, how)

    monkeypatch.setattr(tempfile, "mkdtemp", make_one)
    monkeypatch.setattr(fcntl, "flock", lock_one)
    with scratch_directory(str(tmp_path)) as ours:
        assert made[1:] == [ours]
        assert Path(ours).exists()
