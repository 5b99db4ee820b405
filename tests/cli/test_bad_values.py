"""Bad values for every option of every command: exit code 2, one message with the option, the value,
and what is accepted; no traceback, and nothing is started.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.cli.every_option import every_option
from trio_dask.cli import main

if TYPE_CHECKING:
    from pathlib import Path

#: An option, a value that makes no sense, and what is said besides both of them.
Rows = list[tuple[str, str, str]]

#: For every option of a kind. Text of any kind can at least be seen, and is one line.
OF_KIND: Final = {
    "bool": ("maybe", "bool"),
    "number": ("few", "unable to convert"),
    "choice": ("loud", 'Choose from: "'),
    "text": ("two\nlines", ""),
}
#: They change nothing, whatever is given to them.
MOOT: Final = {"--use-xheaders", "--nanny-port", "--worker-class", "--remote-dask-worker"}
#: They take any text that can be seen: what is somebody else's to understand, a shell, a batch
#: system, another machine.
ANY_TEXT: Final = MOOT | {
    "--resource-spec", "--job-extra-directives", "--job-script-prologue", "--python",
    "--remote-python",
}  # fmt: skip
#: More of that, where only this command does not know better.
ANY_TEXT_OF: Final = {
    "job-script": {"--interface", "--scheduler-file", "--local-directory"},
    "ssh": {"--local-directory"},
}

NO_DIRECTORY: Final = "/no/such/place"
_SIZE: Final = "write bytes, or a unit"
_DURATION: Final = "write seconds, or a unit"
_ADDRESS: Final = "write tcp://host:port"
_WHOLE: Final = "no whole number"
_NAME: Final = "letters, digits, and . - _ : @ + = [ ]"
_UNKNOWN: Final = "cannot be resolved"
_TLS: Rows = [
    ("--tls-ca-file", "gone.pem", "there is no file"),
    ("--tls-cert", "gone.pem", "there is no file"),
    ("--tls-key", "gone.pem", "there is no file"),
]
_LOCAL: Rows = [
    ("--nworkers", "few", _WHOLE),
    ("--nworkers", "0", "at least one"),
    ("--nthreads", "0", "at least one"),
    ("--memory-limit", "lots", _SIZE),
    ("--name", "a/b", _NAME),
    ("--local-directory", "/dev/null/x", "is a file"),
    ("--local-directory", "", "path is empty"),
    ("--resources", "GPU", '"GPU=2 MEM=10e9"'),
]
BAD: Final[dict[str, Rows]] = {
    "scheduler": [
        ("--host", "a b", _ADDRESS),
        ("--host", "1.2.3.4:x", _ADDRESS),
        ("--host", "ws://h", "only tcp:// and tls://"),
        ("--host", "nosuch.invalid", _UNKNOWN),
        ("--host", "a..b", "no name of a host"),
        ("--host", "a" * 64, "no name of a host"),
        ("--port", "many", "no whole number of at least 0, and no range of ports as in 3000:3026"),
        ("--port", "65536", "ports end at 65535"),
        ("--port", "-1", _WHOLE),
        ("--port", "9:8", "write the lower one first"),
        ("--port", "1,x", _WHOLE),
        ("--interface", "no0", "there are"),
        ("--protocol", "ucx", "only tcp and tls"),
        *_TLS,
        ("--dashboard-address", "x:y:z", _ADDRESS),
        ("--dashboard-address", "nosuch.invalid:8787", _UNKNOWN),
        ("--dashboard-prefix", "a?b", "no path"),
        ("--dashboard-prefix", "/../x", "no path"),
        ("--idle-timeout", "soon", 'write seconds, or a unit as in "500ms"'),
        ("--preload", "no_such_module_here", "cannot be imported"),
        ("--preload", "setup.py", "no import path"),
        ("--preload", "logging:NoSuchClass", "cannot be imported"),
        ("--preload", "https://x.example/a.py", "no import path"),
        ("--scheduler-file", NO_DIRECTORY, "no directory"),
        ("--pid-file", NO_DIRECTORY, "no directory"),
        ("--event-log", NO_DIRECTORY, "no directory"),
        ("--event-log", "/", "is a directory"),
    ],
    "worker": [
        ("--worker-port", "x", "no range of ports as in 3000:3026"),
        ("--worker-port", "70000", "ports end at 65535"),
        ("--listen-address", "nowhere at all", _ADDRESS),
        ("--listen-address", "tcp://nosuch.invalid:1", _UNKNOWN),
        ("--contact-address", "ws://h:1", "only tcp:// and tls://"),
        ("--name", "a/b", _NAME),
        ("--name", "two words", _NAME),
        ("--name", "-x", _NAME),
        ("--host", "a b", _ADDRESS),
        ("--host", "nosuch.invalid", _UNKNOWN),
        ("--interface", "no0", "there are"),
        ("--protocol", "ucx", "only tcp and tls"),
        ("--protocol", "tcp,tls", "at one place"),
        ("--nthreads", "few", "no whole number of at least 0"),
        ("--nthreads", "0", "at least one"),
        ("--nthreads", "-1", "no whole number of at least 0"),
        ("--nworkers", "few", _WHOLE),
        ("--nworkers", "-9999", "less than one worker"),
        ("--memory-limit", "lots", _SIZE),
        ("--memory-limit", "-1", _SIZE),
        ("--resources", "GPU", '"GPU=2 MEM=10e9"'),
        *_TLS,
        ("--scheduler-sni", "a b", "no name of a server"),
        ("--scheduler-file", "f.json", "name two schedulers"),
        ("--death-timeout", "soon", _DURATION),
        ("--lifetime", "soon", _DURATION),
        ("--lifetime-stagger", "x", _DURATION),
        ("--max-tasks", "some", "no whole number of at least 0"),
        ("--max-tasks", "-1", "no whole number of at least 0"),
        ("--max-rss", "lots", _SIZE),
        ("--max-rss", "-1", _SIZE),
        ("--max-age", "soon", _DURATION),
        ("--preload", "no_such_module_here", "neither a module"),
        ("--preload-nanny", "a.py", "no import path"),
        ("--local-directory", "/dev/null/x", "/dev/null is a file"),
        ("--local-directory", "", "path is empty"),
        ("--pid-file", NO_DIRECTORY, "no directory"),
        ("--event-log", NO_DIRECTORY, "no directory"),
        ("--dashboard-address", "x:y:z", _ADDRESS),
        ("--dashboard-prefix", "a#b", "no path"),
    ],
    "cluster": [
        *_LOCAL,
        ("--host", "a b", _ADDRESS),
        ("--host", "nosuch.invalid", _UNKNOWN),
        ("--port", "65536", "ports end at 65535"),
        ("--dashboard-address", "x:y:z", _ADDRESS),
        ("--scheduler-file", NO_DIRECTORY, "no directory"),
        ("--pid-file", NO_DIRECTORY, "no directory"),
    ],
    "run": [
        *_LOCAL,
        ("--scheduler", "ucx://h:1", "only tcp:// and tls://"),
        ("--scheduler-file", NO_DIRECTORY, "there is no file"),
    ],
    "ssh": [
        ("--scheduler", "a b", "no name of a host"),
        ("--scheduler", "-oProxyCommand=x", "no name of a host"),
        ("--scheduler-port", "x", _WHOLE),
        ("--nthreads", "few", _WHOLE),
        ("--nworkers", "few", "a whole number of at least 1"),
        ("--memory-limit", "lots", _SIZE),
        ("--worker-port", "x", _WHOLE),
        ("--hostfile", NO_DIRECTORY, "cannot be read"),
        ("--ssh-username", "-x", "no name of somebody"),
        ("--ssh-port", "x", _WHOLE),
        ("--ssh-private-key", NO_DIRECTORY, "there is no file"),
        ("--log-directory", "/dev/null/x", "cannot be made"),
    ],
    "spec": [
        ("--spec", "[", "this is no JSON"),
        ("--spec-file", "gone.yaml", "cannot be read"),
    ],
    "mpi": [
        ("--scheduler-file", NO_DIRECTORY, "no directory"),
        ("--shared-directory", NO_DIRECTORY, "no directory"),
        ("--local-directory", "/dev/null/x", "is a file"),
        ("--local-directory", "", "path is empty"),
        ("--name", "a/b", _NAME),
        ("--nworkers", "few", _WHOLE),
        ("--nthreads", "few", _WHOLE),
        ("--memory-limit", "lots", _SIZE),
        ("--resources", "GPU", '"GPU=2 MEM=10e9"'),
        ("--preload", "no_such_module_here", "neither a module"),
        ("--scheduler-port", "x", _WHOLE),
        ("--interface", "no0", "there are"),
        ("--protocol", "ucx", "only tcp and tls"),
        *_TLS,
        ("--dashboard-address", "x:y:z", _ADDRESS),
        ("--death-timeout", "soon", _DURATION),
    ],
    "job-script": [
        ("--cores", "0", "a whole number of at least 1"),
        ("--memory", "much", _SIZE),
        ("--processes", "0", "a whole number of at least 1"),
        ("--nodes", "2", "submit so many jobs"),
        ("--queue", "a b", "one word"),
        ("--account", "a b", "one word"),
        ("--walltime", "an hour", "one word"),
        ("--parallel-environment", "a b", "one word"),
        ("--name", "a b", "letters, digits"),
        ("--log-directory", "a b", "one word"),
        ("--launcher", "mpirun 'x", "no closing quotation"),
        ("--shebang", "bash", "as #!/bin/sh"),
        ("--resources", "GPU", '"GPU=2 MEM=10e9"'),
        ("--death-timeout", "soon", _DURATION),
    ],
    "demo": [("--nworkers", "few", _WHOLE), ("--nworkers", "65", "64 is the most")],
    "retire": [("-n", "0", "at least 1"), ("-n", "-1", "at least 1")],
    "top": [("--every", "0", "above 0"), ("--every", "nan", "above 0"), ("--count", "0", "at least 1")],
    "logs": [("-n", "0", "at least 1")],
    "replay": [("--every", "0", ">= 1")],
    "certs new": [
        ("--name", "a/b", "no name for a file"),
        ("--host", "a b", "no name or address"),
        ("--days", "0", "no number of days"),
        ("--days", "soon", "no number of days"),
    ],
    "token rotate": [("--keep", "soon", _DURATION), ("--keep", "9999d", "a year at most")],
}  # fmt: skip

#: What else a command is to be told to come so far.
BESIDES: Final = {
    "worker": ["tcp://127.0.0.1:9"], "ssh": ["h"], "run": ["-"], "why": ["h:1", "k"],
    "job-script": ["slurm", "--cores=2", "--scheduler-file=f"], "retire": ["h:1"], "top": ["h:1"],
    "progress": ["h:1"], "status": ["h:1"], "logs": ["h:1"], "replay": ["f"],
    "token link": ["h:1"],
}  # fmt: skip
#: For the first process of a launch, which is the scheduler.
OF_THE_FIRST: Final = {"--scheduler-port", "--dashboard-address", "--scheduler-file"}


@pytest.fixture
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """No command comes so far that it would run; no logger is told where to write."""

    def run(*_: Any, **__: Any) -> None:
        pytest.fail("it would have been started")

    for name in ("scheduler", "worker", "cluster", "ssh", "spec", "demo"):
        monkeypatch.setattr(f"trio_dask.cli.{name}.run_until_signal", run)
    monkeypatch.setattr("trio_dask.cli.run.run_with_signals", run)
    for name in ("scheduler", "worker", "cluster", "ssh", "spec"):
        monkeypatch.setattr(f"trio_dask.cli.{name}.log_to_stderr", lambda *_: None)

    def look_up(host: str, *_: Any, **__: Any) -> list[Any]:
        if host.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return []

    monkeypatch.setattr("trio_dask.cli.checks.socket.getaddrinfo", look_up)


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A narrow terminal, a scheduler that might be there, a launcher."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TRIO_DASK_SCHEDULER_ADDRESS", "tcp://127.0.0.1:9")
    monkeypatch.setenv("TRIO_DASK_TOKEN", "0123456789abcdef" * 4)
    for name, value in (("RANK", 1), ("SIZE", 3), ("LOCAL_SIZE", 3)):
        monkeypatch.setenv(f"OMPI_COMM_WORLD_{name}", str(value))
    monkeypatch.setenv("PMIX_NAMESPACE", "1")


def rows_of(command: str) -> Rows:
    """Those for the kinds of its options, and its own."""
    each = every_option()[command]
    all_of_a_kind = [(one.name, *OF_KIND[one.kind]) for one in each if one.name not in MOOT]
    return all_of_a_kind + BAD.get(command, [])


@pytest.mark.parametrize("command", sorted(each for each, has in every_option().items() if has))
def test_bad_values(
    command: str, nothing_starts: None, surroundings: None,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """One message each, and exit code 2."""
    for option, value, says in rows_of(command):
        words = [*command.split(), f"{option}={value}"]
        words += [each for each in BESIDES.get(command, ()) if not each.startswith(f"{option}=")]
        if command == "mpi":
            monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "0" if option in OF_THE_FIRST else "1")
        assert main(words) == 2, words
        said = capsys.readouterr().err
        [plain] = said.splitlines()
        assert plain.startswith("trio-dask: ")
        assert option in plain
        if option != "--spec":  # of which it is said where
            assert all(word in plain for word in value.split()), said
        assert says in plain
        assert "internal error" not in said


def test_no_option_is_left_out() -> None:
    """One that takes text takes any, or there is some that it does not take."""
    for command, options in every_option().items():
        tried = {option for option, _, _ in BAD.get(command, [])}
        known = {each.name for each in options}
        assert tried <= known
        free = ANY_TEXT | ANY_TEXT_OF.get(command, set())
        text = {each.name for each in options if each.shown and each.kind == "text"}
        assert text <= tried | free, f"{command}: which values are bad for these?"
