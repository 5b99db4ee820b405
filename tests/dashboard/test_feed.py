"""What viewers are told: enough, never too much, and the same however late they come."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.dashboard.busy import BusyCluster
from trio_dask.dashboard.feed import KEPT, TURN_S, Feed, Table, merged


class Reader:
    """A viewer who keeps what it is told, as a page does."""

    def __init__(self) -> None:
        self.seq = -1
        self.totals: dict[str, Any] = {}
        self.workers: dict[str, Any] = {}
        self.groups: dict[str, Any] = {}
        self.names: dict[str, str] = {}
        self.blocks = 0
        self.heard = 0
        self.snapshots = 0

    def hear(self, feed: Feed, now: float) -> None:
        """Take what there is."""
        data = feed.since(self.seq)
        if data is None:
            data = feed.snapshot(now)
            self.__init__()  # type: ignore[misc]
            self.snapshots = 1
        if not data:
            return
        text = json.dumps(data, separators=(",", ":"), allow_nan=False)
        self.heard += len(text)
        told = json.loads(text)
        self.seq = told["seq"]
        self.totals |= told.get("totals", {})
        self.names |= told.get("names", {})
        self.blocks += sum(block[5] for block in told.get("blocks", []))
        for name, table in (("workers", self.workers), ("groups", self.groups)):
            part = told.get(name, {})
            for gone in part.get("gone", []):
                table.pop(str(gone), None)
            for key, row in part.get("set", {}).items():
                table[key] = row
            if name == "groups":
                self.names |= part.get("new", {})


def turns(busy: BusyCluster, feed: Feed, readers: list[Reader], seconds: float) -> None:
    """Let time pass, with a turn when one is due, heard by all."""
    end = busy.now + seconds
    while busy.now < end:
        busy.run(busy.now + TURN_S)
        feed.turn(busy.now)
        feed.begin_census()
        while feed.census_step(lambda: 0.0, busy.now):
            pass
        for reader in readers:
            reader.hear(feed, busy.now)


@pytest.fixture
def busy() -> BusyCluster:
    """Three workers with something to do."""
    made = BusyCluster(3)
    made.client()
    made.submit("clean", 100)
    return made


def test_a_reader_knows_what_is(busy: BusyCluster) -> None:
    """From a snapshot and what came after it, as from a new snapshot."""
    feed, first = Feed(busy.view), Reader()
    feed.join()
    turns(busy, feed, [first], 5.0)
    second = Reader()
    second.hear(feed, busy.now)
    assert first.snapshots == second.snapshots == 1
    assert first.totals == second.totals
    assert first.workers == second.workers
    assert first.groups == second.groups
    assert first.totals["workers"] == 3
    assert len(first.workers) == 3
    assert "clean" in first.names.values()
    assert first.blocks > 0


def test_a_slow_reader_skips_and_ends_up_the_same(busy: BusyCluster) -> None:
    """It hears every tenth time, and what it hears is no more than rows."""
    feed, quick, slow = Feed(busy.view), Reader(), Reader()
    feed.join()
    turns(busy, feed, [quick, slow], 1.0)
    for _ in range(3):
        turns(busy, feed, [quick], 5.0)
        slow.hear(feed, busy.now)
        assert (slow.totals, slow.workers, slow.groups) == (
            quick.totals,
            quick.workers,
            quick.groups,
        )
    assert slow.blocks == quick.blocks
    assert slow.snapshots == 1
    assert slow.heard < quick.heard


def test_who_was_away_for_long_gets_a_new_picture(busy: BusyCluster) -> None:
    """What was missed is not kept for ever."""
    feed, one, other = Feed(busy.view), Reader(), Reader()
    feed.join()
    turns(busy, feed, [one, other], 1.0)
    busy.submit("evaluate", 3000)
    turns(busy, feed, [one], TURN_S * (KEPT + 5))
    assert feed.since(other.seq) is None
    other.hear(feed, busy.now)
    assert other.totals == one.totals


@pytest.mark.parametrize("seq", [-1, 10**9])
def test_an_unknown_past_takes_a_picture(busy: BusyCluster, seq: int) -> None:
    """A viewer of another scheduler, or one that makes it up."""
    feed = Feed(busy.view)
    feed.join()
    feed.turn(1.0)
    assert feed.since(seq) is None


def test_a_thousand_workers_fit_into_little() -> None:
    """Twenty kilobytes a second, whatever they do; and everyone is told of in turn."""
    busy = BusyCluster(1000)
    busy.client()
    feed, reader = Feed(busy.view), Reader()
    feed.join()
    for _ in range(10):
        busy.submit("evaluate", 1500)
    turns(busy, feed, [reader], 1.0)
    assert len(reader.workers) == 1000
    reader.heard, began = 0, busy.now
    while busy.now < began + 10:
        busy.submit("evaluate", 1000)
        turns(busy, feed, [reader], 1.0)
    assert reader.heard / 10 < 20_000
    assert reader.snapshots == 1


def test_workers_that_leave_are_gone(busy: BusyCluster) -> None:
    """And those that come are there."""
    feed, reader = Feed(busy.view), Reader()
    feed.join()
    turns(busy, feed, [reader], 1.0)
    busy.leave(10)
    busy.join()
    turns(busy, feed, [reader], 1.0)
    assert set(reader.workers) == {"2", "3", "4"}


def test_nobody_looks_and_somebody_comes_back(busy: BusyCluster) -> None:
    """What happened in between is in the new picture; watching stops and starts."""
    feed, reader = Feed(busy.view), Reader()
    feed.join()
    turns(busy, feed, [reader], 1.0)
    feed.leave()
    assert busy._listener is None
    busy.run(busy.now + 100)
    feed.join()
    turns(busy, feed, [reader], TURN_S)
    assert reader.totals["finished"] == busy.core.state.finished_ever


def test_names_made_by_a_program_do_not_pile_up(
    busy: BusyCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When there are too many, everybody gets a new picture with those there are."""
    monkeypatch.setattr("trio_dask.dashboard.feed._NAMES_MAX", 3)
    feed, reader = Feed(busy.view), Reader()
    feed.join()
    turns(busy, feed, [reader], 1.0)
    for name in ("tokenize", "evaluate", "checksum", "groupby-sum", "shuffle-join"):
        busy.submit(name, 20)
        turns(busy, feed, [reader], 1.0)
        other = Reader()
        other.hear(feed, busy.now)
        assert {other.names[key] for key in other.groups} <= {*busy._names.values()}
        assert reader.groups == other.groups
    assert len(feed._numbers) <= 8


def test_the_past_is_there_before_anybody_looks(busy: BusyCluster) -> None:
    """A point now and then, and not more than fit a screen."""
    feed = Feed(busy.view)
    for _ in range(400):
        busy.run(busy.now + 2.0, step=0.5)
        feed.sample(busy.now)
    points = feed.snapshot(busy.now)["history"]
    assert len(points) == 300
    assert points[0][0] < points[-1][0]


def test_a_count_costs_a_share_of_the_time(busy: BusyCluster) -> None:
    """The longer it takes, the longer until the next one."""
    feed, clock = Feed(busy.view), iter(range(100))
    assert feed.census_is_due(1.0)
    feed.begin_census()
    assert not feed.census_is_due(1.0)
    while feed.census_step(lambda: float(next(clock)), 2.0):
        pass
    assert not feed.census_is_due(50.0)
    assert feed.census_is_due(150.0)


def test_an_hour_with_a_viewer_takes_no_more_memory_than_ten_minutes() -> None:
    """What is kept for viewers has a length."""
    busy = BusyCluster(3)
    busy.client()
    feed, reader, sizes = Feed(busy.view), Reader(), list[int]()
    feed.join()
    feed.turn(0.0)
    reader.hear(feed, 0.0)
    for minute in range(60):
        held = busy.submit("clean", 80) + busy.submit("evaluate", 80)
        for second in range(60):
            busy.run(busy.now + 1.0, step=1.0)
            feed.turn(busy.now)
            feed.sample(busy.now)
            reader.hear(feed, busy.now)
            if second == 30:
                busy.release(held)
        if minute % 10 == 9:
            sizes.append(weight(feed))
    assert reader.blocks > 1_000
    assert max(sizes[1:]) < 1.2 * sizes[0], sizes


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.parametrize("viewers", [0, 10])
def test_an_hour_takes_no_more_memory_of_the_process_either(viewers: int) -> None:
    """Of a scheduler and its feed, with those who look and without: not a megabyte."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.dashboard.an_hour", str(viewers)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True,
    )  # fmt: skip
    first, *_, last = resident = json.loads(done.stdout)
    assert len(resident) == 6
    assert last - first < 1 << 20, resident


def weight(thing: Any, seen: set[int] | None = None) -> int:
    """What an object holds that is the dashboard's own, or plain data, in bytes."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    total = sys.getsizeof(thing)
    if isinstance(thing, dict):
        inner: list[Any] = [*thing.keys(), *thing.values()]
    elif isinstance(thing, list | tuple | set | deque):
        inner = list(thing)
    elif type(thing).__module__.startswith("trio_dask.dashboard"):
        names = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
        inner = [getattr(thing, name) for name in names if hasattr(thing, name)]
        inner += list(getattr(thing, "__dict__", {}).values())
    else:
        inner = []
    return total + sum(weight(each, seen) for each in inner)


def test_a_table_tells_of_those_that_have_waited_longest() -> None:
    """Nobody is passed over for ever."""
    table = Table(2)
    for _ in range(3):
        table.turn(dict.fromkeys("abcdef", (0,)))
    seen: list[str] = []
    for value in (1, 2, 3):
        changed, gone = table.turn(dict.fromkeys("abcdef", (value,)))
        assert gone == []
        seen += changed
    assert sorted(seen) == list("abcdef")
    assert table.turn({})[0] == {}


_rows = st.dictionaries(st.sampled_from("abcd"), st.tuples(st.integers(0, 3)))


@given(st.lists(_rows, min_size=1, max_size=8), st.integers(1, 7))
def test_differences_joined_are_the_differences(states: list[dict[str, Any]], cut: int) -> None:
    """One after the other, or all as one: a reader knows the same."""
    table, deltas = Table(10), []
    for seq, rows in enumerate(states):
        changed, gone = table.turn(rows)
        part = {"new": dict(changed), "set": changed, "gone": gone}
        deltas.append({"seq": seq, "t": 0.0, "workers": {k: v for k, v in part.items() if v}})

    def read(told: list[dict[str, Any]]) -> dict[str, Any]:
        known: dict[str, Any] = {}
        for delta in told:
            for key in delta.get("workers", {}).get("gone", []):
                known.pop(key, None)
            known |= delta.get("workers", {}).get("set", {})
        return known

    joined = [merged(each) for each in (deltas[:cut], deltas[cut:]) if each]
    assert read(deltas) == read(joined) == states[-1]
