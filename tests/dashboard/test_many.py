"""A thousand workers and a million tasks in a real browser: it shows them, and has little to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import trio

from tests.dashboard import browser
from tests.dashboard.test_browser import LIVE, open_site
from tests.dashboard.test_serving import EVENTS
from trio_dask.dashboard.mirror import Lines
from trio_dask.scheduler.observing.graph import GROUPS_MAX

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.dashboard.browser import Chromium, Page
    from tests.dashboard.test_browser import Site

pytestmark = browser.IN_A_BROWSER

MILLION: Final = 1_000_000
FUNCTIONS: Final = 300
_ROWS: Final = "document.querySelectorAll('tbody tr').length"
_LINES: Final = "document.querySelectorAll('.lately polyline[points]').length"
_NOTE: Final = "document.querySelector('.tools p').innerText"
#: How many pieces of the page change in two updates.
_CHANGES: Final = """new Promise((resolve, reject) => {
  const main = document.querySelector('main');
  let changes = 0, frames = 0;
  const watch = new MutationObserver((records) => { changes += records.length; });
  watch.observe(main, { subtree: true, childList: true, attributes: true, characterData: true });
  import(new URL("live.js", document.querySelector("script[type=module]").src)).then(({ subscribe }) => {
    const stop = subscribe(() => { frames += 1; if (frames === 2) { stop(); resolve(changes); } });
  }, reject);
})"""


class Played:
    """What the scheduler of a real cluster would show, if it had so many tasks besides."""

    def __init__(self, view: Any) -> None:
        self._view = view
        self._turns = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)

    @property
    def size(self) -> int:
        return MILLION

    def graph(self, *, name: str = "", limit: int = 0) -> Generator[None, None, dict[str, Any]]:
        graph: dict[str, Any] = yield from self._view.graph(name=name, limit=limit)
        groups = [
            {"name": f"function-{number}", "states": {"done": 90, "ready": 10}}
            for number in range(GROUPS_MAX - len(graph["groups"]))
        ]
        edges = [["function-7", None, 5], [None, "function-9", 5]]
        return graph | {
            "groups": [*graph["groups"], *groups],
            "others": {"groups": 12_345, "states": {"done": 10_000, "ready": 2_345}},
            "edges": graph["edges"] + edges,
            "edges_left_out": 17,
        }

    def totals(self) -> dict[str, Any]:
        totals: dict[str, Any] = self._view.totals()
        more = {
            "tasks": MILLION,
            "queued": totals["queued"] + 900_000,
            "finished": totals["finished"] + 23_000_000,
        }
        return totals | more

    def group_rows(self, limit: int | None = 200) -> dict[str, tuple[Any, ...]]:
        self._turns += 1
        rows: dict[str, tuple[Any, ...]] = self._view.group_rows(limit)
        for number in range(FUNCTIONS):
            done = self._turns + number
            runs = 90_000 + done
            rows[f"function-{number}"] = (
                1_000, 2_333 - done, 0, done, 1, 0, 0, 0, done << 20, runs, 1, runs * 0.013,
            )  # fmt: skip
        return rows


async def kilobytes_a_second(site: Site, events: int) -> float:
    """What a viewer is told after the first picture, by the time that the stream itself says."""
    lines, size, times = Lines(), 0, list[float]()
    async with await trio.open_tcp_stream("127.0.0.1", site.port) as stream:
        await stream.send_all(EVENTS)
        rest = b""
        async for data in stream:
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                event = lines.take(line.decode().removesuffix("\r"))
                if event is None:
                    continue
                size += len(json.dumps(event.data, separators=(",", ":"))) if times else 0
                times.append(event.data["t"])
            if len(times) > events:
                return size / 1000 / (times[-1] - times[0])
    raise AssertionError("the stream has ended")


async def filtered(page: Page, text: str) -> None:
    """Type into the field above a table."""
    await page.run(
        "(() => { const field = document.querySelector('.tools input[type=search]');"
        f"field.value = {text!r}; field.dispatchEvent(new Event('input')); }})()"
    )


async def test_a_thousand_workers_and_a_million_tasks(chromium: Chromium) -> None:
    """Each page shows what there is, and of long tables so many rows until somebody wants all."""
    async with open_site(chromium, 1000, view=Played) as (site, page):
        site.step_s = 0.5
        site.busy.submit("evaluate", 3_000, site.busy.submit("train_model", 3_000))

        await page.open(site.at("status"))
        main = "document.querySelector('main').innerText"
        await page.wait_for("document.querySelectorAll('.heat .cell').length === 1000")
        text = await page.wait_for(f"{main}.includes('64 of 2,000 slots') && {main}")
        assert "1.00 M known" in text
        assert "23.0 M have run" in text
        assert "14 of 30" in text  # functions
        assert await kilobytes_a_second(site, 4) < 20
        # Of a worker its cell, of a function its row: what changes is some of them.
        assert await page.run(_CHANGES) < 2 * 1_500

        await page.open(site.at("workers"))
        await page.wait_for(f"{_ROWS} === 200 && {_NOTE} === '1,000'")
        await page.wait_for(f"{_LINES} === 200")
        await filtered(page, "node-124")
        assert await page.run(f"[{_ROWS}, {_NOTE}]") == [8, "8 of 1,000"]
        await filtered(page, "")
        await page.run("document.querySelectorAll('thead button')[5].click()")
        memory = (
            "[...document.querySelectorAll('tbody tr')].map((row) => row.cells[5].innerText)"
            ".slice(0, 50).map((each) => parseFloat(each) * (each.includes('GiB of') ? 1024 : 1))"
        )
        found = await page.run(memory)
        assert found == sorted(found, reverse=True)
        assert await page.run(_CHANGES) < 2 * 200 * 10
        await page.run("document.querySelector('.flush > div > button').click()")
        assert await page.run(_ROWS) == 1000

        await page.open(site.at("tasks"))
        await page.wait_for(f"{_ROWS} === 200 && {_NOTE}.startsWith('30')")
        await filtered(page, "function-299")
        row = await page.wait_for("document.querySelector('tbody tr').innerText")
        assert "90,3" in row
        assert "13 ms" in row
        await filtered(page, "")
        assert await page.run(_CHANGES) < 2 * 200 * 9 * 2
        assert page.complaints == []


async def test_a_graph_of_very_many_functions(chromium: Chromium) -> None:
    """The largest are drawn, the others are one box; it says so, and what it does not draw."""
    async with open_site(chromium, 2, view=Played) as (site, page):
        site.busy.submit("evaluate", 3_000, site.busy.submit("train_model", 3_000))
        await page.open(site.at("graph?tasks=1"))
        note = "document.querySelector('main .lead').innerText"
        await page.wait_for(f"{LIVE} && {note}.includes('too many to draw one by one')")
        await page.open(site.at("graph"))
        await page.wait_for(f"document.querySelectorAll('.node').length === {GROUPS_MAX + 1}")
        assert await page.run(f"{note}.includes('12,545 functions')")
        assert await page.run(f"{note}.includes('The 200 with the most tasks are drawn')")
        assert await page.run(f"{note}.includes('17 lines for the fewest values are left out')")
        others = "document.querySelector('.node.others')"
        assert await page.run(f"{others}.innerText.startsWith('… and 12,345 more')")
        assert await page.run(f"{others}.innerText.includes('10,000 / 12,345')")
        at = "((name) => [...document.querySelectorAll('.node')].find((e) => e.title === name).offsetLeft)"
        assert await page.run(
            f"{at}('function-7') < {others}.offsetLeft && {others}.offsetLeft < {at}('function-9')"
        )
        # Nobody has to scroll through a hundred boxes that stand in one column.
        assert await page.run("document.querySelector('.sheet').offsetHeight") < 25 * 90
        assert page.complaints == []
