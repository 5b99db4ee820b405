"""What a page makes the browser do: nothing that nobody sees, and little of what somebody does.

Nothing is timed here. What is drawn and laid out is counted, for each message of the stream; what
glides between messages is held to its rate by the page's own clock, by which its timers go, too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.dashboard import browser
from tests.dashboard.test_browser import open_site
from tests.dashboard.test_many import Played

if TYPE_CHECKING:
    from tests.dashboard.browser import Chromium, Page
    from tests.dashboard.test_browser import Site

pytestmark = browser.IN_A_BROWSER

MESSAGES: Final = 6
#: The stream of tasks glides by so many steps a second at most.
STEPS: Final = 8
#: Every drawing of a canvas begins with this; each is one of the stream, or of the others.
_COUNTING: Final = """
window.drawn = { stream: 0, others: 0 };
const clear = CanvasRenderingContext2D.prototype.clearRect;
CanvasRenderingContext2D.prototype.clearRect = function (...args) {
  window.drawn[this.canvas.className === "stream" ? "stream" : "others"] += 1;
  return clear.apply(this, args);
};
"""
#: What was drawn and changed between one message and another so many later, which the page hears besides.
_WATCHED: Final = """new Promise((resolve) => {
  const source = new EventSource(new URL(document.querySelector("meta[name=root]").content + "events", location.href));
  let left = MESSAGES + 1, began = null, changes = 0;
  new MutationObserver((records) => { changes += records.length; })
    .observe(document.querySelector("main"), { subtree: true, childList: true, attributes: true, characterData: true });
  source.addEventListener("delta", () => {
    began = began || { at: performance.now(), ...window.drawn, changes };
    left -= 1;
    if (left) return;
    source.close();
    resolve({
      seconds: (performance.now() - began.at) / 1000, changes: changes - began.changes,
      stream: window.drawn.stream - began.stream, others: window.drawn.others - began.others,
    });
  });
})""".replace("MESSAGES", str(MESSAGES))
_HIDE: Final = """((hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
})"""


async def opened(site: Site, page: Page, path: str) -> None:
    """The page, with much at work, and all of it there."""
    site.step_s = 0.5
    site.busy.submit("evaluate", 3_000, site.busy.submit("train_model", 3_000))
    await page.call("Page.addScriptToEvaluateOnNewDocument", source=_COUNTING)
    await page.call("Performance.enable")
    await page.open(site.at(path))
    there = "document.querySelectorAll('.heat .cell').length === 1000"
    if path != "status":
        there = "document.querySelectorAll('tbody tr').length === 200"
    await page.wait_for(there)


async def watched(page: Page) -> dict[str, Any]:
    """What was drawn, changed and laid out while so many messages came."""

    async def layouts() -> float:
        metrics = (await page.call("Performance.getMetrics"))["metrics"]
        return next(float(each["value"]) for each in metrics if each["name"] == "LayoutCount")

    before = await layouts()
    seen: dict[str, Any] = await page.run(_WATCHED)
    return seen | {"layouts": await layouts() - before}


async def test_status_draws_what_is_new(chromium: Chromium) -> None:
    """The stream glides by a few steps a second; all else is drawn and laid out with a message."""
    async with open_site(chromium, 1000, view=Played) as (site, page):
        await opened(site, page, "status")
        await page.wait_for("document.querySelector('canvas.stream').ariaLabel.match(/^[1-9]/)")
        seen = await watched(page)
        assert MESSAGES < seen["stream"] <= STEPS * seen["seconds"] + 2 * MESSAGES + 2, seen
        assert 0 < seen["others"] <= 3 * (MESSAGES + 2), seen
        # Not one for each frame that something takes to get from here to there.
        assert 0 < seen["layouts"] <= 4 * (MESSAGES + 2), seen

        await page.look(still=True)
        seen = await watched(page)
        assert 0 < seen["stream"] <= MESSAGES + 2, seen

        await page.run(f"{_HIDE}(true)")
        seen = await watched(page)
        assert (seen["stream"], seen["others"], seen["changes"]) == (0, 0, 0)
        await page.run(f"{_HIDE}(false)")
        seen = await watched(page)
        assert min(seen["stream"], seen["others"], seen["changes"]) > 0, json.dumps(seen)
        assert page.complaints == []


@pytest.mark.parametrize("path", ["tasks", "workers"])
async def test_a_table_is_laid_out_with_a_message(chromium: Chromium, path: str) -> None:
    """Once or twice, and nothing in between."""
    async with open_site(chromium, 1000, view=Played) as (site, page):
        await opened(site, page, path)
        seen = await watched(page)
        assert 0 < seen["layouts"] <= 4 * (MESSAGES + 2), seen
        assert (seen["stream"], seen["others"]) == (0, 0)
        assert page.complaints == []
