"""``trio-dask replay``: what it prints, and its exit codes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.cli.commands import in_pipes, on_terminal
from tests.scheduler.test_recording import recorded_cluster, story
from trio_dask.cli import _interrupted, main
from trio_dask.config import new_token
from trio_dask.messages import tasks as words
from trio_dask.scheduler.core import machine

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A scheduler's log."""
    path = tmp_path / "a.log"
    with recorded_cluster(path) as cluster:
        story(cluster)
    return path


def test_a_clean_log(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0, and who and what there was."""
    assert main(["replay", str(log), "--every", "1"]) == 0
    out = capsys.readouterr().out
    assert "clients      1, 1 at the end\nworkers      2, 1 at the end\n" in out
    assert re.search(
        r"^events       \d+ in .* s; all rules were checked \d+ times$", out, re.MULTILINE
    )
    assert "Nothing is wrong" in out


def test_a_torn_log(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was lost with the process is said; it is not wrong."""
    log.write_bytes(log.read_bytes()[:-3])
    assert main(["replay", str(log)]) == 0
    assert "bytes are no whole event" in capsys.readouterr().out


def test_a_wrong_decision(
    log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1, and the event."""
    monkeypatch.setitem(machine._FROM_WORKER, words.RunnerDied, lambda *_: None)
    assert main(["replay", str(log)]) == 1
    out = capsys.readouterr().out
    assert "It stops here" in out
    assert "\n  event 18 (flush): the core does not say now what it said then." in out


def test_what_is_no_log(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, one line that says why."""
    damaged, text = log.with_name("damaged"), log.with_name("text")
    content = log.read_bytes()
    damaged.write_bytes(content[:-1] + b"?")
    text.write_text("a text\n", encoding="utf-8")
    for path, why in (
        (damaged, "is damaged: its checksum is wrong"),
        (text, "this is no event log"),
        (log.with_name("nothing"), "No such file or directory"),
        (log.parent, "Is a directory"),
    ):
        assert main(["replay", str(path)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"trio-dask: {path}: ")
        assert why in line


def test_a_number_of_events_below_one(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Is a mistake."""
    assert main(["replay", str(log), "--every", "0"]) == 2


@pytest.mark.processes
def test_a_bar_on_a_terminal(log: Path) -> None:
    """While it lasts; then there is only what came out."""
    with on_terminal("replay", str(log)) as command:
        assert command.wait() == 0
    bar, _, report = command.said.decode().partition("recorded by")
    assert "100%" in bar
    assert "%" not in report
    assert "Nothing is wrong" in report


def test_one_that_is_interrupted_has_not_found_nothing() -> None:
    """Its exit code is that of a signal, as a script's; servers end with 0."""
    assert _interrupted(["replay", "a.log"], 2) == 130
    assert _interrupted(["scheduler"], 2) == 0


@pytest.mark.processes
def test_the_options_that_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a scheduler that nobody came to, and of a worker that found none."""
    path = tmp_path / "a.log"
    token = {"TRIO_DASK_TOKEN": new_token()}
    where = ("--event-log", str(path))
    with in_pipes("scheduler", "--host", "127.0.0.1", "--port", "0", *where, **token) as command:
        assert f"Event log:   {path}" in command.read_until("Scheduler at:")
        command.process.terminate()
        assert command.wait() == 0
    nobody = ("worker", "tcp://127.0.0.1:1", "--death-timeout", "10ms")
    with in_pipes(*nobody, *where, **token) as command:
        command.read_until(f"Event log:   {path}.1")
        assert command.wait() == 1
    assert main(["replay", str(path)]) == main(["replay", f"{path}.1"]) == 0
    out = capsys.readouterr().out
    assert "recorded by  a scheduler" in out
    assert "recorded by  a worker" in out
    assert out.count("Nothing is wrong") == 2
