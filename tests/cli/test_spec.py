"""``trio-dask spec``: what it understands, and the servers that come of it."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.commands import in_pipes
from trio_dask import Client
from trio_dask.cli import main
from trio_dask.cli.spec import plan
from trio_dask.config import new_token

if TYPE_CHECKING:
    from pathlib import Path


def words(content: Any, *args: str) -> dict[str, tuple[str, ...]]:
    """The command lines that it comes to."""
    planned = plan(content, args, "--spec", {})
    return {name: (each.command, *each.words) for name, each in planned.items()}


def test_what_dasks_tools_write() -> None:
    """Classes by any of their names, arguments as they are called there, addresses for workers."""
    scheduler = {"cls": "distributed.Scheduler", "opts": {"host": "h", "dashboard": False}}
    worker = {
        "cls": "dask.distributed.Nanny",
        "opts": {
            "port": 3000, "ncores": 2, "resources": {"GPU": 1, "MEM": 2}, "nanny": False,
            "name": None, "preload": ["a", "b"], "log_level": "error",
        },
    }  # fmt: skip
    assert words(scheduler, "tcp://h:1") == {"": ("scheduler", "--host=h", "--no-dashboard")}
    assert words(worker, "tcp://h:1") == {
        "": (
            "worker", "tcp://h:1", "--worker-port=3000", "--nthreads=2",
            "--resources=GPU=1 MEM=2", "--no-nanny", "--preload=a", "--preload=b",
            "--log-level=error",
        )
    }  # fmt: skip
    several = {"a": {"cls": "Worker"}, "b": {"cls": "Worker", "opts": {"name": "c"}}}
    assert words(several) == {"a": ("worker", "--name=a"), "b": ("worker", "--name=c")}


def test_variables() -> None:
    """Those of a nanny are its worker's."""
    [planned] = plan({"cls": "Nanny", "opts": {"env": {"A": 1}}}, (), "", {}).values()
    assert planned.environ == {"A": "1"}
    assert planned.words == ()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "give either --spec"),
        (["--spec={}", "--spec-file=x"], "give either --spec"),
        (["--spec=["], "this is no JSON"),
        (["--spec=1"], "an object with cls and opts"),
        (["--spec={}"], "an object with cls and opts"),
        (['--spec={"a": 1}'], "--spec, a: cls and opts belong there"),
        (['--spec={"cls": "Worker", "x": 1}'], "cls and opts belong there"),
        (['--spec={"cls": "mine.Worker"}'], "'mine.Worker' is none of Scheduler, Worker, Nanny"),
        (['--spec={"cls": "Worker", "opts": 1}'], "opts is an object"),
        (['--spec={"cls": "Worker", "opts": {"env": 1}}'], "env is an object"),
        (['--spec={"cls": "Worker", "opts": {"nthrads": 1}}'], "the nearest is nthreads"),
        (['--spec={"cls": "Worker", "opts": {"tied": true}}'], "no option tied"),
        (['--spec={"cls": "Worker", "opts": {"nthreads": "x"}}', "h:1"], "no whole number"),
        (['--spec={"a": {"cls": "Worker"}, "b": {"cls": "Worker"}}'], "a: where is the scheduler?"),
        (["--spec-file=gone.yaml"], "gone.yaml cannot be read"),
    ],
)
def test_what_is_not_understood(
    given: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, and one line that says where, and what is accepted."""
    monkeypatch.setattr("trio_dask.cli.worker.log_to_stderr", lambda *_: None)
    assert main(["spec", *given]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [("s.toml", "cls = ["), ("s.json", "{"), ("s.yaml", "a: [")],
)  # fmt: skip
def test_files_that_cannot_be_read(
    name: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The file is named; without pyyaml, what there is to do."""
    (tmp_path / name).write_text(text)
    assert main(["spec", "--spec-file", str(tmp_path / name)]) == 2
    assert f"{name} " in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert main(["spec", "--spec-file", str(tmp_path / name)]) == 2
    assert ("pyyaml" in capsys.readouterr().err) is (name != "s.toml")


@pytest.mark.processes
@pytest.mark.network
def test_one_and_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler, and two workers from one file: each as it is described; a signal ends them."""
    monkeypatch.setenv("TRIO_DASK_TOKEN", new_token())
    text = {"cls": "dask.distributed.Scheduler", "opts": {"host": "127.0.0.1", "port": 0}}
    text["opts"] |= {"dashboard": False}  # type: ignore[operator]
    workers = tmp_path / "workers.toml"
    workers.write_text(
        "[one]\ncls = 'dask.distributed.Nanny'\nopts = {nthreads = 1, env = {WHO = 'the first'}}\n"
        "[two]\ncls = 'Worker'\nopts = {nthreads = 2, resources = {GPU = 1}}\n"
    )
    log = ["--log-level=info", "--log-format=json"]
    with in_pipes("spec", "--spec", json.dumps(text), *log) as scheduler:
        scheduler.read_until("Scheduler at:")
        line = scheduler.read_until("\n").splitlines()[-1]
        address = json.loads(line)["message"].split()[-1]
        with in_pipes("spec", address, "--spec-file", str(workers), "--log-level=error") as crew:
            with Client(address) as client:
                client.wait_for_workers(2)
                assert client.run(os.getenv, "WHO", workers="one").popitem()[1] == "the first"
                info = {
                    each["name"]: (each["nthreads"], each["resources"])
                    for each in client.scheduler_info()["workers"].values()
                }
            assert info == {"one": (1, {}), "two": (2, {"GPU": 1.0})}
            crew.process.send_signal(signal.SIGTERM)
            assert crew.wait() == 0
            assert crew.said == b""
        scheduler.process.send_signal(signal.SIGTERM)
        assert scheduler.wait() == 0


@pytest.mark.processes
def test_one_that_fails_ends_the_others(tmp_path: Path) -> None:
    """As what belongs together does; the exit code is its."""
    content = {
        "good": {"cls": "Worker", "opts": {}},
        "bad": {"cls": "Worker", "opts": {"nthreads": "none"}},
    }
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(content))
    token = new_token()
    with in_pipes("spec", "127.0.0.1:9", "--spec-file", str(path), TRIO_DASK_TOKEN=token) as crew:
        assert crew.wait() == 2
    said = crew.said.decode()
    assert "'none' is no whole number" in said
    assert "bad has ended with exit code 2" in said
