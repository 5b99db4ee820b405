"""Every page in a real browser: it loads, it fits, axe-core finds nothing, and the docs have its picture.

With ``TRIO_DASK_PICTURES=docs/images`` the same walk makes these pictures, which takes minutes.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import trio

from tests.dashboard import browser
from tests.dashboard.busy import NAMES
from tests.dashboard.test_browser import LIVE, PAGES, SHOWN, open_site
from tests.dashboard.test_worker_page import KEYS, Process
from trio_dask.dashboard import DashboardOptions, run_worker_page

if TYPE_CHECKING:
    from tests.dashboard.browser import Chromium, Page
    from tests.dashboard.busy import BusyCluster

ROOT: Final = Path(__file__).parents[2]
#: Another axe-core than that of the package.
AXE: Final = os.environ.get("AXE_CORE", "")
#: Where pictures go, if anywhere.
PICTURES: Final = os.environ.get("TRIO_DASK_PICTURES", "")
#: Pictures of pages, and how they are looked at: width, height, in the dark.
LOOKS: Final = {
    "status": (1440, 860, False),
    "workers": (1200, 560, True),
    "tasks": (1200, 620, False),
    "graph": (1440, 560, True),
    "profile": (1440, 620, True),
    "failures": (1200, 640, True),
    "events-log": (1200, 560, True),
    "logs": (1200, 480, False),
    "system": (1200, 760, False),
    "task": (1200, 640, False),
    "worker": (1200, 760, True),
    "login": (900, 420, False),
    "status-phone": (390, 844, True),
}
#: What is as it is after half a minute: a task stream is as long.
PATIENCE_S: Final = {"status": 32.0, "status-phone": 20.0, "worker": 20.0, "system": 20.0}
PAST_S: Final = 120.0
#: Pages without a stream.
BARE: Final = ("login", "process")
_RUN: Final = (
    "axe.run({resultTypes: ['violations']}).then((found) => found.violations"
    ".map((each) => [each.impact, each.id, each.nodes.map((node) => node.html.slice(0, 200))]))"
)

#: What is read line by line, for which nobody scrolls to the side.
READ: Final = {"events-log", "logs"}
_CUT: Final = (
    "[...document.querySelectorAll('.scroll')].filter((e) => e.scrollWidth > e.clientWidth).length"
)

in_a_browser = [
    *browser.IN_A_BROWSER,
    *([pytest.mark.nightly] if PICTURES else []),  # it takes longer then
]


@pytest.mark.parametrize("name", LOOKS)
def test_each_page_has_its_picture_in_the_documentation(name: str) -> None:
    """And nothing lies about that is shown nowhere."""
    assert (ROOT / "docs" / "images" / f"{name}.png").is_file()
    shown = (ROOT / "docs" / "reference" / "pages.md").read_text(encoding="utf-8")
    assert f"](../images/{name}.png)" in shown
    assert set(PAGES) <= LOOKS.keys()
    assert {each.stem for each in (ROOT / "docs" / "images").glob("*.png")} == LOOKS.keys()


@pytest.mark.parametrize("half", [pytest.param(each, marks=in_a_browser) for each in (0, 1)])
async def test_every_page_loads_fits_and_is_for_everybody(chromium: Chromium, half: int) -> None:
    """On a phone in the dark and wide in the light, without a complaint or a finding of axe-core."""
    axe = AXE or str(files("axe_core_python") / "axe.min.js")
    script = await trio.Path(axe).read_text(encoding="utf-8")
    async with open_site(chromium, 6, past_s=PAST_S if PICTURES else 0.0) as (site, page):
        site.nursery.start_soon(mixed, site.busy)
        options = DashboardOptions(address="127.0.0.1:0")
        process = await site.nursery.start(run_worker_page, Process(), KEYS, options)
        task = site.busy.submit("evaluate", 60, site.busy.submit("train_model", 60))[-1]
        places = {name: site.at(name) for name in PAGES} | {
            "task": site.at(f"tasks/evaluate-{task:x}"),
            "worker": site.at("workers/node-000-0"),
            "login": site.at("login"),
            "process": process.link,
            "a function": site.at("tasks?name=clean"),
            "a graph of tasks": site.at("graph?tasks=1"),
            "profile of a function": site.at("profile/tokenize"),
        }
        await page.call("Page.addScriptToEvaluateOnNewDocument", source=script)
        await page.look(360, dark=True, still=True)
        for name, link in list(places.items())[half::2]:
            await page.open(link)
            if name not in BARE:
                await page.wait_for(f"{LIVE} && {SHOWN}.innerText.length > 20")
            for width, dark in ((360, True), (1920, False)):
                await page.look(width, dark=dark, still=True)
                wide = await page.run("document.documentElement.scrollWidth")
                assert wide <= width, f"{name} is {wide} wide"
                assert await page.run(_RUN) == [], f"{name}, {width} wide"
                cut = await page.run(_CUT) if name in READ else 0
                assert cut == 0, f"lines of {name} are cut off, {width} wide"
            await picture(page, link, name)
            await picture(page, link, f"{name}-phone")
        assert page.complaints == []


async def mixed(busy: BusyCluster) -> None:
    """Tasks of all kinds, some of which take what others give."""
    held: list[list[int]] = []
    while True:
        if busy.view.totals()["queued"] < 60:
            first = busy.random.randrange(len(NAMES) - 2)
            some = busy.submit(NAMES[first], 60)
            held.append(some + busy.submit(NAMES[first + busy.random.choice([1, 2])], 60, some))
            if len(held) > 8:
                busy.release(held.pop(0))
        await trio.sleep_until(trio.current_time() + 0.05)  # a cluster has a time of its own


async def picture(page: Page, link: str, name: str) -> None:
    """For the documentation, if they are wanted."""
    if not PICTURES or name not in LOOKS:
        return
    width, height, dark = LOOKS[name]
    await page.look(width, height, dark=dark)
    await page.open(link)
    if name not in BARE:
        await page.wait_for(LIVE)
    await trio.sleep_until(trio.current_time() + PATIENCE_S.get(name, 3.0))
    await page.picture(Path(PICTURES) / f"{name}.png")
