"""Reports and timelines: of anything that can be recorded, and safe to open."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from trio_dask.dashboard import Event, Mirror, Recorded, Recorder, report_page, source_at
from trio_dask.dashboard.timeline import chrome_trace

EVIL = '</title><script>alert(1)</script>"\ud800'


def recorded_of(blocks: list[list[Any]], name: str = "clean", **more: Any) -> Recorded:
    """A record of one worker and one function."""
    mirror = Mirror()
    group = [0, 0, 0, 5, 0, 0, 0, 0, 0, 30, 1, 12.0]
    data = {
        "t": 20.0, "identity": {"address": "tcp://s:1"}, "totals": {"slots": 2, "workers": 1},
        "workers": {"new": {1: [name, "a", "h", 2, 1024, 2]}, "set": {1: [0, 5, 100, 0, 2, "running", 0]}},
        "groups": {"new": {1: name, 2: "idle"}, "set": {1: group, 2: group}}, "blocks": blocks,
    }  # fmt: skip
    mirror.take(Event("snapshot", "1", data), blocks=True)
    before = {name: (10, 0, 2.0), "idle": (30, 1, 12.0)}
    return Recorded(10.0, 20.0, mirror, before=before, **more)


class Tags(HTMLParser):
    """What is in a page, and whether it is well nested."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        """One more."""
        self.tags.append(tag)
        assert not any(name in {"src", "href"} or name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        """Its text."""
        self.texts.append(data)


def text_of(page: str) -> str:
    """What is read; nothing in there runs, or is loaded."""
    tags = Tags()
    tags.feed(page)
    assert "script" not in tags.tags
    assert "http" not in page
    assert page.encode()
    return " ".join(" ".join(tags.texts).split())


def test_a_report_says_what_was_done_meanwhile() -> None:
    """Not what was done before."""
    blocks = [
        [1, 0, 5.0, 1.0, 1, 1, 0, "a"],
        [1, 0, 11.0, 2.0, 1, 1, 0, "b"],
        [1, 1, 12.0, 0.5, 1, 4, 1, ""],
    ]
    points = [(10.0 + at, at, 1, 2, at << 30, 1, 1) for at in range(10)]
    failures = [
        {"key": "clean-b", "kind": "ValueError", "message": "n/a", "traceback": "line 3", "ago_s": 5.0},
        {"key": "clean-a", "kind": "KeyError", "message": "old", "traceback": "", "ago_s": 15.0},
    ]  # fmt: skip
    events = [
        {"ago_s": 4.0, "who": "w1", "text": "left"},
        {"ago_s": 40.0, "who": "w0", "text": "x"},
    ]
    record = recorded_of(blocks, points=points, failures=failures, events=events)
    page = report_page(record, title="Of a test", written="now")
    text = text_of(page)
    assert page.count("<rect") == 2
    assert page.count('fill="url(#failed)"') == 1
    assert "clean × 4, 500 ms, failed" in text
    assert "clean-b, 2 s" in text
    assert "clean × 4, 500 ms" in text
    assert re.search(r"clean 20 1 10 s 500 ms", text)
    assert "idle" not in text
    assert "Slots 2, 50 % busy" in text
    assert "Most memory 9.0 GiB" in text
    assert "line 3" in text
    assert "KeyError" not in text
    assert "6 s w1 left" in text
    assert "w0" not in text


@pytest.mark.parametrize("blocks", [[], [[1, 0, 11.0, 0.0, 9, 1, 2, ""]] * 7_000])
def test_of_nothing_and_of_much(blocks: list[list[Any]]) -> None:
    """A page comes out, of a bounded size."""
    page = report_page(recorded_of(blocks), title="x", written="y")
    text_of(page)
    assert len(page) < 2_000_000
    assert ("The longest 6,000 of 7,000" in page) == bool(blocks)


def test_names_of_users_do_nothing_to_a_page() -> None:
    """They are text, whatever is in them."""
    record = recorded_of(
        [[1, 0, 11.0, 2.0, 1, 1, 0, f"={EVIL}"]],
        name=EVIL,
        failures=[{"key": EVIL, "kind": EVIL, "message": EVIL, "traceback": EVIL, "ago_s": None}],
        events=[{"ago_s": 1.0, "who": EVIL, "text": EVIL}],
        system={"version": EVIL},
    )
    assert text_of(report_page(record, title=EVIL, written=EVIL)).count("alert(1)") >= 8


def snapshot(epoch: int, t: float, *began: float) -> Event:
    """What a stream begins with: the tasks that began then, each a second long."""
    blocks = [[1, 0, at, 1.0, 1, 1, 0, "a"] for at in began]
    data = {"t": t, "identity": {"epoch": epoch}, "names": {1: "inc"}, "blocks": blocks}
    return Event("snapshot", "1", data)


@pytest.mark.parametrize("past", [False, True])
def test_what_others_have_seen_before_is_taken_if_it_is_wanted(*, past: bool) -> None:
    """And a connection that is lost and found brings nothing twice."""
    recorder = Recorder(source_at("http://h:1", ""), past=past)
    recorder._take(snapshot(1, 5.0, 3.0))
    assert [row[2] for row in recorder._mirror.blocks] == [3.0] * past
    recorder._take(snapshot(1, 9.0, 3.0, 7.0))
    assert [row[2] for row in recorder._mirror.blocks] == [3.0, 7.0]
    recorder._take(snapshot(2, 2.0, 1.0))
    assert [row[2] for row in recorder._mirror.blocks] == [1.0]
    assert recorder._recorded.began == 0


def test_a_timeline_has_lanes_and_keys() -> None:
    """In the units and words of the format."""
    blocks = [[1, 0, 1.5, 0.25, 1, 1, 0, "a"], [2, 3, 2.0, 0.0, 2, 9, 1, ""]]
    trace = chrome_trace(blocks, {1: "clean"}, workers={1: "w1"})
    names = {
        each["pid"]: each["args"]["name"] for each in trace["traceEvents"] if each["ph"] == "M"
    }
    assert names == {1: "w1", 2: "worker 2, which has left"}
    first, second = (each for each in trace["traceEvents"] if each["ph"] == "X")
    assert (first["ts"], first["dur"], first["tid"]) == (1_500_000, 250_000, 0)
    assert first["args"] == {"tasks": 1, "status": "done", "key": "clean-a"}
    assert (second["name"], second["dur"], second["cat"]) == ("?", 1, "failed")
