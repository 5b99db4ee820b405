"""A cluster on one screen, and a task in words."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest

from trio_dask import Client, Future, LocalCluster
from trio_dask.cli import main
from trio_dask.cli.status import screen


def worker(name: str, **changed: Any) -> dict[str, Any]:
    """What is told of a worker."""
    told = {
        "name": name, "status": "running", "nthreads": 2, "processing": 3, "in_memory": 4,
        "memory_limit": 1 << 30, "metrics": {"store_bytes": 1 << 20, "runner": {"rss": 1 << 20}},
    }  # fmt: skip
    return told | changed


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("count", [0, 1, 100])
def test_it_fits(columns: int, count: int) -> None:
    """No line is longer than the terminal, and all of it is one screen."""
    workers = {f"tcp://192.0.2.1:{n}": worker(f"a-rather-long-name-{n}") for n in range(count)}
    info = {
        "n_workers": count, "total_threads": 2 * count, "total_memory": count << 30,
        "clients": 1, "workers": workers, "dashboard": "http://192.0.2.1:8787/status",
    }  # fmt: skip
    lines = screen("tcp://192.0.2.1:8786", info, {"ready": 12_345, "done": 7}, columns)
    assert all(len(line) <= columns for line in lines)
    assert len(lines) <= 23
    assert "12,345 ready" in "\n".join(lines)
    assert ("… and 85 more" in lines) == (count == 100)


def test_what_matters_least_goes_first() -> None:
    """Of the columns, where there is not enough room: memory stays longer than addresses."""

    def table(columns: int, name: str, address: str = "tcp://192.0.2.1:40000") -> list[str]:
        info = {"n_workers": 1, "workers": {address: worker(name)}}
        head, row = screen("tcp://192.0.2.1:8786", info, {}, columns)[-2:]
        assert len(row) <= columns
        return [*head.split(), row]

    *head, row = table(100, "w-0")
    assert head == ["worker", "state", "threads", "tasks", "values", "memory", "address"]
    *head, _ = table(100, "tcp://192.0.2.1:40000")  # which says its address already
    assert head == ["worker", "state", "threads", "tasks", "values", "memory"]
    *head, _ = table(60, "tcp://192.0.2.1:40000")
    assert head == ["worker", "state", "tasks", "memory"]
    *head, row = table(60, "x" * 100)
    assert head[:2] == ["worker", "state"]
    assert row.startswith(f"{'x' * 29}…  running")


@pytest.mark.network
def test_logs(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The last lines, the newest last, for people and for programs."""
    caplog.set_level(logging.WARNING, "trio_dask")  # whatever a command has set in this process
    said = logging.getLogger("trio_dask.worker")
    monkeypatch.setattr(said, "disabled", False)
    with LocalCluster(2, 1, processes=False, dashboard_address=None, name="w") as cluster:
        monkeypatch.setenv("TRIO_DASK_TOKEN", cluster.token)
        address = cluster.scheduler_address
        said.warning("the first")
        said.warning("the second")
        assert main(["logs", address, "w-1", "-n", "2"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.rpartition(" - ")[2] for line in lines] == ["the first", "the second"]
        assert main(["logs", address]) == 0
        shown = capsys.readouterr().out
        assert all(f"{name} {place}" in shown for name, place in cluster.workers.items())
        assert main(["logs", address, "--json", "-n", "1"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert [each[-1][0] for each in found.values()] == ["WARNING"] * 2
        gone = cluster.workers["w-1"]
        ask = Client.get_worker_logs

        def only_some(*args: Any) -> Any:
            return {each: lines for each, lines in ask(*args).items() if each != gone}

        with monkeypatch.context() as patch:
            patch.setattr(Client, "get_worker_logs", only_some)
            assert main(["logs", address]) == main(["logs", address, gone]) == 1
            told = capsys.readouterr()
            assert "the second" in told.out
            assert told.err == 2 * "trio-dask: no answer from w-1: hung, stopped, or cut off\n"
            assert main(["logs", address, "w-0"]) == 0
        assert main(["logs", address, "nobody"]) == 1
        assert "nobody" in capsys.readouterr().err
        assert main(["logs", address, "-n", "0"]) == 2


@pytest.mark.network
def test_a_running_cluster(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For people and for programs; and why a task does not run."""
    with LocalCluster(1, 1, processes=False, dashboard_address=None) as cluster:
        monkeypatch.setenv("TRIO_DASK_TOKEN", cluster.token)
        address = cluster.scheduler_address
        with Client(cluster) as client:
            done: Future[int] = client.submit(pow, 2, 3, key="cube")
            done.result()
            stuck: Future[int] = client.submit(abs, 1, resources={"GPU": 1}, key="stuck")
            client.flush()
            assert client.task_counts()["done"] == 1
            assert main(["status", address]) == 0
            shown = capsys.readouterr().out
            assert f"Scheduler:  {address}\n" in shown
            assert "1 worker, 1 thread," in shown
            assert ", 1 client\n" in shown
            assert "local-0" in shown
            assert re.search(r"^Work for:   \d workers?$", shown, re.MULTILINE)
            assert main(["status", address, "--json"]) == 0
            told = json.loads(capsys.readouterr().out)
            assert told["adaptive_target"] in {0, 1}
            assert (told["address"], told["n_workers"], told["tasks"]["done"]) == (address, 1, 1)
            assert main(["why", address, "stuck"]) == 0
            assert "GPU" in capsys.readouterr().out
            assert main(["why", address, "stuck", "--json"]) == 0
            assert json.loads(capsys.readouterr().out)["key"] == "stuck"
            assert main(["why", address, "nobody"]) == 1
            stuck.cancel()
    assert main(["status", "no address"]) == 2
