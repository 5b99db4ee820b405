"""A real browser without a window, told what to do over a pipe; only what the tests need.

Starting it takes longer than most of what is looked at, so one `Chromium` serves one test after
the other, each with a context of its own: no cookie, file or setting is another's. It is handed on
only by a test that went well.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

import pytest
import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
WHY_NOT = "there is no chromium here: `apt-get install chromium` (see .ci/run)"
#: What every test with a browser is marked with.
IN_A_BROWSER = [
    pytest.mark.network,
    pytest.mark.processes,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason=WHY_NOT),
]
_END_S = 10.0
_OPTIONS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-extensions",
    "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
    "--hide-scrollbars", "--mute-audio", "--remote-debugging-pipe", "about:blank",
]  # fmt: skip


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self.complaints: list[str] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the browser's protocol, and its answer."""
        return await self._browser.call(method, self._session, **params)

    async def run(self, script: str) -> Any:
        """The value of an expression in the page; promises are waited for."""
        answer = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def wait_for(self, condition: str, seconds: float = 20.0) -> Any:
        """Wait until an expression in the page is true; looked at with every change of the page."""
        script = f"""new Promise((resolve) => {{
            const look = () => {{ let found; try {{ found = {condition}; }} catch (error) {{ }}
              if (found) {{ watch.disconnect(); clearInterval(timer); resolve(found); }} }};
            const watch = new MutationObserver(look);
            watch.observe(document, {{ subtree: true, childList: true, attributes: true, characterData: true }});
            const timer = setInterval(look, 50); look(); }})"""
        with trio.fail_after(seconds):
            return await self.run(script)

    async def open(self, address: str) -> None:
        """Go there, and wait until it is there."""
        loaded = self._browser.expect("Page.loadEventFired", self._session)
        await self.call("Page.navigate", url=address)
        with trio.fail_after(20):
            await loaded.wait()

    async def look(
        self, width: int = 1920, height: int = 1080, *, dark: bool = False, still: bool = False
    ) -> None:
        """The size of the screen, and what its owner likes."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        likes = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        if still:
            likes.append({"name": "prefers-reduced-motion", "value": "reduce"})
        await self.call("Emulation.setEmulatedMedia", features=likes)

    async def press(self, key: str) -> None:
        """A key of the keyboard."""
        text = key if len(key) == 1 else "\r" if key == "Enter" else ""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27}
        common = {"key": key, "windowsVirtualKeyCode": codes.get(key, ord(key[0].upper()))}
        await self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    async def picture(self, path: Path, *, whole: bool = False) -> None:
        """What it looks like, as a PNG file."""
        answer = await self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))


class Browser:
    """The browser's process and its two pipes."""

    def __init__(self, to: int, back: int, chromium: Chromium) -> None:
        self._to = trio.lowlevel.FdStream(to)
        self._back = trio.lowlevel.FdStream(back)
        self._chromium = chromium
        self._answers: dict[int, tuple[str, trio.Event, list[Any]]] = {}
        self._expected: dict[tuple[str, str], trio.Event] = {}
        self._pages: dict[str, Page] = {}
        self._contexts: list[str] = []

    async def listen(self) -> None:
        """Take in what the browser says, until it has ended."""
        async for data in self._back:
            *messages, self._chromium.rest = (self._chromium.rest + data).split(b"\0")
            for message in messages:
                self._hear(json.loads(message))
        self._give_up("", "the browser has ended")

    def _give_up(self, session: str, why: str) -> None:
        """Nobody waits for what will not be answered: in a tab, or (empty) anywhere."""
        self._chromium.broken = True
        for serial, (asked, event, into) in list(self._answers.items()):
            if session in ("", asked):
                del self._answers[serial]
                into.append({"error": why})
                event.set()
        for event in self._expected.values():
            event.set()

    def _hear(self, message: dict[str, Any]) -> None:
        if "id" in message:
            _, event, into = self._answers.pop(message["id"], ("", trio.Event(), []))
            into.append(message)
            event.set()
            return
        session, method = message.get("sessionId", ""), message["method"]
        if method == "Inspector.targetCrashed":
            self._give_up(session, "the page has crashed")
        expected = self._expected.pop((session, method), None)
        if expected is not None:
            expected.set()
        page = self._pages.get(session)
        if page is None:
            return
        params = message["params"]
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            page.complaints.append(details.get("exception", {}).get("description", str(details)))
        elif method == "Runtime.consoleAPICalled" and params["type"] in {"error", "warning"}:
            page.complaints.append(str([each.get("value") for each in params["args"]]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            entry = params["entry"]
            page.complaints.append(f"{entry['text']} {entry.get('url', '')}")

    def expect(self, method: str, session: str) -> trio.Event:
        """What is set when the browser next says so."""
        return self._expected.setdefault((session, method), trio.Event())

    async def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """A command, and its answer."""
        assert not self._chromium.broken, "the browser has ended, or a page of it has crashed"
        serial = self._chromium.next_serial()
        message: dict[str, Any] = {"id": serial, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        event, into = trio.Event(), list[Any]()
        self._answers[serial] = session, event, into
        with trio.fail_after(60):
            try:
                await self._to.send_all(json.dumps(message).encode() + b"\0")
            except trio.BrokenResourceError:
                self._give_up("", "the browser has ended")
            await event.wait()
        assert "error" not in into[0], into[0]
        answer: dict[str, Any] = into[0]["result"]
        return answer

    async def page(self) -> Page:
        """A new tab, with nothing remembered of others."""
        context = await self.call("Target.createBrowserContext")
        self._contexts.append(context["browserContextId"])
        target = await self.call(
            "Target.createTarget", url="about:blank", browserContextId=context["browserContextId"]
        )
        attached = await self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        page = self._pages[attached["sessionId"]] = Page(self, attached["sessionId"])
        for domain in ("Inspector", "Page", "Runtime", "Log", "Network"):
            await page.call(f"{domain}.enable")
        await page.look()
        return page

    async def forget(self) -> None:
        """Close all tabs, with all that was kept for them."""
        for context in self._contexts:
            await self.call("Target.disposeBrowserContext", browserContextId=context)

    async def aclose(self) -> None:
        """Let go of the pipes."""
        await self._to.aclose()
        await self._back.aclose()


class Chromium:
    """The browser's process, for one after the other; as long as the block lasts, nothing is left."""

    def __init__(self) -> None:
        self.rest = b""
        #: It has ended, or was left in the middle of something.
        self.broken = False
        #: How often it was started.
        self.starts = 0
        self._serial = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._pipes: tuple[int, int] = (-1, -1)
        self._home = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """Of its process, and of the group of those that it has started."""
        return None if self._process is None else self._process.pid

    def next_serial(self) -> int:
        """Of a command: no answer is taken for another, of a test before."""
        self._serial += 1
        return self._serial

    def pipes(self) -> tuple[int, int]:
        """Where to write to it and to read from it; it is started for that, if need be."""
        if self.broken:
            self.stop()
        if self._process is None:
            self._start()
        to, back = self._pipes
        return os.dup(to), os.dup(back)

    def _start(self) -> None:
        assert CHROMIUM is not None
        self.rest, self.starts = b"", self.starts + 1
        self._home = tempfile.mkdtemp(prefix="browser-")
        to_read, to_write = os.pipe()
        from_read, from_write = os.pipe()
        words = [CHROMIUM, f"--user-data-dir={self._home}", *_OPTIONS]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{to_read} 4>&{from_write}', "bash", *words],
            pass_fds=(to_read, from_write), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._pipes = to_write, from_read
        os.close(to_read)
        os.close(from_write)

    def stop(self) -> None:
        """It ends with its pipes; one that may not listen is killed at once."""
        process, broken = self._process, self.broken
        self._process, self.broken = None, False
        if process is None:
            return
        for pipe in self._pipes:
            os.close(pipe)
        if not broken:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END_S)
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(self._home, ignore_errors=True)


@asynccontextmanager
async def open_browser(chromium: Chromium) -> AsyncIterator[Browser]:
    """The browser for as long as the block lasts; none of its tabs is left."""
    to, back = await trio.to_thread.run_sync(chromium.pipes)
    browser = Browser(to, back, chromium)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(browser.listen)
            yield browser
            await browser.forget()
            nursery.cancel_scope.cancel("the tests are over")
    except BaseException:
        chromium.broken = True
        raise
    finally:
        with trio.CancelScope(shield=True):
            await browser.aclose()
