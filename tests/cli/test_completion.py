"""A shell completes commands and options, and what it needs for that is installed."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from trio_dask.cli import main

if TYPE_CHECKING:
    from pathlib import Path

BASH = shutil.which("bash")
#: What a shell does when somebody presses Tab: the last of some words is to be completed.
TAB = """
. "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
function=$(complete -p trio-dask | sed 's/.*-F \\([^ ]*\\).*/\\1/')
"$function" trio-dask "${@: -1}" "${@: -2:1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


#: What is written, and what is offered.
OFFERED = [
    (["work"], {"worker"}),
    (["worker", "--nw"], {"--nworkers"}),
    (["token", "rot"], {"rotate"}),
    (["scheduler", "--tls-"], {"--tls-ca-file", "--tls-cert", "--tls-key", "--tls-dashboard"}),
]


@pytest.mark.processes
@pytest.mark.skipif(BASH is None, reason="there is no bash here")
def test_bash_completes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Commands, commands of commands, and options."""
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "completion"
    script.write_text(capsys.readouterr().out)
    for words, found in OFFERED:
        done = subprocess.run(
            [str(BASH), "-c", TAB, "bash", str(script), "trio-dask", *words],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stderr == ""
        assert found <= set(done.stdout.split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_it_is_installed(
    shell: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """For the shell that one has, below one's own directory; twice is as once."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("SHELL", f"/bin/{shell}")
    assert main(["completion", "--install"]) == 0
    first = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert any("trio-dask" in path.name and "retire" in text for path, text in first.items())
    assert str(tmp_path) in capsys.readouterr().out
    assert main(["completion", "--install"]) == 0
    assert {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == first


def test_another_shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Is an error that says for which ones there is something."""
    monkeypatch.setenv("SHELL", "/bin/csh")
    assert main(["completion"]) == 2
    assert "'csh'; there is completion for bash, zsh, fish" in capsys.readouterr().err
