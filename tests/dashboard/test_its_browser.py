"""The tests' own browser: one process for all of them, and nothing of one test in another."""

from __future__ import annotations

import os
import signal

import pytest

from tests.dashboard.browser import IN_A_BROWSER, Chromium, open_browser
from tests.dashboard.test_serving import open_site

pytestmark = IN_A_BROWSER


async def test_a_tab_remembers_nothing_of_others(chromium: Chromium) -> None:
    """Neither cookies nor what scripts have stored, though the process is the same."""
    async with open_site() as site:
        link = f"http://127.0.0.1:{site.dashboard.port}/login"
        async with open_browser(chromium) as browser:
            page = await browser.page()
            await page.open(link)
            await page.run("document.cookie = 'mine=1'; localStorage.setItem('mine', '1')")
        async with open_browser(chromium) as browser:
            page = await browser.page()
            await page.open(link)
            assert await page.run("document.cookie + localStorage.length") == "0"
        assert chromium.starts == 1


async def test_one_that_dies_or_crashes_holds_nobody_up() -> None:
    """Who waits for an answer is told, and the next test gets another process."""
    with Chromium() as chromium:
        with pytest.RaisesGroup(pytest.RaisesExc(AssertionError, match="browser has ended")):
            async with open_browser(chromium) as browser:
                page = await browser.page()
                assert chromium.pid is not None
                os.killpg(chromium.pid, signal.SIGKILL)
                await page.wait_for("false")
        with pytest.RaisesGroup(pytest.RaisesExc(AssertionError, match="page has crashed")):
            async with open_browser(chromium) as browser:
                page = await browser.page()
                await page.call("Page.crash")
        assert chromium.broken
        assert chromium.starts == 2
    assert chromium.pid is None
