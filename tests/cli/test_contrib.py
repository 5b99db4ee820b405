"""The files of `contrib`: what they call is there, and they are what they seem."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trio_dask.cli.app import app
from trio_dask.cli.notify import notify

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTRIB = Path(__file__).parents[2] / "contrib"


def calls() -> Iterator[tuple[str, list[str]]]:
    """Every call of ours, as its words."""
    for path in sorted(CONTRIB.glob("systemd/*.service")):
        [line] = re.findall(r"^ExecStart=\S+/trio-dask (.*)$", path.read_text(), re.MULTILINE)
        yield path.name, shlex.split(line)
    text = (CONTRIB / "slurm" / "cluster.sbatch").read_text()
    for line in re.findall(r"trio-dask ((?:scheduler|worker) .*) &$", text, re.MULTILINE):
        yield "sbatch", shlex.split(line)
    text = (CONTRIB / "kubernetes" / "cluster.yaml").read_text()
    for line in re.findall(r"args: \[(.*)\]$", text, re.MULTILINE):
        yield "kubernetes", [word.strip().strip('"') for word in line.split(",")]


@pytest.mark.parametrize(("where", "words"), list(calls()))
def test_what_they_call_is_understood(where: str, words: list[str]) -> None:
    """Each command exists and takes the options it is given."""
    command, _, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    assert callable(command), where


def test_units_are_units() -> None:
    """With the sections that there are, and by the tool's own judgement where that is here."""
    for path in CONTRIB.glob("systemd/*.service"):
        parser = configparser.RawConfigParser(strict=False)
        parser.read_string(path.read_text())
        assert parser.sections() == ["Unit", "Service", "Install"]
        assert parser["Service"]["Type"] == "notify"


def test_the_job_is_a_script() -> None:
    """As far as the shell can tell without running it."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    subprocess.run([bash, "-n", str(CONTRIB / "slurm" / "cluster.sbatch")], check=True)


def test_manifests_are_manifests() -> None:
    """Documents of their kinds, whose selectors fit their labels."""
    yaml = pytest.importorskip("yaml", reason="to read them")
    documents = list(yaml.safe_load_all((CONTRIB / "kubernetes" / "cluster.yaml").read_text()))
    assert [each["kind"] for each in documents] == ["Service", "Deployment", "Deployment"]
    service, scheduler, worker = documents
    for each in (scheduler, worker):
        labels = each["spec"]["template"]["metadata"]["labels"]
        assert each["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["selector"] == scheduler["spec"]["template"]["metadata"]["labels"]
    [container] = worker["spec"]["template"]["spec"]["containers"]
    assert f"tcp://{service['metadata']['name']}:8786" in container["args"]


def test_the_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is one; and where it is gone nothing happens."""
    notify("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify("READY=1")
        assert manager.recv(100) == b"READY=1"
    (tmp_path / "notify").unlink()
    notify("STOPPING=1")
