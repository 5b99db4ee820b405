"""The page and the metrics of a worker's process."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.dashboard.asgi import ask
from trio_dask.comm import keys_from_token
from trio_dask.dashboard import dashboard_token
from trio_dask.dashboard.worker_app import worker_app

if TYPE_CHECKING:
    from trio.testing import MockClock

KEYS = keys_from_token("0123456789abcdef" * 4)
FAR = "192.0.2.7"


class Process:
    """Two workers: one at work, one without a process for tasks."""

    def workers(self) -> list[dict[str, Any]]:
        books = {"in_runner": 3, "waiting": 1, "held": 7, "requests": 2, "unanswered": 0}
        busy = {"pid": 77, "rss": 5 << 20, "cpu_s": 1.5}
        rest = {"address": "tcp://192.0.2.1:4000", "nthreads": 2, "leaving": False, "books": books}
        return [
            {"name": "w-0", "running": 2, "runner": busy, **rest},
            {"name": '<b>"odd"</b>', "running": 0, "runner": {}, **rest},
        ]

    def process(self) -> dict[str, Any]:
        return {"scheduler": "tcp://192.0.2.10:8786", "store_bytes": 1 << 20, "pid": 7, "host": "h"}

    def logs(self, now: float) -> list[dict[str, Any]]:
        return [{"ago_s": 3.2, "level": "INFO", "logger": "x", "text": "<script>alert(1)</script>"}]


APP = worker_app(Process(), keys=KEYS)


@pytest.mark.parametrize(
    "path", ["/health", "/metrics", "/status", "/api/v1/workers", "/api/v1/logs"]
)
async def test_every_route_answers(autojump_clock: MockClock, path: str) -> None:
    """On this machine, and elsewhere with the dashboard's token; health is for everybody."""
    answer = await ask(APP, path)
    assert answer.status == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert (await ask(APP, path, client=FAR)).status == (200 if path == "/health" else 401)
    token = {"authorization": f"Bearer {dashboard_token(KEYS)}"}
    assert (await ask(APP, path, client=FAR, headers=token)).status == 200
    assert (await ask(APP, path, method="POST")).status == 405


async def test_the_page_is_text(autojump_clock: MockClock) -> None:
    """Whatever workers are called and log; it needs no script for that, and finds its files."""
    assert (await ask(APP, "/")).headers["location"] == "./status"
    page = (await ask(APP, "/status")).text
    assert re.findall(r"<script.*?</script>", page) == re.findall(
        r'<script type="module" src="\./static/\w+/again\.js"></script>', page
    )
    assert "&lt;script&gt;alert(1)" in page
    assert "&lt;b&gt;&quot;odd&quot;" in page
    assert "2 of 2" in page
    assert "5 MiB" in page
    [css] = re.findall(r'href="\./(static/[^"]+\.css)"', page)
    assert (await ask(APP, f"/{css}")).status == 200


async def test_metrics(autojump_clock: MockClock) -> None:
    """By worker; what is not known is not there."""
    text = (await ask(APP, "/metrics")).text
    assert 'trio_dask_worker_tasks_running{worker="w-0"} 2\n' in text
    assert 'trio_dask_worker_runner_memory_bytes{worker="w-0"} 5242880\n' in text
    assert 'trio_dask_worker_threads{worker="<b>\\"odd\\"</b>"} 2\n' in text
    assert text.count("trio_dask_worker_runner_cpu_seconds{") == 1
    assert "trio_dask_worker_store_bytes 1048576\n" in text
    for line in text.splitlines():
        assert re.fullmatch(r"# (HELP|TYPE) .+|[a-z_]+(\{worker=\".+\"\})? [0-9.e+]+", line), line


async def test_json(autojump_clock: MockClock) -> None:
    """The same for programs."""
    found = (await ask(APP, "/api/v1/workers")).json
    assert [each["name"] for each in found["workers"]] == ["w-0", '<b>"odd"</b>']
    assert found["pid"] == 7
    assert (await ask(APP, "/api/v1/logs")).json["lines"][0]["level"] == "INFO"
