"""How long each page of the dashboard takes until something is seen: ``python -m bench.paint``.

In a real chromium without a window, as somebody who comes for the first time: nothing is kept from
before. The cluster is made up, the server, the port and the browser are not.
"""

from __future__ import annotations

import argparse
from statistics import median
from typing import Final

import trio

from tests.dashboard.browser import Chromium, Page, open_browser
from tests.dashboard.busy import BusyCluster
from trio_dask.comm import keys_from_token
from trio_dask.config import new_token
from trio_dask.dashboard import DashboardOptions, run_dashboard

PAGES: Final = (
    "status", "workers", "tasks", "graph", "profile", "failures", "events-log", "logs", "system",
)  # fmt: skip
_FIGURES: Final = """new Promise((resolve) => {
  const look = () => {
    const [paint] = performance.getEntriesByName('first-contentful-paint');
    if (!paint || document.getElementById('link').dataset.state !== 'live') return;
    clearInterval(timer);
    const files = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
      .filter((each) => !/[/](events([?]|$)|api[/])/.test(each.name));
    resolve([paint.startTime, performance.now(), files.length, files.reduce((sum, each) => sum + each.transferSize, 0)]);
  };
  const timer = setInterval(look, 10);
})"""


async def look_at(page: Page, link: str) -> tuple[float, float, int, int]:
    """Until the first picture and until it is live, ms; how many files, and their bytes."""
    await page.open("about:blank")
    await page.open(link)
    first, live, files, size = await page.run(_FIGURES)
    return first, live, files, size


async def work(busy: BusyCluster) -> None:
    """Let time pass as it does."""
    while True:
        if busy.view.totals()["queued"] < 60:
            busy.submit("clean", 60)
        busy.run(trio.current_time())
        await trio.sleep(0.05)


async def measure(workers: int, rounds: int) -> dict[str, list[tuple[float, float, int, int]]]:
    """Figures of each page, in turns."""
    busy = BusyCluster(workers, now=trio.current_time() - 10)
    busy.client()
    found: dict[str, list[tuple[float, float, int, int]]] = {name: [] for name in PAGES}
    with Chromium() as chromium:
        await _look(chromium, busy, rounds, found)
    return found


async def _look(
    chromium: Chromium,
    busy: BusyCluster,
    rounds: int,
    found: dict[str, list[tuple[float, float, int, int]]],
) -> None:
    async with open_browser(chromium) as browser, trio.open_nursery() as nursery:
        options = DashboardOptions(address="127.0.0.1:0")
        shown = await nursery.start(run_dashboard, busy.view, keys_from_token(new_token()), options)
        nursery.start_soon(work, busy)
        root = shown.link.removesuffix("status")
        page = await browser.page()
        await page.call("Network.setCacheDisabled", cacheDisabled=True)
        await look_at(page, root + "status")  # what serves pages is loaded by then
        for _ in range(rounds):
            for name in PAGES:
                found[name].append(await look_at(page, root + name))
        nursery.cancel_scope.cancel()


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.paint", description=__doc__)
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print("page         first picture, ms: median   least     live, ms   files   bytes")
    for name, rows in trio.run(measure, options.workers, options.rounds).items():
        first, live = median(each[0] for each in rows), median(each[1] for each in rows)
        least, (_, _, files, size) = min(each[0] for each in rows), rows[-1]
        print(f"{name:12s} {first:25.0f} {least:7.0f} {live:12.0f} {files:7d} {size:7,d}")


if __name__ == "__main__":
    main()
