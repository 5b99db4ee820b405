"""The realistic jobs of `examples/` give what threads give; with little to do, to see that they work."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("dask.dataframe", reason="the jobs are made with Dask's collections")

import dask
import trio

from trio_dask import AsyncClient, Client, LocalCluster, check_cancelled

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


def test_schedulers_take_turns(
    examples: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each job as often on each of them, in turns, and Dask computes where it says."""
    ran: list[tuple[str, str]] = []

    def job(_folder: Path) -> float:
        chosen = dask.config.get("scheduler")
        ran.append((chosen if isinstance(chosen, str) else "a client", str(_folder)))
        return float(dask.delayed(sum)([1, 2]).compute())

    monkeypatch.setattr(examples, "JOBS", {"job": job})
    monkeypatch.setattr(examples, "_TRIED_S", 0.0)
    found = examples.measure(["job"], ["threads", "trio_dask"], tmp_path, small=True)
    assert ran == [("threads", str(tmp_path)), ("a client", str(tmp_path))] * 2
    assert {where: sums for where, (_, sums) in found["job"].items()} == {
        "threads": {3.0},
        "trio_dask": {3.0},
    }
    assert dask.config.get("scheduler", None) is None


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


async def test_a_visitor_who_leaves_the_web_service(
    examples: Any, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What he has asked for is stopped on the cluster; the next one is served."""
    monkeypatch.setenv("TRIO_DASK_SCHEDULER_ADDRESS", cluster.scheduler_address)
    monkeypatch.setenv("TRIO_DASK_TOKEN", cluster.token)
    web = sys.modules["web_service"]
    monkeypatch.setattr(web, "factors", forever)
    service = web.app()
    messages, said = trio.open_memory_channel[dict[str, Any]](2), list[Any]()

    async def send(message: Any) -> None:
        said.append(message)

    with trio.fail_after(60):
        async with (
            service.router.lifespan_context(service),
            AsyncClient(cluster.scheduler_address) as client,
            trio.open_nursery() as nursery,
        ):
            scope = {"type": "http", "method": "GET", "path": "/factors/7", "headers": []}
            await messages[0].send({"type": "http.request", "body": b"", "more_body": False})
            nursery.start_soon(service, scope, messages[1].receive, send)
            for count in (1, 0):
                while True:
                    if (await client.task_counts())["assigned"] == count:
                        break
                await messages[0].send({"type": "http.disconnect"})
    assert said[0]["status"] == 499


def forever(number: int) -> list[int]:
    """Factors that take too long, until they are not wanted any more."""
    while True:
        check_cancelled()


@pytest.mark.parametrize("name", ["shuffle", "set_index", "merge", "rechunk"])
def test_a_shuffle(monkeypatch: pytest.MonkeyPatch, cluster: LocalCluster, name: str) -> None:
    """Of more parts than Dask shuffles at once, so in two stages: the same checksum as in threads."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    shuffles = importlib.import_module("shuffles")
    job, parts, part_bytes = shuffles.JOBS[name], 35, 40_000
    with dask.config.set({"scheduler": "threads", "dataframe.shuffle.method": "tasks"}):
        expected = job(parts, part_bytes)
    with Client(cluster):
        assert job(parts, part_bytes) == expected


def test_a_shuffle_that_loses_rows_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checksum is another one where a key is in two parts, or a row in none."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    shuffles = importlib.import_module("shuffles")
    with dask.config.set({"scheduler": "threads", "dataframe.shuffle.method": "tasks"}):
        right = shuffles.shuffle(4, 40_000)
        assert shuffles._summed(shuffles.frame(4, 40_000)) != right
        assert shuffles._summed(shuffles.frame(4, 39_960).shuffle("key")) != right


def test_the_script_for_shuffles(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each job, with a time, a size and the checksum; it ends well."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    shuffles = importlib.import_module("shuffles")
    arguments = ["--parts", "3", "--part-bytes", "4000", "--ways", "trio_dask"]
    assert shuffles.main([*arguments, "--jobs", "rechunk", "shuffle"]) == 0
    _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["rechunk", "shuffle"]
    assert all(re.fullmatch(r"\w+ +\d+\.\d\d s +\d+ MiB   \d+", line) for line in lines)
