"""Pages of help, on terminals of any width."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from rich.console import Console

from tests.cli.every_option import every_option
from trio_dask.cli import main
from trio_dask.cli.app import app

#: No narrower are the terminals of people.
NARROW = 60


def page(
    command: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """What `--help` prints on a terminal of that width."""
    monkeypatch.setattr(app, "_console", Console(width=columns))
    assert main([*command.split(), "--help"]) == 0
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("command", ["", *sorted(every_option())])
def test_lines_end_where_the_terminal_does(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not where they do in our source: what is wide enough has each paragraph in one line."""
    wide = page(command, 1000, monkeypatch, capsys)
    for line, following in pairwise(wide):
        assert not (
            re.match(r"\w", line) and re.match(r"\S", following) and following[0] not in "╭╰│"
        )
        if line.startswith("│") and following.startswith("│"):
            assert re.match(r"│ [*\s]{0,3}\S", following), following


@pytest.mark.parametrize("command", ["", *sorted(every_option())])
def test_on_a_narrow_terminal(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is cut off, and examples can be copied: no line of theirs is broken."""
    wide, narrow = (page(command, columns, monkeypatch, capsys) for columns in (1000, NARROW))
    assert max(map(len, narrow)) <= NARROW
    code = [line for line in wide if line.startswith("    ")]
    assert [line for line in narrow if line.startswith("    ")] == code
    said = [re.sub(r"[╭╮╰╯│─\s]", "", "".join(sorted("".join(each)))) for each in (wide, narrow)]
    assert said[0] == said[1]
