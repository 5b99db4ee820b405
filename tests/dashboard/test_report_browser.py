"""A report in a real browser: from a file, without network and scripts, on any screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.dashboard import browser
from tests.dashboard.test_report import recorded_of
from trio_dask.dashboard import report_page

if TYPE_CHECKING:
    from pathlib import Path

    from tests.dashboard.browser import Chromium

pytestmark = [
    pytest.mark.processes,
    pytest.mark.slow,
    pytest.mark.skipif(browser.CHROMIUM is None, reason=browser.WHY_NOT),
]


async def test_a_report_is_seen(chromium: Chromium, tmp_path: Path) -> None:
    """In the light and in the dark, each function in a colour of its own, and what failed in stripes."""
    blocks = [
        [1, 0, 10.0, 4.0, 1, 1, 0, "a"],
        [1, 1, 12.0, 3.0, 2, 1, 0, "b"],
        [1, 0, 15.0, 2.0, 1, 1, 1, "c"],
    ]
    points = [(10.0 + at, at, 1, 2, at << 30, 1, 1) for at in range(10)]
    file = tmp_path / "report.html"
    record = recorded_of(blocks, points=points)
    file.write_text(report_page(record, title="Of a test", written="now"), encoding="utf-8")
    fills = "[...document.querySelectorAll('rect')].map((each) => getComputedStyle(each).fill)"
    seen = set()
    async with browser.open_browser(chromium) as opened:
        page = await opened.page()
        for width, dark in ((360, True), (1920, False)):
            await page.look(width, dark=dark)
            await page.open(file.as_uri())
            assert await page.run("document.querySelector('h1').innerText") == "Of a test"
            assert await page.run("document.documentElement.scrollWidth") <= width
            first, second, failed = await page.run(fills)
            assert "failed" in failed
            seen |= {first, second}
        assert len(seen) == 4
        assert (
            await page.run(
                "document.scripts.length + performance.getEntriesByType('resource').length"
            )
            == 0
        )
        assert page.complaints == []
