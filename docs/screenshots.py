"""Pictures of the dashboard for the documentation, of made-up workers: ``python docs/screenshots.py``.

It needs chromium, and takes a minute.
"""

from __future__ import annotations

import sys
from pathlib import Path

import trio

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.dashboard.browser import Page, open_browser  # noqa: E402
from tests.dashboard.busy import NAMES, BusyCluster  # noqa: E402
from trio_dask.comm import keys_from_token  # noqa: E402
from trio_dask.config import new_token  # noqa: E402
from trio_dask.dashboard import DashboardOptions, run_dashboard  # noqa: E402

IMAGES = ROOT / "docs" / "images"
LIVE = "document.getElementById('link').dataset.state === 'live'"
#: So long the cluster works before anybody looks.
PAST_S = 120.0


async def work(busy: BusyCluster) -> None:
    """Let time pass as it does."""
    held: list[list[int]] = []
    while True:
        if busy.view.totals()["queued"] < 60:
            first = busy.random.randrange(len(NAMES) - 2)
            some = busy.submit(NAMES[first], 60)
            more = busy.submit(NAMES[first + busy.random.choice([1, 2])], 60, some)
            held.append(some + more)
            if len(held) > 8:
                busy.release(held.pop(0))
        busy.run(trio.current_time())
        await trio.sleep(0.03)


async def picture(page: Page, link: str, name: str, seconds: float) -> None:
    """Of what is there after a while."""
    await page.open(link)
    await page.wait_for(LIVE)
    await trio.sleep(seconds)
    await page.picture(IMAGES / f"{name}.png")
    print(f"{name}: {(IMAGES / f'{name}.png').stat().st_size / 1024:.0f} KiB")


def waiting_at(busy: BusyCluster) -> str:
    """The name of a worker."""
    return next(iter(busy.core.state.workers.values())).name


async def main() -> None:
    """All of them."""
    IMAGES.mkdir(exist_ok=True)
    busy = BusyCluster(6, failing=0.02, now=trio.current_time() - PAST_S)
    busy.client()
    async with open_browser() as browser, trio.open_nursery() as nursery:
        options = DashboardOptions(address="127.0.0.1:0")
        shown = await nursery.start(run_dashboard, busy.view, keys_from_token(new_token()), options)
        nursery.start_soon(work, busy)
        page, root = await browser.page(), shown.link.removesuffix("status")
        await page.look(1440, 860)
        await picture(page, root + "status", "status", 32)
        await page.look(390, 844, dark=True)
        await picture(page, root + "status", "status-phone", 20)
        await page.look(1200, 640)
        waiting = busy.submit("evaluate", 60, busy.submit("train_model", 60))[-1]
        await picture(page, f"{root}tasks/evaluate-{waiting:x}", "task", 2)
        await page.look(1200, 640, dark=True)
        await picture(page, root + "failures", "failures", 3)
        await page.look(1440, 560)
        await picture(page, root + "graph", "graph", 3)
        await page.look(1440, 620)
        await picture(page, root + "profile", "profile", 3)
        await page.look(1200, 560)
        await picture(page, root + "events-log", "events", 3)
        await page.look(1200, 760, dark=True)
        await picture(page, f"{root}workers/{waiting_at(busy)}", "worker", 20)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
