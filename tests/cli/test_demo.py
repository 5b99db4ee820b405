"""The demo: the README's first command."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import psutil
import pytest

from tests.cli.commands import in_pipes, on_terminal
from trio_dask.cli import main
from trio_dask.cli.demo import merges
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


#: The demo with the first hundred files of its job only.
SHORT: Final = (
    "-c",
    """
import sys
from trio_dask.cli import demo, main
files = demo.source_files()[:100]
demo.source_files = lambda: files
sys.exit(main())
""",
    "demo",
)
CTRL_C = b"\x03"
COLOUR = "\x1b[3"


@pytest.fixture(autouse=True)
def own_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Demos that run at the same time say nothing about each other's dashboards."""
    monkeypatch.setenv("TRIO_DASK_SCHEDULER__DASHBOARD_ADDRESS", ":0")


@pytest.mark.slow
@pytest.mark.processes
def test_the_demo_does_its_job_and_leaves_nothing() -> None:
    """Every file is counted, the lines in a pipe are few and plain, and no process is left."""
    with in_pipes("demo", LEFT_BY="the demo") as command:
        command.read_until("source files")
        family = psutil.Process(command.process.pid).children(recursive=True)
        assert command.wait() == 0
    said = command.said.decode()
    assert f"\n{len(source_files()):,} files, " in said
    assert len(re.findall(r"^[\d,]+ of [\d,]+ tasks, ", said, re.MULTILINE)) <= 4
    assert "\x1b" not in said
    assert "CPU: tasks " in said
    assert re.search(r"Its dashboard, while it lasts:\n\n  http://127.0.0.1:\d+/status\n", said)
    assert "trio-dask worker tcp://" in said
    assert max(map(len, said.splitlines())) <= 80
    assert psutil.wait_procs(family, timeout=20)[1] == []


@pytest.mark.processes
@pytest.mark.parametrize("columns", [40, 100])
def test_on_a_terminal_there_are_bars(columns: int) -> None:
    """One for the files, one for the merges; they fit, and are full at the end."""
    with on_terminal(python=SHORT, columns=columns) as command:
        assert command.wait() == 0
    *_, parse, merge = re.findall(r"(?:parse|merge) ━[^\r\n]*", plain(command.said.decode()))
    assert re.fullmatch(r"parse ━+ +100/100 +\d+/s +[\d.]+ s\s*", parse)
    assert re.fullmatch(r"merge ━+ +8/8 +\d+/s +[\d.]+ s\s*", merge)
    said = command.said.decode()
    assert COLOUR in said
    assert said.rindex("\x1b[?25h") > said.rindex("\x1b[?25l")
    long = [line for line in plain(said).replace("\r", "\n").splitlines() if len(line) > columns]
    assert [
        line for line in long if not line.startswith("  ")
    ] == []  # what is to be copied is not broken


def plain(text: str) -> str:
    """The text without colours and movements."""
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text)


@pytest.mark.processes
@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_terminals_that_can_or_shall_do_less(environ: dict[str, Any]) -> None:
    """No colours for those who want none; nothing but lines for those that know nothing else."""
    with on_terminal("--nworkers", "1", python=SHORT, columns=80, **environ) as command:
        assert command.wait() == 0
    said = command.said.decode()
    assert "A scheduler and 1 worker on this machine" in said
    assert COLOUR not in said
    assert ("━" in said) == ("NO_COLOR" in environ)
    assert ("108 of 108 tasks" in said) == ("TERM" in environ)


@pytest.mark.processes
def test_ctrl_c_ends_the_demo() -> None:
    """At once, with exit code 0, no traceback, and the cursor where it was."""
    with on_terminal("demo") as command:
        command.read_until(f"/{len(source_files()):,}")
        family = psutil.Process(command.process.pid).children(recursive=True)
        assert family
        command.type(CTRL_C)
        assert command.wait() == 0
    assert "Traceback" not in command.said.decode()
    assert psutil.wait_procs(family, timeout=20)[1] == []


@pytest.mark.processes
@pytest.mark.parametrize("words", [SHORT, ("-m", "trio_dask", "config", "list")])
def test_nobody_reads_to_the_end(words: tuple[str, ...]) -> None:
    """As in ``| head -1``: it ends, without a word, with exit code 0."""
    process = subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        if words is SHORT:
            assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.processes
def test_no_standard_streams_at_all() -> None:
    """As in ``>&-``: there is nowhere to print to, and that is all."""
    code = (
        "import os; os.closerange(0, 3); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    words = [sys.executable, "-c", f"import sys; {code}", "-m", "trio_dask", "config", "list"]
    assert subprocess.run(words, check=False).returncode == 0


@pytest.mark.processes
def test_what_comes_next_works() -> None:
    """The lines of Python that it prints do what they say."""
    with in_pipes(python=SHORT) as command:
        assert command.wait() == 0
    lines = [line.strip() for line in command.said.decode().splitlines()]
    at = lines.index("from trio_dask import Client")
    snippet = "\n".join(lines[at : at + 3])
    with in_pipes("cluster", "--port", "0", "--nworkers", "1") as cluster:
        [address] = re.findall(r"Scheduler at: +(\S+)", cluster.read_until("Ctrl-C"))
        with in_pipes(python=("-c", snippet.replace("tcp://127.0.0.1:8786", address))) as script:
            assert script.wait() == 0
    assert script.said.decode() == f"{2**100}\n"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("0", "--nworkers: '0': there must be at least one"),
        ("-999", "--nworkers: '-999' would be less than one worker"),
        ("65", "64 is the most"),
        ("many", "--nworkers: 'many'"),
    ],
)
def test_numbers_of_workers_that_make_no_sense(
    number: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A usage error, and no cluster that waits for ever."""
    assert main(["demo", "--nworkers", number]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.processes
@pytest.mark.parametrize(("files", "said"), [(12, "ulimit -n"), (20, "ulimit -n")])
def test_a_limit_that_is_too_low_is_named(files: int, said: str) -> None:
    """In the command itself or in a server: one line, and how to see the limit."""
    code = (
        "import resource, sys; from trio_dask.cli import main; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files})); sys.exit(main())"
    )
    with in_pipes("demo", "--nworkers", "2", python=("-c", code)) as command:
        assert command.wait() == 1
    last = command.said.decode().splitlines()[-1]
    assert last.startswith("trio-dask: ")
    assert last.count(said) == 1


def test_merges_are_counted_before_there_are_any() -> None:
    """As many as a tree of sixteen branches needs."""
    assert [merges(number) for number in (0, 1, 2, 16, 17, 100, 256, 257)] == [
        0, 0, 1, 1, 3, 8, 17, 20,
    ]  # fmt: skip
