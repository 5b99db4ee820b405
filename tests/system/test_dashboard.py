"""The dashboard of real clusters: where it is, who may see it, and how it ends."""

from __future__ import annotations

import json
import signal
import socket
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pytest
import trio

from tests.system.conftest import Command
from trio_dask import AsyncClient, Client, LocalCluster
from trio_dask.comm import keys_from_token
from trio_dask.config import new_token
from trio_dask.dashboard import dashboard_token

pytestmark = [pytest.mark.processes, pytest.mark.network]


def get(link: str, **headers: str) -> bytes:
    """What is there."""
    request = urllib.request.Request(link, headers=headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        content: bytes = answer.read()
        return content


def inc(x: int) -> int:
    """A task that ends well."""
    return x + 1


def fail(x: int) -> int:
    """And one that does not."""
    raise LookupError(x)


def test_a_scheduler_says_where_it_is_and_ends_whoever_looks() -> None:
    """With a viewer that does not read, one signal is enough; the exit code is 0."""
    token = new_token()
    scheduler = Command(
        "scheduler", "--host", "127.0.0.1", "--port", "0",
        "--dashboard-address", ":0", "--dashboard-prefix", "/dask/", token=token,
    )  # fmt: skip
    link = scheduler.wait_for("dashboard at:")
    assert link.startswith("http://127.0.0.1:")
    assert link.endswith("/dask/status")
    root = link.removesuffix("dask/status")
    assert get(f"{root}health") == b"ok"
    assert b"<!doctype html>" in get(link)
    bearer = dashboard_token(keys_from_token(token))
    proxied = {"X-Forwarded-For": "192.0.2.7", "Authorization": f"Bearer {bearer}"}
    assert json.loads(get(f"{root}api/v1/cluster", **proxied))["workers"] == 0
    place = urlsplit(link)
    with socket.create_connection((place.hostname or "", place.port or 0)) as viewer:
        viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        viewer.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        viewer.recv(1)
        assert scheduler.end(signal.SIGTERM) == 0
    assert not any("rror" in line for line in scheduler.lines)


def test_a_scheduler_without_a_dashboard() -> None:
    """Has no port for it, and says nothing of it."""
    scheduler = Command(
        "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", token=new_token()
    )
    scheduler.wait_for("Scheduler at:")
    assert scheduler.end() == 0
    assert not any("dashboard" in line for line in scheduler.lines)


@pytest.mark.parametrize("processes", [True, False])
def test_a_local_cluster_shows_what_it_does(processes: bool) -> None:
    """Clients know the link, too; what has failed can be read there when it is forgotten."""
    with LocalCluster(1, 1, processes=processes, dashboard_address=":0") as cluster:
        link = cluster.dashboard_link
        root = link.removesuffix("status")
        with Client(cluster) as client:
            assert client.dashboard_link == link
            assert client.gather(client.map(inc, range(50)))[-1] == 50
            failing = client.submit(fail, 7, key="seven")
            with pytest.raises(LookupError):
                failing.result()
            groups = json.loads(get(f"{root}api/v1/groups"))["groups"]
            assert {each["name"]: each["runs"] for each in groups} == {"inc": 50, "fail": 1}
            task = json.loads(get(f"{root}api/v1/tasks/seven"))
            assert task["failure"]["kind"] == "LookupError"
        (failure,) = json.loads(get(f"{root}api/v1/failures"))["failures"]
        assert (failure["key"], failure["message"]) == ("seven", "7")
        assert failure["worker"] == "local-0"
        assert "raise LookupError(x)" in failure["traceback"]
    with pytest.raises(urllib.error.URLError):
        get(link)


def test_a_local_cluster_without_a_dashboard() -> None:
    """As in Dask."""
    with LocalCluster(0, 1, dashboard_address=None) as cluster:
        assert cluster.dashboard_link == ""
        with Client(cluster) as client:
            assert client.dashboard_link == ""


async def test_an_async_client_knows_the_link_as_well() -> None:
    """As soon as the scheduler has answered something."""
    async with AsyncClient(n_workers=1, dashboard_address="127.0.0.1:0") as client:
        assert await client.submit(inc, 1) == 2
        assert client.dashboard_link.endswith("/status")
        answer = await trio.to_thread.run_sync(get, client.dashboard_link.removesuffix("status"))
        assert b"<!doctype html>" in answer
