"""Every example in the documentation is tried: scripts, command lines, docstrings."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

import trio_dask
from trio_dask.cli.app import app
from trio_dask.deploy import open_local_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PAGES = [path for path in PAGES if not {"_build", "generated"} & set(path.parts)]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LIMIT_S = 60


def blocks(path: Path, *languages: str) -> list[str]:
    """The code blocks of a page that are in one of these languages."""
    found = BLOCK.findall(path.read_text(encoding="utf-8"))
    return [text for language, text in found if language in languages]


def page_name(path: Path) -> str:
    """A page's path, for the test's name."""
    return str(path.relative_to(ROOT))


@pytest.mark.processes
@pytest.mark.parametrize("path", [p for p in PAGES if blocks(p, "python")], ids=page_name)
async def test_scripts_print_what_the_page_says(path: Path, tmp_path: Path) -> None:
    """The Python blocks of a page, put together, are a script; its output is the output blocks.

    In those, an ellipsis stands for whatever is there instead: a path, a process, a time.
    """
    async with open_local_cluster(n_workers=2) as cluster:
        text = "\n".join(blocks(path, "python"))
        script = tmp_path / "example.py"
        script.write_text(
            text.replace("tcp://127.0.0.1:8786", cluster.scheduler_address), encoding="utf-8"
        )
        environ = {**os.environ, "TRIO_DASK_TOKEN": cluster.token}
        with trio.fail_after(LIMIT_S):
            done = await trio.run_process(
                [sys.executable, "-W", "error", str(script)],
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                env=environ,
                cwd=tmp_path,
            )
    assert done.stderr.decode() == ""
    expected = "".join(blocks(path, "output"))
    assert shown_as(expected).fullmatch(done.stdout.decode()), (
        f"{expected}\nwas expected, and this came:\n{done.stdout.decode()}"
    )


def shown_as(text: str) -> re.Pattern[str]:
    """What a page shows, as a pattern: an ellipsis is anything within a line, or whole lines."""
    pattern = re.escape(text)
    pattern = re.sub(r"(?m)^(?:\\ )*…\\\n", r"(?:.*\n)*?", pattern)
    return re.compile(pattern.replace("…", ".*"))


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Every call of ``trio-dask`` on any page, as its words."""
    for path in PAGES:
        for text in blocks(path, "console"):
            for line in text.splitlines():
                for command in re.split(r"&&|\|", line.removeprefix("$ ")):
                    words = shlex.split(command) if line.startswith("$ ") else []
                    if words[:1] == ["trio-dask"]:
                        yield page_name(path), words[1:]


@pytest.mark.parametrize(("page", "words"), list(command_lines()))
def test_command_lines_are_understood(page: str, words: list[str]) -> None:
    """Each command exists and takes the options it is given."""
    command, _, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    assert callable(command), page


def modules() -> Iterator[str]:
    """The modules of the package that can be imported without starting something."""
    for found in pkgutil.walk_packages(trio_dask.__path__, "trio_dask."):
        if not found.name.endswith("__main__"):
            yield found.name


@pytest.mark.parametrize("name", list(modules()))
def test_docstring_examples(name: str) -> None:
    """What a docstring shows is what happens."""
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.processes
def test_the_package_runs_as_a_module() -> None:
    """``python -m trio_dask`` is the same program."""
    done = subprocess.run(
        [sys.executable, "-m", "trio_dask", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"trio-dask {trio_dask.__version__}\n"
