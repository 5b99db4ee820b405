"""The pages in a real browser: they load, live, and say when they are cut off."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from tests.dashboard import browser
from tests.dashboard.busy import BusyCluster
from trio_dask.comm import keys_from_token
from trio_dask.dashboard import DashboardOptions, login_ticket, run_dashboard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.dashboard.browser import Chromium, Page
    from trio_dask.dashboard.view import View

ROOT = Path(__file__).parents[2]
KEYS = keys_from_token("0123456789abcdef" * 4)
PAGES = [
    "status",
    "workers",
    "tasks",
    "graph",
    "profile",
    "failures",
    "events-log",
    "logs",
    "system",
]
LIVE = "document.getElementById('link').dataset.state === 'live'"
LOST = "document.getElementById('link').dataset.state === 'lost'"
SHOWN = "document.querySelector('main > div')"
#: What the reference shows, until something has come after the first event.
SHOWN_CODE = re.search(
    r"```js\n(.*?)```", (ROOT / "docs/reference/web.md").read_text(encoding="utf-8"), re.DOTALL
)
assert SHOWN_CODE is not None
READER = f"""new Promise((resolve) => {{
  {SHOWN_CODE[1].replace("http://localhost:8787", "")}
  source.addEventListener("delta", () => {{ source.close(); resolve(totals); }});
}})"""

pytestmark = browser.IN_A_BROWSER


class Site:
    """A busy cluster with a dashboard that can be stopped and started."""

    def __init__(self, nursery: trio.Nursery, busy: BusyCluster, view: View) -> None:
        self.nursery = nursery
        self.busy = busy
        self.view = view
        #: How much of its time passes at once, seconds.
        self.step_s = 0.05
        self.port = 0
        self._serving: trio.CancelScope | None = None

    async def start(self) -> None:
        """Be there, at the same port as before."""
        options = DashboardOptions(address=f"127.0.0.1:{self.port}")
        self._serving = scope = trio.CancelScope()

        async def run(*, task_status: trio.TaskStatus[Any]) -> None:
            with scope:
                await run_dashboard(self.view, KEYS, options, task_status=task_status)

        self.port = (await self.nursery.start(run)).port

    def stop(self) -> None:
        """Be gone."""
        assert self._serving is not None
        self._serving.cancel()

    async def work(self) -> None:
        """Until cancelled."""
        while True:
            if self.busy.view.totals()["queued"] < 20 and self.busy._first:
                self.busy.submit("clean", 50)
            self.busy.run(trio.current_time(), self.step_s)
            await trio.sleep_until(trio.current_time() + 0.02)  # a cluster has a time of its own

    def at(self, path: str) -> str:
        """The address of a page."""
        return f"http://127.0.0.1:{self.port}/{path}"


@asynccontextmanager
async def open_site(
    chromium: Chromium,
    workers: int = 3,
    *,
    tasks: bool = True,
    past_s: float = 0.0,
    view: Callable[[View], View] | None = None,
) -> AsyncIterator[tuple[Site, Page]]:
    """A cluster at work, for so long already, and a browser that can look at it."""
    busy = BusyCluster(workers, failing=0.02, now=trio.current_time() - past_s)
    if tasks:
        busy.client()
    async with browser.open_browser(chromium) as opened, trio.open_nursery() as nursery:
        site = Site(nursery, busy, view(busy.view) if view else busy.view)
        await site.start()
        nursery.start_soon(site.work)
        yield site, await opened.page()
        nursery.cancel_scope.cancel()


async def test_light_and_dark_are_two_looks(chromium: Chromium) -> None:
    """As the system says, and as the button says."""
    paper = "getComputedStyle(document.body).backgroundColor"
    async with open_site(chromium) as (site, page):
        await page.look(dark=False)
        await page.open(site.at("status"))
        light = await page.run(paper)
        await page.look(dark=True)
        assert await page.run(paper) != light
        await page.press("t")
        assert await page.run(paper) == light
        await page.open(site.at("workers"))
        assert await page.run(paper) == light
        assert page.complaints == []


async def test_numbers_change_while_work_is_done(chromium: Chromium) -> None:
    """What is shown is what the scheduler knows, moments ago."""
    ran = "Number(document.querySelector('.tile .note').innerText.replace(/\\D/g, ''))"
    async with open_site(chromium) as (site, page):
        await page.open(site.at("status"))
        first = await page.wait_for(f"{ran} > 0 && {ran}")
        second = await page.wait_for(f"{ran} > {first} && {ran}")
        assert first < second <= site.busy.core.state.finished_ever
        await page.wait_for("document.querySelector('.groups').innerText.includes('clean')")
        label = "document.querySelector('.stream').ariaLabel"
        assert "tasks ended" in await page.wait_for(f"!{label}.startsWith('0 ') && {label}")
        drawn = (
            "(() => { const canvas = document.querySelector('.stream'); const { data } = "
            "canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height); "
            "return new Set(new Uint32Array(data.buffer)).size; })()"
        )
        assert await page.run(drawn) > 4
        # Another reader of the same stream, as the reference has it.
        known = await page.run(READER)
        assert known["tasks"] >= known["finished"] > second
        assert page.complaints == []


async def test_a_lost_connection_shows_and_comes_back(chromium: Chromium) -> None:
    """With the last that was known in the meantime, and without a reload."""
    async with open_site(chromium) as (site, page):
        await page.open(site.at("status"))
        await page.wait_for(LIVE)
        await page.run("window.same = true")
        site.stop()
        await page.wait_for(LOST)
        banner = "document.getElementById('banner')"
        text = await page.wait_for(f"!{banner}.hidden && {banner}.innerText")
        assert re.match(r"The connection was lost .+ ago\.", text)
        assert await page.run("document.body.classList.contains('stale')")
        assert await page.run("document.querySelector('.tile').innerText.length > 5")
        await site.start()
        await page.wait_for(LIVE)
        await page.wait_for(f"{banner}.innerText.includes('Connected again')")
        assert await page.run("window.same && !document.body.classList.contains('stale')")


async def test_by_keyboard_alone(chromium: Chromium) -> None:
    """Pages by number, a search by its key, links by tabulator, help."""
    async with open_site(chromium) as (site, page):
        await page.open(site.at("status"))
        await page.wait_for(LIVE)
        for number, name in enumerate(PAGES, 1):
            await page.press(str(number))
            current = "document.querySelector('.tab[aria-current]').innerText.trim().toLowerCase()"
            assert (await page.run(current)).startswith(name.removesuffix("-log"))
        await page.press("2")
        await page.press("/")
        assert await page.run("document.activeElement.type") == "search"
        await page.press("x")
        await page.wait_for("document.querySelector('.tools p').innerText.startsWith('0 of 3')")
        await page.press("Escape")
        await page.press("?")
        assert await page.run("document.getElementById('keys').open")
        await page.press("Escape")
        await page.press("1")
        await page.press("Tab")
        seen = set()
        for _ in range(40):
            outline = "getComputedStyle(document.activeElement).outlineStyle"
            assert await page.run(
                f"document.activeElement === document.body || {outline} !== 'none'"
            )
            seen.add(
                await page.run(
                    "document.activeElement.innerText || document.activeElement.ariaLabel"
                )
            )
            await page.press("Tab")
        assert {"All functions", "30 s", "Table"} <= seen
        assert page.complaints == []


async def test_where_time_goes(chromium: Chromium) -> None:
    """A tree to go into, by pointer and by keys; a table of the same; functions and windows."""
    note = "document.querySelector('main .lead').innerText"
    chosen = "document.querySelector('.flame-box + p').innerText"
    async with open_site(chromium) as (site, page):
        await page.look(1200)
        await page.open(site.at("profile"))
        await page.wait_for(f"{note}.includes('seen on 3 workers since')")
        assert "looks in all" in await page.run(chosen)
        rows = "[...document.querySelectorAll('main tbody tr')].map((row) => row.innerText)"
        assert any("Tokenizer.words" in each for each in await page.run(rows))
        await page.run("document.querySelector('.flames').focus()")
        for key, what in (
            ("ArrowDown", "train_model"),
            ("Enter", "train_model"),
            ("Escape", "looks"),
        ):
            await page.press(key)
            assert what in await page.run(chosen)
        await page.run("document.querySelectorAll('.chips button')[2].click()")
        await page.wait_for(f"{note}.includes('in the last 1 min')")
        select = "document.getElementById('profile-of')"
        await page.run(f"{select}.value = 'clean'; {select}.dispatchEvent(new Event('change'))")
        await page.wait_for(f"{note}.includes('of clean seen on')")
        assert await page.run("location.pathname") == "/profile/clean"
        found = await page.run(rows)
        assert any("astype" in each for each in found)
        assert not any("Tokenizer" in each for each in found)
        assert page.complaints == []


async def test_what_tasks_are_doing(chromium: Chromium) -> None:
    """On the page of a worker and of a task: the calls, the last at a glance, all when opened."""
    async with open_site(chromium) as (site, page):
        site.busy.stuck.add("train_model")
        tid = site.busy.submit("train_model", 1)[0]
        await page.open(site.at(f"tasks/train_model-{tid:x}"))
        calls = "document.querySelector('.stack-row pre').innerText"
        assert "lbfgsb" in await page.wait_for(
            f"document.querySelector('.stack-row pre') && {calls}"
        )
        text = "document.querySelector('main').innerText"
        await page.wait_for(f"{text}.includes('17 lines before') && {text}.includes('2 rows are')")
        for worker in ("node-000-0", "node-000-1"):
            await page.open(site.at(f"workers/{worker}"))
            await page.wait_for("document.querySelector('.stack-row summary')")
        await page.wait_for(f"{text}.includes('loss 0.411') && {text}.includes('Registered to')")
        assert page.complaints == []


async def test_orders_are_for_those_who_may_give_them(chromium: Chromium) -> None:
    """No buttons without the link for control; with it they ask first, and do it then."""
    buttons = (
        "[...document.querySelectorAll('.orders:not([hidden]) button')].map((e) => e.innerText)"
    )
    async with open_site(chromium) as (site, page):
        site.busy.stuck.add("train_model")
        tid = site.busy.submit("train_model", 1)[0]
        path = f"tasks/train_model-{tid:x}"
        await page.open(site.at("system"))
        await page.wait_for(
            "document.querySelector('main').innerText.includes('token link --control')"
        )
        await page.open(site.at(path))
        await page.wait_for("document.querySelector('.stack-row')")
        assert await page.run(buttons) == []
        ticket = login_ticket(KEYS, datetime.now(UTC).timestamp(), control=True)
        await page.open(site.at(f"login#ticket={ticket}"))
        await page.wait_for(f"location.pathname === '/status' && {LIVE}")
        await page.open(site.at(path))
        await page.wait_for(f"{buttons}.includes('Cancel it')")
        dialog, click = (
            "document.querySelector('dialog.order[open]')",
            "document.querySelector('.orders button').click()",
        )
        await page.run(click)
        assert await page.run(f"{dialog}.open && document.activeElement.innerText") == "No, go back"
        await page.press("Escape")
        assert tid not in site.busy.core.state.cancelling
        await page.run(f"{click}; {dialog}.querySelector('.danger').click()")  # at once
        await page.wait_for("document.querySelector('.orders').innerText.includes('being stopped')")
        assert tid in site.busy.core.state.cancelling
        await page.open(site.at("workers/node-000-0"))
        await page.wait_for(f"{buttons}.includes('Retire it')")
        await page.open(site.at("system"))
        await page.wait_for(f"{buttons}.includes('Forget all tasks')")
        assert page.complaints == []


async def test_a_task_says_why(chromium: Chromium) -> None:
    """Found by its key, from its page to its inputs."""
    async with open_site(chromium, 1) as (site, page):
        first = site.busy.submit("train_model", 40)
        waiting = site.busy.submit("evaluate", 40, first)[-1]
        await page.open(site.at(f"tasks?text=evaluate-{waiting:x}"))
        await page.wait_for("document.querySelector('main table a.key')")
        await page.run("document.querySelector('main table a.key').click()")
        text = await page.wait_for(
            "document.querySelector('.why') && document.querySelector('.why').innerText"
        )
        assert "waits for 1 input" in text
        await page.run("document.querySelector('.card.flush a.key').click()")
        await page.wait_for("document.querySelector('h1').innerText.startsWith('train_model')")
        await page.wait_for(
            "document.querySelector('.why') && document.querySelector('.why').innerText.length > 20"
        )
        await page.run("history.back()")
        await page.wait_for("document.querySelector('h1').innerText.startsWith('evaluate')")
        assert page.complaints == []


async def test_a_graph_shows_who_takes_whose_values(chromium: Chromium) -> None:
    """By function with progress, left to right; and task by task."""
    async with open_site(chromium, 1) as (site, page):
        first = site.busy.submit("train_model", 40)
        site.busy.submit("evaluate", 40, first)
        await page.open(site.at("graph"))
        left = "Object.fromEntries([...document.querySelectorAll('.node')].map((e) => [e.title, e.offsetLeft]))"
        await page.wait_for("document.querySelectorAll('.node').length >= 2")
        found = await page.run(left)
        assert found["train_model"] < found["evaluate"]
        assert await page.run("document.querySelectorAll('.sheet path').length") >= 1
        await page.run("[...document.querySelectorAll('.chips button')][1].click()")
        label = "document.querySelector('canvas.dots').ariaLabel"
        assert "tasks and what they take" in await page.wait_for(label)
        assert page.complaints == []


async def test_events_are_filtered(chromium: Chromium) -> None:
    """By kind, and by words."""
    async with open_site(chromium, 3) as (site, page):
        site.busy.leave(10)
        await page.open(site.at("events-log"))
        rows = "document.querySelectorAll('tbody tr').length"
        await page.wait_for(f"{rows} >= 5")
        await page.run(
            "(() => { const f = document.querySelector('input[type=search]');"
            "f.value = 'it died'; f.dispatchEvent(new Event('input')); })()"
        )
        assert await page.run(rows) == 1
        assert page.complaints == []


async def test_failures_have_their_tracebacks(chromium: Chromium) -> None:
    """Those that are alike together."""
    async with open_site(chromium) as (site, page):
        site.busy.failing = 1.0
        site.busy.submit("clean", 30)
        await page.open(site.at("failures"))
        card = "document.querySelector('.failure')"
        text = await page.wait_for(f"{card} && {card}.innerText")
        assert "ValueError" in text
        await page.run(f"{card}.querySelector('summary').click()")
        assert "could not convert" in await page.run(f"{card}.querySelector('pre').innerText")
        assert page.complaints == []


async def test_an_empty_cluster_says_what_to_do(chromium: Chromium) -> None:
    """Workers first, then tasks."""
    async with open_site(chromium, 0, tasks=False) as (site, page):
        await page.open(site.at("status"))
        empty = "document.querySelector('.empty')"
        await page.wait_for(
            f"{empty} && {empty}.innerText.includes('trio-dask worker tcp://192.0.2.10:8786')"
        )
        bare = "[...document.querySelectorAll('main .card')].filter((each) => each.offsetHeight && !each.innerText.trim())"
        for path in ("workers", "graph"):
            await page.open(site.at(path))
            await page.wait_for(
                f"{SHOWN}.innerText.includes('There are no tasks') || {empty}.offsetHeight"
            )
            assert await page.run(f"{bare}.length") == 0
            assert await page.run("document.querySelector('.graph, table').offsetHeight") == 0
        await page.open(site.at("status"))
        await page.wait_for(f"{empty}.offsetHeight")
        site.busy.join()
        await page.wait_for(f"{empty}.innerText.includes('from trio_dask import Client')")
        assert page.complaints == []


async def test_behind_a_proxy_that_shows_it_elsewhere(chromium: Chromium) -> None:
    """Under another path, which the page is not told."""
    async with open_site(chromium) as (site, page), trio.open_nursery() as nursery:
        listeners = await nursery.start(
            partial(trio.serve_tcp, host="127.0.0.1"), _Proxy(site).serve, 0
        )
        port = listeners[0].socket.getsockname()[1]
        await page.open(f"http://127.0.0.1:{port}/some/where/workers/node-000-0")
        await page.wait_for(f"{LIVE} && {SHOWN}.innerText.includes('tcp://node-000')")
        await page.press("1")
        await page.wait_for("document.querySelector('.tile')")
        assert await page.run("location.pathname") == "/some/where/status"
        assert page.complaints == []
        nursery.cancel_scope.cancel()


class _Proxy:
    """Takes a prefix off the path of the first request of each connection, and passes the rest on."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection, which is closed after one answer."""
        head = b""
        while b"\r\n\r\n" not in head:
            data = await stream.receive_some()
            if not data:
                return
            head += bytes(data)
        head = head.replace(b" /some/where/", b" /", 1).replace(b"keep-alive", b"close", 1)
        there = await trio.open_tcp_stream("127.0.0.1", self._site.port)
        async with there:
            try:
                await there.send_all(head)
                async for piece in there:
                    await stream.send_all(piece)
            except trio.BrokenResourceError:
                pass


async def test_a_link_logs_in(chromium: Chromium) -> None:
    """Once: its ticket becomes a cookie that no script can read."""
    async with open_site(chromium) as (site, page):
        ticket = login_ticket(KEYS, datetime.now(UTC).timestamp())
        await page.open(site.at(f"login#ticket={ticket}"))
        await page.wait_for(f"location.pathname === '/status' && {LIVE}")
        assert await page.run("document.cookie") == ""
        cookies = (await page.call("Network.getCookies"))["cookies"]
        assert [each["httpOnly"] for each in cookies] == [True]
        assert cookies[0]["sameSite"] == "Strict"
        assert ticket not in await page.run("JSON.stringify(history.state) + location.href")
        assert page.complaints == []
