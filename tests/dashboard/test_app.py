"""The application without a socket: routes, their answers, and the stream."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.dashboard.asgi import ask, open_stream
from tests.dashboard.busy import BusyCluster
from trio_dask.comm import keys_from_token
from trio_dask.dashboard import app, dashboard_token, login_ticket
from trio_dask.dashboard.openapi import openapi

if TYPE_CHECKING:
    from trio.testing import MockClock

KEYS = keys_from_token("0123456789abcdef" * 4)
FAR = "192.0.2.7"


class Site:
    """A dashboard over a busy cluster whose clock is the loop's."""

    def __init__(self, *, prefix: str = "", workers: int = 2) -> None:
        self.busy = BusyCluster(workers, failing=0.5, now=trio.current_time())
        self.busy.client()
        self.app = app(self.busy.view, keys=KEYS, prefix=prefix)

    def work(self, seconds: float = 3.0) -> None:
        """Some tasks come and go; the cluster's clock is ahead of ours then."""
        self.busy.submit("clean", 20)
        tasks = self.busy.submit("evaluate", 20)
        self.busy.submit("checksum", 20, tasks)
        self.busy.run(self.busy.now + seconds)

    async def ask(self, path: str, **options: Any) -> Any:
        """See `ask`."""
        return await ask(self.app, path, **options)


@pytest.mark.parametrize(
    "path",
    [
        "/health", "/ready", "/metrics", "/api/v1/openapi.json", "/api/v1/cluster",
        "/api/v1/workers", "/api/v1/workers/node-000-0", "/api/v1/groups", "/api/v1/tasks",
        "/api/v1/tasks?state=done&limit=2", "/api/v1/failures", "/api/v1/clients",
        "/api/v1/events", "/api/v1/graph", "/api/v1/graph?tasks=9&name=clean", "/graph", "/events-log", "/logs",
        "/api/v1/logs", "/api/v1/timeline",
        "/api/v1/profile", "/api/v1/profile?name=clean&since=60&until=10", "/api/v1/stacks", "/api/v1/may",
        "/api/v1/stacks?worker=node-000-1", "/api/v1/adaptive_target", "/api/v1/worker_logs?worker=node-000-0", "/api/v1/task_logs?task=x", "/profile", "/profile/clean",
        "/api/v1/system", "/api/v1/get_workers", "/json/counts.json", "/json/identity.json",
        "/individual-plots.json", "/status", "/workers", "/workers/a", "/tasks", "/tasks/a%2Fb",
        "/failures", "/system", "/login",
    ],
)  # fmt: skip
async def test_every_route_answers(autojump_clock: MockClock, path: str) -> None:
    """Protected as a page should be, kept by nobody."""
    made = Site()
    made.work()
    answer = await made.ask(path)
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    if answer.headers["content-type"] == "application/json":
        assert answer.json


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404), ("/api/v1/workers/nobody", 404), ("/api/v1/tasks/nothing", 404),
        ("/api/v1/tasks?state=odd", 400), ("/api/v1/graph?tasks=x", 400), ("/api/v1/tasks?limit=-1", 400),
        ("/static/x/../../access.py", 404), ("/static/x/__init__.py", 404), ("/static/x/no.js", 404),
        ("/status/", 404), ("/api/v1/profile?since=x", 400), ("/api/v1/worker_logs", 400), ("/api/v1/task_logs", 400),
        ("/api/v1/worker_logs?worker=nobody", 404), ("/api/v1/profile?until=-1", 400),
        ("/api/v1/profile?worker=nobody", 404), ("/api/v1/stacks?worker=nobody", 404),
        ("/api/v1/retire_workers", 405), ("/api/v1/restart", 405), ("/api/v1/restart_workers", 405),
    ],
)  # fmt: skip
async def test_what_is_not_there(autojump_clock: MockClock, path: str, status: int) -> None:
    """Says so."""
    assert (await Site().ask(path)).status == status


@pytest.mark.parametrize(
    ("path", "to"),
    [
        ("/", "./status"), ("/info", "./workers"), ("/info/main/workers.html", "../../workers"),
        ("/info/worker/tcp%3A%2F%2Fa%3A1.html", "../../workers/tcp%3A%2F%2Fa%3A1"),
        ("/info/task/a-1.html", "../../tasks/a-1"), ("/info/main/exceptions.html", "../../failures"),
    ],
)  # fmt: skip
async def test_where_dask_has_it(autojump_clock: MockClock, path: str, to: str) -> None:
    """Old addresses lead to ours, also behind a proxy's prefix."""
    answer = await Site().ask(path)
    assert answer.status == 307
    assert answer.headers["location"] == to


async def test_strangers_get_a_page_to_log_in_and_programs_a_reason(
    autojump_clock: MockClock,
) -> None:
    """And neither gets anything else."""
    made = Site()
    answer = await made.ask("/status", client=FAR, headers={"accept": "text/html"})
    assert answer.status == 401
    assert "<form" in answer.text
    answer = await made.ask("/api/v1/workers", client=FAR)
    assert answer.status == 401
    assert "trio-dask token dashboard" in answer.json["help"]
    assert answer.headers["www-authenticate"] == "Bearer"
    assert (await made.ask("/events", client=FAR)).status == 401
    assert (await made.ask("/health", client=FAR)).status == 200
    token = {"authorization": f"Bearer {dashboard_token(KEYS)}"}
    assert (await made.ask("/metrics", client=FAR, headers=token)).status == 200
    assert (await made.ask("/status", method="POST")).status == 405


async def test_a_link_becomes_a_cookie(autojump_clock: MockClock) -> None:
    """Once; then the browser is known, under a prefix too."""
    from datetime import UTC, datetime

    made = Site(prefix="/dask")
    ticket = login_ticket(KEYS, datetime.now(UTC).timestamp()).encode()
    form = {"content-type": "application/x-www-form-urlencoded"}
    options = {"method": "POST", "client": FAR, "headers": form, "body": b"ticket=" + ticket}
    answer = await made.ask("/dask/login", **options)
    assert answer.status == 303
    cookie = answer.headers["set-cookie"]
    assert "Path=/dask;" in cookie
    known = {"cookie": cookie.partition(";")[0]}
    assert (await made.ask("/dask/status", client=FAR, headers=known)).status == 200
    assert (await made.ask("/status", client=FAR, headers=known)).status == 200
    again = await made.ask("/dask/login", **options)
    assert again.status == 403
    assert "has been used" in again.text
    large = await made.ask("/login", method="POST", client=FAR, body=b"x" * 10_000)
    assert large.status == 413


async def test_a_page_finds_its_files_under_any_prefix(autojump_clock: MockClock) -> None:
    """By relative addresses; with its version a file is kept by the browser."""
    made, text = Site(), ""
    for path, root in (("/status", "./"), ("/tasks/a", "../"), ("/workers/a/b", "../../")):
        text = (await made.ask(path)).text
        assert f'src="{root}static/' in text
        assert "%ROOT%" not in text
        assert not re.search(r"(?:src|href)=\"(?:/|https?:)", text)
    name = re.search(r"static/\w+/app\.js", text)
    assert name is not None
    answer = await made.ask(f"/{name[0]}")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "immutable" in answer.headers["cache-control"]
    packed = await made.ask(f"/{name[0]}", headers={"accept-encoding": "br, gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < len(answer.body)


async def test_metrics_are_what_prometheus_reads(autojump_clock: MockClock) -> None:
    """Each line is a comment or a sample; each sample has a type."""
    made = Site()
    made.work()
    text = (await made.ask("/metrics")).text
    sample = re.compile(r'[a-z_]+(\{[a-z_]+="(?:[^"\\]|\\.)*"\})? [-+.0-9e]+')
    typed = set(re.findall(r"^# TYPE (\w+) (?:counter|gauge)$", text, re.MULTILINE))
    for line in text.splitlines():
        if not line.startswith("#"):
            assert sample.fullmatch(line), line
            assert line.partition("{")[0].partition(" ")[0] in typed
    assert 'trio_dask_scheduler_tasks_runs_total{task_prefix_name="clean"}' in text
    assert 'trio_dask_scheduler_workers{state="idle"}' in text


async def test_grafana_asks_for_what_there_is(autojump_clock: MockClock) -> None:
    """Every name in the file for Grafana is one of our metrics."""
    made = Site()
    made.work()
    text = (await made.ask("/metrics")).text
    board = (Path(__file__).parents[2] / "docs" / "how-to" / "grafana.json").read_text()
    names = set(re.findall(r"(?:trio_dask_scheduler|process_cpu)_\w+", board))
    assert len(names) > 12
    assert {name for name in names if f"# TYPE {name} " not in text} == set()


async def test_answers_are_as_described(autojump_clock: MockClock) -> None:
    """Every field of the description is in the answer, of that type."""
    made = Site()
    made.work()
    made.busy.submit("evaluate", 50)
    kinds = {"string": str, "integer": int, "number": (int, float), "boolean": bool,
             "array": list, "object": dict, "null": type(None)}  # fmt: skip
    document = openapi("1")
    schemas = document["components"]["schemas"]

    def check(value: Any, schema: Any, where: str) -> None:
        schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        assert any(isinstance(value, kinds[each]) for each in names), where  # type: ignore[arg-type]
        for name, inner in schema.get("properties", {}).items():
            if value is not None:
                check(value[name], inner, f"{where}.{name}")
        for each in value if "items" in schema else []:
            check(each, schema["items"], f"{where}[]")
        assert "enum" not in schema or value in schema["enum"]

    for path, methods in document["paths"].items():
        tasks = (await made.ask("/api/v1/tasks?state=assigned")).json["tasks"]
        filled = path.replace("{name}", "node-000-0").replace("{key}", tasks[0]["key"])
        if "post" in methods:
            continue
        needed = {"/api/v1/worker_logs": "?worker=node-000-0", "/api/v1/task_logs": "?task=x"}
        query = needed.get(path, "")
        answer = await made.ask(filled + query)
        schema = methods["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        if path != "/api/v1/workers/{name}":
            check(answer.json, schema, path)
        else:
            assert answer.json["window"]


async def test_dasks_counts(autojump_clock: MockClock) -> None:
    """The numbers that its tools ask for."""
    made = Site()
    made.work(30.0)
    counts = (await made.ask("/json/counts.json")).json
    assert counts["workers"] == 2
    assert counts["cores"] == 4
    assert counts["hosts"] == 1
    assert counts["memory"] + counts["erred"] == counts["tasks"] == 60
    assert (await made.ask("/individual-plots.json")).json["Status"] == "/status"


async def test_a_stream_begins_with_all_and_goes_on_with_what_changes(
    autojump_clock: MockClock,
) -> None:
    """Numbered, so that a viewer can come back."""
    made = Site()
    made.work()
    async with open_stream(made.app) as stream:
        name, first, snapshot = await stream.event()
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert name == "snapshot"
        assert snapshot["v"] == 1
        assert snapshot["totals"]["workers"] == 2
        assert {"clean", "evaluate", "checksum"} <= set(snapshot["groups"]["new"].values())
        made.busy.submit("clean", 7)
        name, second, delta = await stream.event()
        assert name == "delta"
        assert delta["totals"]["tasks"] == snapshot["totals"]["tasks"] + 7
    made.busy.submit("clean", 5)
    async with open_stream(made.app, headers={"last-event-id": str(first)}) as stream:
        third = second
        while delta["totals"].get("tasks") != snapshot["totals"]["tasks"] + 12:
            name, third, delta = await stream.event()
            assert name == "delta"
    assert first < second < third
    assert made.busy._listener is None


async def test_a_quiet_stream_beats(autojump_clock: MockClock) -> None:
    """So a viewer knows that it is not cut off."""
    made = Site()
    async with open_stream(made.app) as stream:
        assert (await stream.event())[0] == "snapshot"
        name, number, beat = await stream.event()
        while name == "delta":  # silent workers are news
            name, number, beat = await stream.event()
        assert (name, number) == ("beat", -1)
        assert beat["t"] >= 5.0


async def test_a_viewer_chooses_how_often(autojump_clock: MockClock) -> None:
    """Seconds between two parts; nonsense is the usual rate."""
    made = Site()

    async def work() -> None:
        while True:
            made.busy.submit("clean", 1)
            await trio.sleep(0.5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(work)
        for every, most in (("10", 3), ("nan", 50), ("-1", 50), ("x", 50)):
            async with open_stream(made.app, f"/events?every={every}") as stream:
                told = 0
                with trio.move_on_after(20):
                    while True:
                        await stream.event()
                        told += 1
                assert (told <= most) == (told < 10 or most == 50), (every, told)
        nursery.cancel_scope.cancel()


async def test_a_viewer_that_does_not_read_holds_nobody_up(autojump_clock: MockClock) -> None:
    """The others hear as ever; when it reads again, it gets one difference or a new picture."""
    made = Site()
    async with open_stream(made.app) as stalled, open_stream(made.app) as other:
        await stalled.event()
        await other.event()
        stalled.reads = trio.Event()
        for _ in range(100):
            made.busy.submit("clean", 1)
            await other.event()
        stalled.reads.set()
        seen = []
        while True:
            seen.append(await stalled.event())
            if seen[-1][2].get("totals", {}).get("tasks") == len(made.busy.core.state.tasks):
                break
        assert len(seen) <= 3


async def test_what_it_cannot_be_told_of_odd_text(autojump_clock: MockClock) -> None:
    """Keys and names may hold halves of characters."""
    from trio_dask.messages import tasks as words

    made = Site()
    made.busy.tell(
        1, words.Submit(made.busy._next, [made.busy._first], [b"x"], [], [], ["\ud800 <b>"], [],
                        wanted=True, options={}),
    )  # fmt: skip
    answer = await made.ask("/api/v1/tasks?text=<b>")
    assert answer.json["tasks"][0]["key"] == "\ufffd <b>"


def test_the_pages_are_light() -> None:
    """All of it together, as it is sent: it loads at once, on any connection."""
    import gzip
    from importlib.resources import files

    content = [each.read_bytes() for each in (files("trio_dask.dashboard") / "static").iterdir()]
    assert sum(len(gzip.compress(each)) for each in content) < 60_000
    assert not any(b"//cdn" in each or b"https://" in each for each in content)


async def test_it_mounts_into_another_application(autojump_clock: MockClock) -> None:
    """Under a path of its own, by whoever checks who comes."""
    from starlette.applications import Starlette
    from starlette.routing import Mount

    outer = Starlette(routes=[Mount("/here", app(Site().busy.view))])
    answer = await ask(outer, "/here/api/v1/cluster", client=FAR)
    assert answer.json["workers"] == 2
    assert json.loads((await ask(outer, "/here/json/counts.json")).body)["workers"] == 2
