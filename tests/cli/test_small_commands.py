"""Commands that start nothing, and all that can be wrong with a command line."""

from __future__ import annotations

import errno
import gc
import io
import logging
import os
import re
import socket
import subprocess
import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from rich.console import Console

from trio_dask.cli import main
from trio_dask.cli.app import app
from trio_dask.cli.checks import check_hosts
from trio_dask.cli.garbage import garbage_collector
from trio_dask.cli.logs import log_to_stderr
from trio_dask.cli.scheduler import keep_token
from trio_dask.cli.serving import interface_host, listen_at, owned_file
from trio_dask.comm import own_keys
from trio_dask.config import (
    Config,
    SchedulerFile,
    ensure_token,
    find_token,
    read_scheduler_file,
    replace_token,
    token_path,
    write_scheduler_file,
)
from trio_dask.dashboard.access import Door
from trio_dask.errors import ConfigError
from trio_dask.eventlog import kept_lines

if TYPE_CHECKING:
    from trio.testing import MockClock


def run(*words: str) -> int:
    """The exit code of a command, however it comes about."""
    try:
        return main(words)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """Every command is on the first page."""
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("scheduler", "worker", "demo", "token", "config"))


@pytest.mark.parametrize(
    "command",
    [
        "scheduler",
        "worker",
        "cluster",
        "run",
        "mpi",
        "demo",
        "token new",
        "config list",
        "config show",
    ],
)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each says what it does and explains every option it has."""
    assert run(*command.split(), "--help") == 0
    shown = capsys.readouterr().out
    assert f"Usage: trio-dask {command}" in shown
    assert "--tied" not in shown


@pytest.mark.parametrize("command", ["scheduler", "worker", "cluster", "run", "demo"])
def test_help_on_a_narrow_terminal(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No option is torn apart, and nothing is cut off at the edge."""
    said = {}
    for columns in (200, 40):
        monkeypatch.setattr(app, "_console", Console(width=columns))
        assert run(command, "--help") == 0
        said[columns] = capsys.readouterr().out
    wide, narrow = said[200], said[40]
    options = set(re.findall(r"--[a-z-]+", wide.partition("Examples:")[0]))
    assert options <= set(re.findall(r"--[a-z-]+", narrow))
    assert "Usage: trio-dask" in narrow
    for line in narrow.splitlines():
        assert len(line) <= 40
        assert not line.startswith("│") or line.endswith(" │")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["wurker"], 'Unknown command "wurker". Did you mean "worker"?'),
        (["scheduler", "x", "y"], "scheduler takes no 'x y'; `trio-dask scheduler --help` shows"),
        (["scheduler", "--prot", "1"], "--prot"),
        (["scheduler", "--port", "many"], "many"),
        (["scheduler", "--port", "65536"], "65536"),
        (["scheduler", "--protocol", "ucx"], "ucx"),
        (["scheduler", "--host", "a", "--interface", "lo"], "give one of them"),
        (["scheduler", "--interface", "nowhere0"], "nowhere0"),
        (["scheduler", "--host", "h:1", "--port", "2"], "two ports"),
        (["worker"], "where is the scheduler?"),
        (["run", ""], "there is no script ''"),
        (["migrate", ""], "The path is empty"),
        (["certs", "new", ""], "The path is empty"),
        (["scheduler", "--port", "-1"], "--port: -1 is no whole number"),
        (["worker", "tcp://h:1", "--nthreads", "0"], "--nthreads: 0: there must be at least one"),
        (["worker", "tcp://h:1", "--nworkers", "few"], "--nworkers: 'few'"),
        (["worker", "tcp://h:1", "--nworkers", "-9999"], "--nworkers: '-9999' would be less than"),
        (["worker", "tcp://h:1", "--nworkers", "9" * 30], "10000 is the most"),
        (["worker", "tcp://h:1", "--worker-port", "65536"], "--worker-port: 65536"),
        (["worker", "tcp://h:1", "--scheduler-file", "f.json"], "name two schedulers"),
        (["worker", "tcp://h:1", "--memory-limit", "lots"], "lots"),
        (["worker", "tcp://h:1", "--death-timeout", "soon"], "soon"),
        (["worker", "tcp://h:1", "--resources", "GPU"], "GPU"),
        (["config", "show", "scheduler.prt"], "nearest known one is scheduler.port"),
        (["config", "show", "colour"], "unknown setting colour; `trio-dask config list` shows all"),
    ],
)
def test_what_is_not_understood(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and one line that names the culprit, however narrow the terminal: for logs, too."""
    assert main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    [line] = shown.err.splitlines()
    assert line.startswith("trio-dask: ")
    assert said in line


def test_an_unknown_variable_is_not_understood(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A setting with a typo is no setting that is silently left out."""
    monkeypatch.setenv("TRIO_DASK_SCHEDULER__PROT", "1")
    assert run("config", "list") == 2
    assert capsys.readouterr().err == (
        "trio-dask: unknown environment variable TRIO_DASK_SCHEDULER__PROT; "
        "the nearest known one is TRIO_DASK_SCHEDULER__PORT\n"
    )


@pytest.mark.parametrize(
    ("token", "said"),
    [("a" * 64, "could be guessed"), ("short", "too short"), ("TOKEN=" + "…" * 40, "pasted")],
)
def test_a_token_that_is_none_says_where_it_is_from(
    token: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A variable or a file, whichever it was; the exit code is 1."""
    assert run("token", "new") == 0
    token_path().write_text(token, encoding="utf-8")
    assert run("worker", "tcp://127.0.0.1:9") == 1
    assert f"the token in {token_path()}" in (error := capsys.readouterr().err)
    assert said in error
    monkeypatch.setenv("TRIO_DASK_TOKEN", token)
    assert run("worker", "tcp://127.0.0.1:9") == 1
    assert "the token in TRIO_DASK_TOKEN" in (error := capsys.readouterr().err)
    assert said in error


def test_token_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """None, made, shown, kept, replaced."""
    assert run("token", "show") == 1
    assert "no token" in capsys.readouterr().err
    assert run("token", "new") == 0
    first = find_token()
    assert capsys.readouterr().out == f"{token_path()}\n"
    assert run("token", "show") == 0
    assert capsys.readouterr().out == f"{first}\n"
    assert run("token", "new") == 1
    assert "--replace" in capsys.readouterr().err
    assert run("token", "new", "--replace") == 0
    assert find_token() != first


def test_config_list_shows_values_and_origins(
    own_settings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is no default says where it came from; the token is never shown."""
    monkeypatch.setenv("TRIO_DASK_TOKEN", "hush")
    monkeypatch.setenv("TRIO_DASK_WORKER__RESOURCES", "GPU=2")
    directory = own_settings / "trio-dask"
    directory.mkdir()
    (directory / "config.toml").write_text("[scheduler]\nport = 1234\n", encoding="utf-8")
    assert run("config", "list") == 0
    lines = capsys.readouterr().out.splitlines()
    shown = {name.strip(): rest for name, _, rest in (line.partition(" = ") for line in lines)}
    assert shown["scheduler.port"] == f"1234  # {directory / 'config.toml'}"
    assert shown["token"] == "(set)  # TRIO_DASK_TOKEN"
    assert shown["worker.resources"] == "{ GPU = 2 }  # TRIO_DASK_WORKER__RESOURCES"
    assert shown["worker.nthreads"] == '"auto"'
    assert run("config", "list", "--verbose") == 0
    assert "TRIO_DASK_SCHEDULER__PORT" in capsys.readouterr().out
    assert run("config", "show", "scheduler.worker-ttl") == 0
    assert capsys.readouterr().out == "300\n"


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        (None, None, (None, None)),
        (None, 1, (None, 1)),
        ("a", None, ("a", None)),
        ("a", 1, ("a", 1)),
        ("a:1", None, ("a", 1)),
        ("a:1", 1, ("a", 1)),
        ("tcp://a:1", None, ("a", 1)),
        ("::1", 5, ("::1", 5)),
        ("[::1]:7", None, ("::1", 7)),
    ],
)
def test_where_to_listen(
    host: str | None, port: int | None, expected: tuple[str | None, int | None]
) -> None:
    """The host may bring its port, with or without a scheme."""
    at = listen_at(host, port, None)
    assert (at.host, at.port) == expected


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            socket.gaierror(socket.EAI_NONAME, "not known"),
            "--host: the host 'x' .*: not known; give",
        ),
        (UnicodeError("label too long"), "--host: the host 'x' .*: it is no name of a host; give"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), ""),
    ],
)
def test_whether_a_host_can_be_looked_up(
    error: Exception, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who knows nobody of that name has said it; who does not answer now may do so later."""

    def look_up(host: str, _: None) -> None:
        if host == "x":
            raise error

    monkeypatch.setattr("trio_dask.cli.checks.socket.getaddrinfo", look_up)
    check_hosts("", "--host")
    check_hosts("::1, localhost", "--host")
    with pytest.raises(ConfigError, match=says) if says else nullcontext():
        check_hosts("localhost,x", "--host")


def test_interfaces_have_addresses() -> None:
    """The loopback interface's is known; a missing one is an error that lists what there is."""
    assert interface_host("lo" if sys.platform == "linux" else "lo0") == "127.0.0.1"
    with pytest.raises(ConfigError, match=r"no network interface 'no0'; there are .*lo"):
        interface_host("no0")


@pytest.mark.parametrize("terminal", [True, False])
def test_colours_are_for_terminals(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a warning is coloured, in a file nothing is."""

    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    stream = Stream()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(logging, "raiseExceptions", True)
    logger = logging.getLogger("trio_dask")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "level", logger.level)
    log_to_stderr("info")
    logger.info("all is well")
    logger.warning("careful")
    well, careful = stream.getvalue().splitlines()
    assert well.endswith(" - trio_dask - INFO - all is well")
    assert careful.startswith("\x1b[33m") == careful.endswith("\x1b[0m") == terminal


def test_what_is_not_shown_is_logged_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """For those who ask for the last lines; `debug` is for those who want it."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(logging, "raiseExceptions", True)
    logger = logging.getLogger("trio_dask")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "level", logger.level)
    with kept_lines(lambda: 1.0) as kept:
        log_to_stderr("warning")
        logger.debug("of no interest")
        logger.info("all is well")
        logger.warning("careful")
        assert [each["text"] for each in kept.lines(1.0)] == ["careful", "all is well"]
        assert len(stream.getvalue().splitlines()) == 1
        log_to_stderr("debug")
        logger.debug("of some interest")
        assert kept.lines(1.0)[0]["text"] == "of some interest"


def test_a_token_is_made_before_it_is_needed() -> None:
    """The path that `token new` prints is where `ensure_token` looks."""
    assert run("token", "new") == 0
    assert ensure_token() == find_token()


def test_an_owned_file_that_cannot_be_written_is_not_left_half_written(tmp_path: Path) -> None:
    """The error names it; what has been there before stays."""

    def write(path: Path) -> None:
        path.write_text("12")
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "pid"
    for there in (False, True):
        if there:
            path.write_text("1")
        with pytest.raises(OSError, match=r"No space left.*/pid"), owned_file(path, write):
            pass
        assert path.exists() == there


@pytest.mark.processes
@pytest.mark.parametrize("words", [["--help"], ["worker", "--help"], ["config", "list"]])
def test_who_has_enough_of_it_is_no_failure(words: list[str]) -> None:
    """As `head` has, of help too."""
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-m", "trio_dask", *words]
    done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, check=False)
    os.close(writes)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.processes
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_one(own_settings: Path) -> None:
    """One line, and a failure: nobody is to think that all of it is there."""
    command = [sys.executable, "-m", "trio_dask", "config", "get", "worker.nthreads"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    said = b"trio-dask: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)


def test_an_owned_file_that_somebody_else_wrote_stays(tmp_path: Path) -> None:
    """A second process with the same options does not take the first one's file along."""
    path = tmp_path / "pid"
    with owned_file(path, lambda path: path.write_text("first")):
        path.write_text("second")
    assert path.read_text() == "second"
    with owned_file(path, lambda path: path.write_text("third")):
        pass
    assert not path.exists()


def test_what_opens_the_dashboard(capsys: pytest.CaptureFixture[str]) -> None:
    """A token for it alone, and links that are good once."""
    ensure_token()
    assert run("token", "dashboard") == 0
    shown = capsys.readouterr().out.strip()
    assert len(shown) > 40
    assert shown != find_token()
    links = []
    for address in (
        "http://192.0.2.1:8787/status",
        "192.0.2.1:8787",
        "https://x.example/dask/status",
    ):
        assert run("token", "link", address) == 0
        links.append(capsys.readouterr().out.strip())
    assert links[0].startswith("http://192.0.2.1:8787/login#ticket=")
    assert links[1].startswith("http://192.0.2.1:8787/login#ticket=")
    assert links[2].startswith("https://x.example/dask/login#ticket=")
    assert len(set(links)) == 3
    assert run("token", "link", "ftp://x") == 2
    door = Door(own_keys(find_token(), Config()))
    now = datetime.now(UTC).timestamp()
    for words in ([], ["--control"]):
        assert run("token", "link", "h:1", *words) == 0
        ticket = capsys.readouterr().out.strip().partition("#ticket=")[2]
        assert door.controls(ticket, now) is bool(words)


async def test_a_scheduler_file_gets_a_new_token(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Within a second, and while it is this scheduler's."""
    path = tmp_path / "cluster.json"
    content = SchedulerFile(id="c", address="tcp://127.0.0.1:1", token=ensure_token())
    keys = own_keys(find_token(), Config())
    async with trio.open_nursery() as nursery:
        with owned_file(path, partial(write_scheduler_file, content=content)):
            nursery.start_soon(keep_token, path, content, keys)
            await trio.sleep(2)
            assert read_scheduler_file(path) == content
            replace_token(accept_former_s=3600)
            await trio.sleep(2)
            assert read_scheduler_file(path).token == find_token() != content.token
            write_scheduler_file(path, content)
            replace_token()
            await trio.sleep(2)
            assert read_scheduler_file(path) == content
            nursery.cancel_scope.cancel()


def test_starting_is_not_searching_for_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not until a command has started, nor in one that is a server; where tasks run it is as usual."""
    seen: list[tuple[bool, int]] = []

    def look(_words: object = None) -> int:
        for off in (True, False):
            with garbage_collector(off=off):
                seen.append((gc.isenabled(), gc.get_threshold()[0]))
        return 0

    monkeypatch.setattr("trio_dask.cli.app.run", look)
    before = gc.get_threshold()
    assert main(["anything"]) == 0
    assert seen == [(False, 150_000), (True, 700)]
    assert gc.get_threshold() == before
    assert gc.isenabled()
