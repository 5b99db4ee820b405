"""The pages under axe-core, where somebody has it: see CONTRIBUTING.md."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from tests.dashboard import browser
from tests.dashboard.test_browser import LIVE, PAGES, SHOWN, open_site

AXE: Final = os.environ.get("AXE_CORE", "")
_RUN: Final = (
    "axe.run({resultTypes: ['violations']}).then((found) => found.violations"
    ".map((each) => [each.impact, each.id, each.nodes.map((node) => node.html.slice(0, 200))]))"
)

pytestmark = [
    pytest.mark.network,
    pytest.mark.processes,
    pytest.mark.slow,
    pytest.mark.skipif(browser.CHROMIUM is None, reason=browser.WHY_NOT),
    pytest.mark.skipif(not AXE, reason="AXE_CORE does not say where axe.min.js is"),
]


async def test_pages_have_no_findings() -> None:
    """Light and dark, wide and narrow; what is compared with is as it is by then."""
    axe = Path(AXE).read_text(encoding="utf-8")
    async with open_site() as (site, page):
        task = site.busy.submit("train_model", 30)[-1]
        site.busy.failing = 1.0
        site.busy.submit("clean", 30)
        parts = [
            f"tasks/train_model-{task:x}",
            "workers/node-000-0",
            "graph?tasks=1",
            "profile/clean",
            "login",
        ]
        for path in PAGES + parts:
            for width, dark in ((1400, False), (360, True)):
                await page.look(width, dark=dark, still=True)
                await page.open(site.at(path))
                if path != "login":
                    await page.wait_for(f"{LIVE} && {SHOWN}.innerText.length > 20")
                await page.run(f"{axe};0")
                assert await page.run(_RUN) == [], f"{path}, {width} wide"
