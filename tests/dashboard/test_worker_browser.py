"""The page of a worker's process in a real browser: it fits, it has two looks, and it is live."""

from __future__ import annotations

import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio

from tests.dashboard import browser
from tests.dashboard.test_worker_page import KEYS, Process
from trio_dask.dashboard import DashboardOptions, run_worker_page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.dashboard.browser import Chromium, Page

pytestmark = browser.IN_A_BROWSER


class Counting(Process):
    """One whose process has another number each time it is asked."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def process(self) -> dict[str, Any]:
        return super().process() | {"pid": next(self._numbers)}


@asynccontextmanager
async def open_page(chromium: Chromium, prefix: str = "") -> AsyncIterator[tuple[str, Page]]:
    """Where it is, and a browser."""
    async with browser.open_browser(chromium) as opened, trio.open_nursery() as nursery:
        options = DashboardOptions(address="127.0.0.1:0", prefix=prefix)
        shown = await nursery.start(run_worker_page, Counting(), KEYS, options)
        yield shown.link, await opened.page()
        nursery.cancel_scope.cancel()


async def test_it_fits_and_has_two_looks(chromium: Chromium) -> None:
    """On a phone and on a wide screen; what workers are called and say is text, and nothing else."""
    heading, paper = (
        "document.querySelector('h1')",
        "getComputedStyle(document.body).backgroundColor",
    )
    papers = set()
    async with open_page(chromium) as (link, page):
        for width, dark in ((360, True), (1920, False)):
            await page.look(width, dark=dark)
            await page.open(link)
            assert await page.run(f"{heading}.innerText") == "Workers at h"
            assert await page.run("document.documentElement.scrollWidth") <= width
            papers.add(await page.run(paper))
        assert len(papers) == 2
        assert await page.run("document.scripts.length") == 1
        rows = await page.run("[...document.querySelectorAll('td')].map((each) => each.innerText)")
        assert '<b>"odd"</b>' in rows
        assert "<script>alert(1)</script>" in rows
        assert page.complaints == []


async def test_it_comes_again_by_itself(chromium: Chromium) -> None:
    """With what is true by then."""
    lead = "document.querySelector('.lead').innerText"
    async with open_page(chromium) as (link, page):
        await page.open(link)
        first = await page.run(lead)
        await page.wait_for(f"{lead} !== {first!r}")
        assert page.complaints == []


async def test_it_is_used_by_keyboard(chromium: Chromium) -> None:
    """What is wider than a phone can be reached, and is called something."""
    async with open_page(chromium, prefix="/w") as (link, page):
        await page.look(360)
        await page.open(link)
        names = []
        for _ in range(2):
            await page.press("Tab")
            names.append(await page.run("document.activeElement.getAttribute('aria-label')"))
        assert names == ["Workers", "Log"]
        assert page.complaints == []
