"""What a program uses of dask.distributed is found by reading it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio_dask
import trio_dask.deploy
from trio_dask.cli import main
from trio_dask.cli.migrating import ELSEWHERE, MISSING, OTHER, SAME, uses

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PROGRAM = """
import distributed as dd
import dask.distributed
from dask import distributed
from dask.distributed import Client, as_completed, NannyPlugin, rpc
from distributed.utils import sync
from dask_jobqueue import SLURMCluster

def main():
    with Client(asynchronous=True) as c:
        c.submit(print, 1)
        c.run_on_scheduler(print)
    client.upload_file("x")
    other.story()
    dd.wait([])
    dask.distributed.Nanny
"""


def test_what_is_found() -> None:
    """Names, attributes of modules, methods of clients; and nothing of what only looks like it."""
    found = {(each.line, each.name): each.state for each in uses(PROGRAM)}
    assert found == {
        (5, "Client"): SAME,
        (5, "as_completed"): SAME,
        (5, "NannyPlugin"): OTHER,
        (5, "rpc"): MISSING,
        (6, "distributed.utils.sync"): MISSING,
        (7, "SLURMCluster"): OTHER,
        (10, "Client(asynchronous=True)"): OTHER,
        (11, "client.submit"): SAME,
        (12, "client.run_on_scheduler"): MISSING,
        (13, "client.upload_file"): SAME,
        (15, "wait"): SAME,
        (16, "Nanny"): OTHER,
    }


def test_programs_without_it() -> None:
    """Whatever they call their own."""
    assert uses("client = Client()\nclient.story()\nimport dask\n") == []


def test_what_is_elsewhere_is_there() -> None:
    """And nothing is said to be elsewhere that is here."""
    for name, note in ELSEWHERE.items():
        assert name not in trio_dask.__all__
        assert note != "from trio_dask.deploy" or name in trio_dask.deploy.__all__


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It reports file and line, and its exit code says whether something is missing."""
    (tmp_path / "a.py").write_text(PROGRAM)
    (tmp_path / "b.py").write_text("def (")
    assert main(["migrate", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert f"{tmp_path / 'a.py'}:12: client.run_on_scheduler: missing; the scheduler runs" in said
    assert "b.py: not read: invalid syntax" in said
    assert "12 uses of dask.distributed in 1 files: 5 the same, 4 in another way, 3 missing" in said
    (tmp_path / "c.py").write_text("from distributed import Client\n")
    assert main(["migrate", str(tmp_path / "c.py"), "--all"]) == 0
    assert "c.py:1: Client: the same\n" in capsys.readouterr().out
    assert main(["migrate"]) == 2
    assert main(["migrate", "gone.py"]) == 2
    assert "there is no gone.py" in capsys.readouterr().err
