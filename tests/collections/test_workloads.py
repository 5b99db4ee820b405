"""The realistic jobs of `examples/` give what threads give; with little to do, to see that they work."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("dask.dataframe", reason="the jobs are made with Dask's collections")

import dask
import trio

from trio_dask import Client, LocalCluster

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[2] / "examples"
COLLECTIONS = ["groupby", "merge", "climatology", "overlap", "kmeans", "wordcount", "many_tasks"]
PROGRAMS = {"climatology_xarray": "xarray", "sweep": "sklearn", "search": "", "service": ""}


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Two workers in this process."""
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False) as made:
        yield made


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that runs all of them, which are beside it."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    jobs = importlib.import_module("collections_workloads")
    monkeypatch.setattr(jobs, "SMALL", True)
    yield importlib.import_module("eight_workloads")
    for name in ("collections_workloads", "eight_workloads", "program_workloads", "web_service"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", COLLECTIONS)
def test_a_job_with_collections(
    examples: Any, cluster: LocalCluster, tmp_path: Path, name: str
) -> None:
    """The same checksum."""
    examples.make_parquet(tmp_path)
    with dask.config.set({"scheduler": "threads", "dataframe.shuffle.method": "tasks"}):
        expected = examples.JOBS[name](tmp_path)
    with Client(cluster):
        assert examples.JOBS[name](tmp_path) == expected


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_job_of_a_program(examples: Any, cluster: LocalCluster, name: str) -> None:
    """The same checksum."""
    if PROGRAMS[name]:
        pytest.importorskip(PROGRAMS[name], reason="the job is made with it")
    job = examples.PROGRAMS[name]
    with dask.config.set({"scheduler": "threads"}):
        expected = job("threads", None, small=True)
    with Client(cluster) as client:
        assert job("trio_dask", client, small=True) == expected


def test_all_eight_are_there(examples: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """And a checksum that differs is seen."""
    assert len(examples.ALL) == 8
    assert {*examples.ALL} <= {*examples.JOBS, *examples.PROGRAMS}
    good = {"job": {"threads": (0.5, {1.0}), "trio_dask": (0.25, {1.0})}}
    assert examples.show(good, ["threads", "trio_dask"])
    assert "0.50s" in capsys.readouterr().out
    assert not examples.show({"job": {"threads": (0.5, {1.0, 2.0})}}, ["threads"])


async def test_the_web_service(
    examples: Any, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers as long as it is served, with a client of its own."""
    monkeypatch.setenv("TRIO_DASK_SCHEDULER_ADDRESS", cluster.scheduler_address)
    monkeypatch.setenv("TRIO_DASK_TOKEN", cluster.token)
    web = sys.modules["web_service"]
    service = web.app()
    with trio.fail_after(60):
        async with service.router.lifespan_context(service):
            found = json.loads(await web.asked(service, "/factors/360"))
            assert found == {"number": 360, "factors": [2, 2, 2, 3, 3, 5]}
            refused = json.loads(await web.asked(service, f"/factors/{1 << 60}"))
            assert "too long" in refused["error"]
