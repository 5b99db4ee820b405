"""What a program uses of dask.distributed is found by reading it."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING

import trio_dask
import trio_dask.deploy
from trio_dask import Client, LocalCluster
from trio_dask.cli import main
from trio_dask.cli.migrating import MISSING, OTHER, SAME, uses
from trio_dask.cli.migrating_words import (
    CLIENT_INSIDES,
    CLIENT_METHODS,
    CLUSTER_INSIDES,
    ELSEWHERE,
    OPTIONS,
    OTHERS,
)

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


SERVICE = """
import dask
from distributed.client import Client, futures_of, _Future
from distributed.utils_test import gen_cluster; from distributed.diagnostics.plugin import NannyPlugin
from dask.distributed import *

dask.config.set({"distributed.scheduler.work-stealing": False, "distributed.nothing": 1})
dask.config.get("distributed.comm.timeouts.connect")
dask.config.set(scheduler="threads")

class Service:
    def __init__(self, address, heartbeat_interval=3):
        self.dask = Client(address, heartbeat_interval="5s")
        self.maybe: Client | None = None

    async def run(self, other: "Client", rows):
        futures = self.dask.map(
            work, rows,
            batch_size=100,
        )
        self.dask.run(work, nanny=True)
        self.maybe.story()
        other.forward_logging()
        self.other.run_on_scheduler(work)
        return self.dask.gather(futures, direct=True)
"""


FIXTURES = "fixtures of trio_dask.testing.pytest_plugin_cluster: cluster, client, async_client"


def test_a_program_with_classes() -> None:
    """Clients are followed into attributes and parameters; options and settings are looked at, too."""
    found = {(each.line, each.name): (each.state, each.note) for each in uses(SERVICE)}
    to_function = "it would go to the function"
    assert found == {
        (3, "distributed.client.Client"): (OTHER, "from trio_dask"),
        (3, "distributed.client.futures_of"): (OTHER, "from trio_dask"),
        (3, "distributed.client._Future"): (MISSING, "it is no public name"),
        (4, "distributed.diagnostics.plugin.NannyPlugin"): (OTHER, ELSEWHERE["NannyPlugin"]),
        (4, "distributed.utils_test.gen_cluster"): (OTHER, FIXTURES),
        (5, "dask.distributed.*"): (OTHER, "name what is used, to have it judged"),
        (7, "distributed.scheduler.work-stealing"): (
            OTHER,
            "nothing: work waits at the scheduler until it is about to run",
        ),
        (7, "distributed.nothing"): (MISSING, ""),
        (8, "distributed.comm.timeouts.connect"): (OTHER, "comm.connect_timeout"),
        (13, "Client(heartbeat_interval=)"): (MISSING, "nothing of that is needed"),
        (17, "client.map"): (SAME, ""),
        (19, "client.map(batch_size=)"): (MISSING, to_function),
        (21, "client.run"): (SAME, ""),
        (21, "client.run(nanny=)"): (MISSING, to_function),
        (22, "client.story"): (MISSING, ""),
        (23, "client.forward_logging"): (MISSING, ""),
        (25, "client.gather"): (SAME, ""),
        (25, "client.gather(direct=)"): (MISSING, OPTIONS["gather"]["direct"]),
    }


LESSONS = """
from dask.distributed import Client, LocalCluster
from dask_ml.model_selection import HyperbandSearchCV, train_test_split
from xgboost import dask as dxgb
import xgboost.dask
import joblib

own = LocalCluster(n_workers=4)
c = await Client(asynchronous=True)
pids = [each.pid for each in own.scheduler.workers.values()]
len(own.workers), own.scale(3), c.cluster.scheduler
c.sync(work), c.scheduler.address, c.gather([])
work.scheduler, work.cluster.sync
with joblib.parallel_backend("dask"):
    fit()
with joblib.parallel_config(backend="dask"), joblib.parallel_config(backend="loky"):
    joblib.Parallel(backend="dask"), joblib.Parallel("dask")
prophet.diagnostics.cross_validation(m, parallel="dask"); cross_validation(m, parallel=None)
"""


def test_what_notebooks_do() -> None:
    """The insides of clients and clusters, joblib, and packages that look for a client themselves."""
    found = {(each.line, each.name): (each.state, each.note) for each in uses(LESSONS)}
    of_scheduler = (MISSING, CLUSTER_INSIDES["scheduler"])
    backend = (OTHER, 'it is "trio_dask"')
    hyperband = "dask_ml.model_selection.HyperbandSearchCV"
    assert found == {
        (2, "Client"): (SAME, ""),
        (2, "LocalCluster"): (SAME, ""),
        (3, hyperband): (MISSING, OTHERS[hyperband]),
        (4, "xgboost.dask"): (MISSING, OTHERS["xgboost.dask"]),
        (5, "xgboost.dask"): (MISSING, OTHERS["xgboost.dask"]),
        (9, "Client(asynchronous=True)"): (
            OTHER,
            "it is `async with AsyncClient(…) as client:`",
        ),
        (10, "cluster.scheduler"): of_scheduler,
        (11, "cluster.workers"): (OTHER, CLUSTER_INSIDES["workers"]),
        (11, "cluster.scheduler"): of_scheduler,
        (12, "client.sync"): (MISSING, CLIENT_INSIDES["sync"]),
        (12, "client.scheduler"): (MISSING, CLIENT_INSIDES["scheduler"]),
        (12, "client.gather"): (SAME, ""),
        (14, 'parallel_backend("dask")'): backend,
        (16, 'parallel_config("dask")'): backend,
        (17, 'Parallel("dask")'): backend,
        (18, 'cross_validation(parallel="dask")'): (OTHER, "client.get_executor()"),
    }
    assert uses("import joblib\njoblib.parallel_backend('dask')")
    assert not any(hasattr(Client, name) for name in CLIENT_INSIDES)
    assert [name for name in CLUSTER_INSIDES if hasattr(LocalCluster, name)] == ["workers"]


def test_options_that_are_missing_are() -> None:
    """What is said not to be there is no parameter of ours."""
    for name, options in OPTIONS.items():
        owner = {"Client": Client, "LocalCluster": LocalCluster}.get(name)
        assert owner is not None or name in CLIENT_METHODS
        call = owner.__init__ if owner is not None else getattr(Client, name)  # type: ignore[misc]
        assert not set(options) & set(inspect.signature(call).parameters), name


def test_a_notebook(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By cell; what IPython alone understands is in nobody's way."""
    cells = [
        {"cell_type": "markdown", "source": ["from distributed import rpc"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "!ls\n", "Client?"]},
        {"cell_type": "code", "source": "from distributed import Client\nclient = Client()"},
        {"cell_type": "code", "source": ["%%bash\n", "echo 'not python"]},
        {"cell_type": "code", "source": ["if client:\n", "    %time client.story()\n"]},
        {"cell_type": "code", "source": ["x = 1\n", "client.story()\n"]},
    ]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}))
    (tmp_path / "b.ipynb").write_text("[]")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".ipynb_checkpoints" / "a.ipynb").write_text(json.dumps({"cells": cells}))
    assert main(["migrate", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert f"{tmp_path / 'a.ipynb'}: cell 5, line 2: client.story: missing\n" in said
    assert "b.ipynb: not read: it is no notebook" in said
    assert "2 uses of dask.distributed in 1 files: 1 the same, 0 in another way, 1 missing" in said


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
