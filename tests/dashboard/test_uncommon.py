"""What is rarely seen, in a real browser: nobody of that name, no news yet, very long numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.dashboard import browser
from tests.dashboard.test_browser import LIVE, SHOWN, open_site

if TYPE_CHECKING:
    from tests.dashboard.browser import Chromium

pytestmark = browser.IN_A_BROWSER

_CARDS = "[...document.querySelectorAll('main .card')].filter((each) => each.offsetHeight).length"


async def test_a_worker_that_is_not_there(chromium: Chromium) -> None:
    """One that never was has no empty cards; of one that leaves what was known stays."""
    async with open_site(chromium, 2) as (site, page):
        await page.open(site.at("workers/nobody"))
        await page.wait_for(f"{SHOWN}.innerText.includes('There is no such worker')")
        assert await page.run(_CARDS) == 0
        await page.open(site.at("workers/node-000-0"))
        await page.wait_for(f"{_CARDS} > 5 && {SHOWN}.innerText.includes('tcp://node-000:40000')")
        site.busy.leave(10)
        await page.wait_for(f"{SHOWN}.innerText.includes('not here any more. What follows')")
        assert await page.run(f"{SHOWN}.innerText.includes('tcp://node-000:40000')")
        assert await page.run(_CARDS) > 5


async def test_before_there_is_news(chromium: Chromium) -> None:
    """What the stream would say is not known yet, and is there once it comes."""
    async with open_site(chromium, 1) as (site, page):
        await page.call("Network.setBlockedURLs", urls=[site.at("events")])
        await page.open(site.at("system"))
        facts = "document.querySelector('.facts').innerText"
        await page.wait_for(f"{facts}.includes('Python')")
        assert await page.run(f"{facts}.includes('undefined')") is False
        banner = "document.querySelector('.banner.bad').innerText"
        assert await page.wait_for(banner) == "The scheduler does not answer; trying again …"
        assert await page.run(rf"/Cluster\s+–/.test({facts})")
        await page.call("Network.setBlockedURLs", urls=[])
        await page.wait_for(f"{LIVE} && {facts}.includes('0123456789abcdef')")


async def test_nothing_jumps_when_news_come(chromium: Chromium) -> None:
    """Figures and what is said below them have their places before they are there."""
    async with open_site(chromium, 2) as (site, page):
        for width in (400, 1920):
            await page.look(width, 900)
            await page.call("Network.setBlockedURLs", urls=[site.at("events")])
            await page.open(site.at("status"))
            high = "document.querySelector('.tiles').offsetHeight"
            before = await page.wait_for(high)
            await page.call("Network.setBlockedURLs", urls=[])
            await page.wait_for(f"{LIVE} && document.querySelector('.tile .note').innerText")
            assert await page.run(high) == before


async def test_a_function_in_the_graph_keeps_its_name(chromium: Chromium) -> None:
    """However many of its tasks have run, and failed."""
    async with open_site(chromium, 1) as (site, page):
        await page.open(site.at("graph"))
        name, counts = ("document.querySelector('.node b')", "document.querySelector('.node .num')")
        await page.wait_for(f"{counts} && {counts}.innerText")
        high = await page.run(f"{name}.offsetHeight")
        long = "12.34 M / 12.34 M, 123,456 failed, and more"
        assert (
            await page.run(f"({counts}.textContent = '{long}', {name}.offsetHeight)") == high > 12
        )
        assert await page.run(f"{counts}.offsetHeight < 20")


async def test_the_last_tab_is_in_sight(chromium: Chromium) -> None:
    """On a phone, also when there are more and more failures before it."""
    async with open_site(chromium, 2) as (site, page):
        await page.look(400, 860)
        await page.open(site.at("system"))
        right = "document.querySelector('#nav [aria-current]').getBoundingClientRect().right"
        await page.wait_for(LIVE)
        site.busy.failing = 1.0
        for digits in (1, 2):
            site.busy.submit("clean", 9 * 10 ** (digits - 1))
            await page.wait_for(f"document.querySelector('.badge').innerText.length === {digits}")
            edge = await page.run("document.getElementById('nav').getBoundingClientRect().right")
            assert await page.run(right) <= edge + 0.5
