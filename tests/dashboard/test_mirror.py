"""What a reader of the stream knows: the same as who asks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.dashboard.busy import BusyCluster
from trio_dask.dashboard.feed import TURN_S, Feed
from trio_dask.dashboard.mirror import Event, Lines, Mirror, Progress


def heard(feed: Feed, mirror: Mirror, seq: int, now: float) -> int:
    """Take what there is; the number of the last event."""
    delta = feed.since(seq)
    kind, data = ("snapshot", feed.snapshot(now)) if delta is None else ("delta", delta)
    if data:
        mirror.take(Event(kind, str(data["seq"]), json.loads(json.dumps(data))), blocks=True)
    return feed.seq


def test_a_mirror_shows_what_is() -> None:
    """Workers, functions and totals, also after some have left."""
    busy = BusyCluster(3, failing=0.5)
    busy.client()
    feed, mirror, seq = Feed(busy.view), Mirror(), -1
    feed.join()
    for round_ in range(20):
        busy.submit("clean", 10)
        busy.run(busy.now + TURN_S)
        for _ in busy.view.census():
            pass
        feed.turn(busy.now)
        seq = heard(feed, mirror, seq, busy.now)
        if round_ == 9:
            busy.leave(10)
    assert mirror.ready
    assert mirror.totals["finished"] == busy.view.totals()["finished"]
    assert sorted(each["name"] for each in mirror.workers.values()) == ["node-000-1", "node-000-2"]
    rows = busy.view.worker_rows(busy.now)
    assert {n: each["processing"] for n, each in mirror.workers.items()} == {
        number: row[0] for number, row in rows.items()
    }
    (clean,) = mirror.progress()
    assert clean.name == "clean"
    assert clean.total >= 200  # what ran where a worker died ran again
    assert clean.failed > 0
    assert sum(row[5] for row in mirror.blocks) == mirror.totals["finished"]


def test_a_new_picture_forgets_the_old_one_and_no_block_twice() -> None:
    """Who comes back after a while."""
    mirror = Mirror()
    first: dict[str, Any] = {
        "t": 1.0, "totals": {"tasks": 1}, "workers": {"new": {"1": ["w", "a", "h", 1, 0, 1]}},
        "groups": {"new": {"1": "f"}, "set": {"1": [0] * 12}}, "blocks": [[1, 0, 0.5, 0.1, 1, 1, 0, ""]],
    }  # fmt: skip
    mirror.take(Event("snapshot", "1", first), blocks=True)
    assert mirror.workers[1]["name"] == "w"
    assert mirror.workers[1]["processing"] == 0
    second = {"t": 9.0, "blocks": [*first["blocks"], [1, 0, 0.7, 0.1, 1, 1, 0, ""]]}
    mirror.take(Event("snapshot", "9", second), blocks=True)
    assert (mirror.totals, mirror.workers, mirror.groups) == ({}, {}, {})
    assert [row[2] for row in mirror.blocks] == [0.5, 0.7]
    mirror.take(Event("beat", "", {"t": 10.0}))
    assert mirror.t == 10.0


def test_events_come_in_lines() -> None:
    """Comments, retries and unknown fields are nothing to us; data may have several lines."""
    lines = Lines()
    text = ': a comment\nretry: 1000\n\nevent: beat\ndata: {\ndata: "t": 2}\nodd\n\ndata:1\n\n'
    events = [event for each in text.split("\n") if (event := lines.take(each)) is not None]
    assert events == [Event("beat", "", {"t": 2}), Event("message", "", 1)]
    lines.take("data: {")
    with pytest.raises(ValueError, match="Expecting"):
        lines.take("")


def test_what_has_run_and_is_forgotten_counts() -> None:
    """As done; what failed has run, too."""
    row = {"name": "f", "waiting": 1, "assigned": 2, "done": 3, "failed": 1, "runs": 10}
    assert Progress.of(row) == Progress("f", 9, 1, 3, 10, 0.0)
