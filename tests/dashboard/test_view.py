"""What the scheduler shows of itself: read from its tables, true at any time."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from tests.dashboard.busy import BusyCluster
from tests.scheduler.conftest import Driver
from trio_dask.dashboard.plain import plain
from trio_dask.dashboard.view import GROUP_COLUMNS, WORKER_COLUMNS, WORKER_FIXED
from trio_dask.eventlog import kept_lines
from trio_dask.messages import session, tasks as words
from trio_dask.messages.failure import Failure
from trio_dask.scheduler.core import chronicle
from trio_dask.scheduler.observing import SchedulerView, view as shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.dashboard.view import View


class Watched(Driver):
    """A core with a view."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._listener: Callable[..., None] | None = None
        self.view = SchedulerView(self.core.state, self._listen, address="tcp://s:1", now=0.0)

    def _listen(self, listener: Callable[..., None] | None) -> None:
        self._listener = listener

    def tell(self, peer: int, message: Any) -> None:
        """The peer says something, and who listens hears it first."""
        if self._listener is not None:
            self._listener(peer, message, self.now)
        super().tell(peer, message)

    def groups(self) -> dict[str, dict[str, Any]]:
        """The groups after a count."""
        for _ in self.view.census():
            pass
        rows = self.view.group_rows().items()
        return {name: dict(zip(GROUP_COLUMNS, row, strict=True)) for name, row in rows}

    def why(self, tid: int) -> str:
        """Why the task is where it is."""
        page = self.view.task(self.core.state.key_of(self.core.state.tasks[tid]), self.now)
        assert page is not None
        return " ".join(page["why"])


@pytest.fixture
def cluster() -> Watched:
    """A watched core with nobody there."""
    return Watched()


def test_the_view_is_what_the_dashboard_asks_for() -> None:
    """The rooms are strangers, and mean the same by their columns."""
    assert shown.WORKER_COLUMNS == WORKER_COLUMNS
    assert shown.WORKER_FIXED == WORKER_FIXED
    assert shown.GROUP_COLUMNS == GROUP_COLUMNS
    view: View = Watched().view
    assert view.size == 0


def test_totals_follow_what_happens(cluster: Watched) -> None:
    """At any moment, without a count."""
    first = cluster.client()
    cluster.worker(2, nthreads=2)
    cluster.submit(first, [b"x"] * 9)
    totals = cluster.view.totals()
    assert (totals["tasks"], totals["processing"], totals["queued"]) == (9, 3, 6)
    assert (totals["slots"], totals["busy"], totals["workers"], totals["clients"]) == (2, 2, 1, 1)
    cluster.done(2, cluster.run(2))
    totals = cluster.view.totals()
    assert totals["finished"] == 3
    assert totals["tasks"] == totals["processing"] + totals["queued"] + 3


def test_a_census_counts_every_task_once(cluster: Watched) -> None:
    """By function and state, with the bytes of values; what two clients share is one task."""
    first = cluster.client()
    other = cluster.client(5)
    cluster.worker(2)
    one, two, three = cluster.submit(first, [b"x"] * 3, [[], [first], [first + 1]])
    cluster.tell(5, words.Want([other], [one]))
    groups = cluster.groups()["inc"]
    assert (groups["assigned"], groups["waiting"]) == (1, 2)
    cluster.done(2, cluster.run(2), None)
    after = cluster.groups()["inc"]
    assert (after["done"], after["assigned"], after["waiting"]) == (1, 1, 1)
    assert (after["nbytes"], after["runs"], after["failures"]) == (9, 1, 0)
    assert after["seconds"] >= 0
    assert two < three


def test_values_from_clients_are_a_group_of_their_own(cluster: Watched) -> None:
    """They have no function."""
    first = cluster.client()
    cluster.tell(1, words.Put([first], [10], [], broadcast=False))
    assert cluster.groups()["data"]["waiting"] == 1
    assert "no worker" in cluster.why(first)


def test_a_task_is_described_with_what_it_hangs_on(cluster: Watched) -> None:
    """Inputs, outputs, where its value is; in plain data."""
    first = cluster.client()
    cluster.worker(2, nthreads=2)
    one, two = cluster.submit(first, [b"x", b"y"], [[], [first]], keys=["one", "two (x, 1)"])
    cluster.done(2, cluster.run(2), None)
    page = cluster.view.task("one", 0.0)
    assert page is not None
    assert page["state"] == "done"
    assert page["where"] == ["w2"]
    assert [each["key"] for each in page["outputs"]] == ["two (x, 1)"]
    page = cluster.view.task("two (x, 1)", 0.0)
    assert page is not None
    assert [each["key"] for each in page["inputs"]] == ["one"]
    assert cluster.view.task("three", 0.0) is None
    json.dumps(plain(page))
    assert one != two


@pytest.mark.parametrize(
    ("options", "workers", "says"),
    [
        ({}, [], "no worker at all"),
        ({"workers": ["x"]}, [{}], "Only x may run it"),
        ({"resources": {"GPU": 1}}, [{}], "no worker has that much"),
        ({"workers": ["w2"]}, [{"nthreads": 1}], "given to w2"),
    ],
)
def test_why_says_what_is_missing(
    cluster: Watched, options: dict[str, Any], workers: list[dict[str, Any]], says: str
) -> None:
    """In words."""
    first = cluster.client()
    for number, fields in enumerate(workers):
        cluster.worker(2 + number, **fields)
    (task,) = cluster.submit(first, [b"x"], **options)
    assert says in cluster.why(task)


def test_why_names_what_all_waits_for(cluster: Watched) -> None:
    """At the end of a chain."""
    first = cluster.client()
    cluster.worker(2)
    tasks = cluster.submit(first, [b"x"] * 4, [[], [first], [first + 1], [first + 2]])
    says = cluster.why(tasks[3])
    assert f"waits for 1 input: inc-{tasks[2]:x} (waiting)" in says
    assert f"In the end that is inc-{tasks[0]:x}" in says


def test_why_of_what_waits_in_line(cluster: Watched) -> None:
    """How many are before it, and where they could run."""
    first = cluster.client()
    cluster.worker(2)
    tasks = cluster.submit(first, [b"x"] * 10)
    assert "1 slot on 1 worker that may run it" in cluster.why(tasks[9])
    assert "8 tasks in line" in cluster.why(tasks[9])
    assert "runs, or is about to" in cluster.why(tasks[0])
    assert "come before it" in cluster.why(tasks[1])


def test_why_of_what_is_over(cluster: Watched) -> None:
    """Done, failed, cancelled: each has a sentence."""
    first = cluster.client()
    cluster.worker(2)
    tasks = cluster.submit(first, [b"x"] * 3)
    cluster.tell(1, words.Cancel([tasks[2]], "enough of it"))
    assert "enough of it" in cluster.why(tasks[2])
    cluster.fail(2, cluster.run(2))
    assert "It failed" in cluster.why(tasks[0])
    tasks = cluster.submit(tasks[2] + 1, [b"x"])
    cluster.done(2, cluster.run(2))
    assert "1 future of clients" in cluster.why(tasks[0])


def test_failures_are_remembered_when_their_tasks_are_forgotten(cluster: Watched) -> None:
    """With what they said, and where; the newest first, and not for ever."""
    first = cluster.client()
    cluster.worker(2)
    cluster.now = 7.0
    failure = Failure(kind="ValueError", message="no such thing", traceback="File x").to_bytes()
    for number in range(300):
        (task,) = cluster.submit(first + number, [b"x"])
        cluster.fail(2, cluster.run(2), failure)
        cluster.tell(1, words.Release([task]))
    assert cluster.view.totals()["failures"] == 300
    assert cluster.groups()["inc"]["failures"] == 300
    newest = cluster.view.failures(now=10.0)
    assert len(newest) == 100
    assert newest[0]["key"] == f"inc-{first + 299:x}"
    assert newest[0]["message"] == "no such thing"
    assert newest[0]["worker"] == "w2"
    assert newest[0]["ago_s"] == 3.0
    assert len(cluster.view.failures(10.0, 10_000)) == 256


@pytest.mark.parametrize(
    "why", [b"", b"oops", b"x" * 100_000, Failure("E" * 9, "m" * 200_000).to_bytes()]
)
def test_any_failure_can_be_shown(cluster: Watched, why: bytes) -> None:
    """Also what makes no sense, or is far too large to be kept."""
    first = cluster.client()
    cluster.worker(2)
    cluster.submit(first, [b"x"])
    cluster.fail(2, cluster.run(2), why)
    (line,) = cluster.view.failures(1.0)
    assert len(json.dumps(plain(line))) < 40_000
    assert len(cluster.core.state.failures[0].why) < 70_000


def test_odd_metrics_are_no_trouble(cluster: Watched) -> None:
    """A worker says of itself what it likes."""
    cluster.worker(2)
    for metrics in (
        {"rss": -1, "runner": None},
        {"rss": "much", "runner": {"rss": 1e9, "cpu_s": "x"}},
        {"runner": {"rss": 5 << 20, "cpu_s": float("nan")}},
        {"runner": {"rss": 5 << 20, "cpu_s": 1e300}},
        {},
    ):
        cluster.tell(2, session.Heartbeat(metrics))
        ((_, _, memory, cpu, *_),) = cluster.view.worker_rows(0.0).values()
        assert (memory, cpu) in {(0, 0), (5, 0)}
        json.dumps(plain(cluster.view.worker("w2", 0.0)), allow_nan=False)


def test_search_finds_by_key_function_and_state(cluster: Watched) -> None:
    """A slice at a time, and says whether that is all."""
    first = cluster.client()
    cluster.submit(first, [b"x"] * 2500)
    cluster.submit(first + 2500, [b"x"], keys=["my own"])

    def found(**what: Any) -> tuple[list[str], bool, int]:
        steps, search = 0, cluster.view.search(**what)
        while True:
            try:
                next(search)
            except StopIteration as end:
                keys = [each["key"] for each in end.value["tasks"]]
                return keys, end.value["complete"], steps
            steps += 1

    assert found(text="my o") == (["my own"], True, 2)
    assert found(text=f"inc-{first:x}") == ([f"inc-{first:x}"], True, 0)
    keys, complete, _ = found(name="inc", state="ready", limit=7)
    assert len(keys) == 7
    assert not complete
    assert found(state="failed")[0] == []


def test_blocks_fill_the_lanes_backwards(cluster: Watched) -> None:
    """A task ended when the news came; those of one message one after another in each lane."""
    first = cluster.client()
    cluster.worker(2, nthreads=2)
    cluster.view.watch()
    cluster.submit(first, [b"x"] * 3)
    cluster.now = 10.0
    cluster.done(2, cluster.run(2), seconds=0.5)
    blocks, left_out = cluster.view.blocks()
    assert left_out == 0
    spans = sorted((block[1], block[2], block[3]) for block in blocks)
    assert spans == [(0, 9.0, 0.5), (0, 9.5, 0.5), (1, 9.5, 0.5)]
    assert {block[4] for block in blocks} == {"inc"}
    assert cluster.view.worker_fixed()[1][-1] == 2
    assert cluster.view.blocks() == ([], 0)


def test_tiny_tasks_become_one_block() -> None:
    """A hundred thousand a second are as many blocks as can be seen."""
    busy = BusyCluster(1, slots=1, seed=3)
    busy.client()
    busy.view.watch()
    tasks = busy.submit("checksum", 500)
    busy.run(3.0, step=0.002)
    blocks, left_out = busy.view.blocks()
    assert left_out == 0
    assert sum(block[5] for block in blocks) == len(tasks)
    assert len(blocks) < 20


def test_a_crowd_is_drawn_in_part() -> None:
    """So many lanes, so many blocks between two looks; the others are counted."""
    busy = BusyCluster(100, slots=2)
    busy.client()
    busy.view.watch()
    busy.submit("evaluate", 4000)
    busy.run(4.0)
    blocks, left_out = busy.view.blocks()
    assert len(blocks) <= 120 + 64
    assert left_out > 0
    assert sum(row[-1] for row in busy.view.worker_fixed().values()) == 64


def test_what_has_happened_is_remembered(cluster: Watched) -> None:
    """The newest first; what is said again at once is counted."""
    first = cluster.client()
    cluster.worker(2)
    cluster.submit(first, [b"x"] * 3)
    cluster.now = 4.0
    cluster.fail(2, cluster.run(2))
    cluster.core.left(2, "it was cut")
    (left, failed, *_) = cluster.view.events(now=6.0)
    assert (left["kind"], left["who"], left["text"]) == ("worker", "w2", "left: it was cut")
    assert (failed["text"], failed["times"]) == ("a task failed on w2", 2)
    assert failed["ago_s"] == 2.0
    for number in range(2_000):
        chronicle.note(cluster.core.state, chronicle.CLIENT, f"c{number}", "left")
    assert len(cluster.view.events(0.0)) == 1_000


def test_what_is_said_again_is_the_newest(cluster: Watched) -> None:
    """It is counted, and stands where the last time belongs."""
    state = cluster.core.state
    for state.now, who in (
        (1.0, "a"),
        (2.0, "b"),
        (3.0, "a"),
        (30.0, "b"),
        (31.0, "a"),
        (32.0, "b"),
    ):
        chronicle.note(state, chronicle.CLIENT, who, "left")
    events = cluster.view.events(now=40.0)
    assert [(each["who"], each["times"], each["ago_s"]) for each in events] == [
        ("b", 2, 8.0), ("a", 1, 9.0), ("a", 2, 37.0), ("b", 1, 38.0),
    ]  # fmt: skip


def test_a_task_has_a_history(cluster: Watched) -> None:
    """Who brought it, what died under it, and for how long it has been running."""
    first = cluster.client()
    cluster.worker(2)
    (task,) = cluster.submit(first, [b"x"], retries=1)
    (attempt,) = cluster.run(2).attempts
    certificate = {"signal": 11, "running": [[attempt, 2.5]], "output": ["the end"]}
    cluster.tell(2, words.RunnerDied([attempt], [], [], certificate))
    cluster.now = 8.0
    cluster.tell(2, words.Running([*cluster.run(2).attempts], [3.0]))
    page = cluster.view.task(cluster.core.state.key_of(cluster.core.state.tasks[task]), 9.0)
    assert page is not None
    assert page["ran_s"] == 4.0
    assert page["deaths"][0]["output"] == ["the end"]
    assert "killed by signal 11 after 2.5 s on worker w2" in page["history"][1]
    assert page["history"][-2] == "Given to w2, where it has been running for 4.0 s."
    worker = cluster.view.worker("w2", 9.0)
    assert worker is not None
    assert [each["ran_s"] for each in worker["running"]] == [4.0]
    assert worker["events"][0]["kind"] == "death"


@pytest.mark.parametrize("deaths", [5, [{}], [{"worker": 3, "reason": b"x"}], [[]]])
def test_a_made_up_death_is_no_trouble(cluster: Watched, deaths: Any) -> None:
    """A failure may say that of its origin."""
    first = cluster.client()
    cluster.worker(2)
    (task,) = cluster.submit(first, [b"x"])
    failure = Failure("E", "m", origin={"deaths": deaths}).to_bytes()
    cluster.fail(2, cluster.run(2), failure)
    page = cluster.view.task(cluster.core.state.key_of(cluster.core.state.tasks[task]), 0.0)
    json.dumps(plain(page))


def graph_of(cluster: Watched, **what: Any) -> dict[str, Any]:
    """The graph, however many slices that takes."""
    steps = cluster.view.graph(**what)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def test_a_graph_of_functions_and_of_tasks(cluster: Watched) -> None:
    """Who takes whose values; one by one if these are not too many."""
    first = cluster.client()
    tasks = cluster.submit(first, [b"x"] * 4, [[], [first], [first], [first + 1, first + 2]])
    graph = graph_of(cluster)
    assert graph["edges"] == [["inc", "inc", 4]]
    assert graph["groups"] == [{"name": "inc", "states": {"ready": 1, "waiting": 3}}]
    assert "tasks" not in graph
    graph = graph_of(cluster, limit=4)
    assert [each[0] for each in graph["tasks"]] == [f"inc-{task:x}" for task in tasks]
    assert graph["links"] == [[0, 1], [0, 2], [1, 3], [2, 3]]
    assert "tasks" not in graph_of(cluster, limit=3)
    assert graph_of(cluster, limit=9, name="none")["tasks"] == []


def test_lines_of_the_log_are_kept() -> None:
    """The newest first, for as long as the server lives; also lines that cannot be made."""
    logger = logging.getLogger("trio_dask.dashboard.tests")
    logger.setLevel("INFO")
    with kept_lines(lambda: 5.0) as lines:
        logger.info("%s joined", "w1")
        odd = logging.LogRecord("x", logging.INFO, "", 1, "%d", ("no number",), None)
        lines.emit(odd)
        assert "cannot be shown: TypeError" in lines.lines(5.0)[0]["text"]
        for number in range(600):
            logger.info("line %d", number)
        kept = lines.lines(7.0)
        assert len(kept) == 500
        assert kept[0] == {
            "ago_s": 2.0,
            "level": "INFO",
            "logger": logger.name,
            "text": "line 599",
        }
    logger.info("afterwards")
    assert len(lines.lines(7.0)) == 500
    assert "afterwards" not in lines.lines(7.0)[0]["text"]


def test_what_nobody_takes_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where a scheduler and workers live in one process, and each keeps what is logged."""
    logger, root = logging.getLogger("trio_dask.dashboard.tests"), logging.getLogger()
    handlers, root.handlers = root.handlers, []
    try:
        with kept_lines(lambda: 5.0) as one, kept_lines(lambda: 5.0) as two:
            logger.warning("mind the gap")
    finally:
        root.handlers = handlers
    assert capsys.readouterr().err == "mind the gap\n"
    assert one.lines(5.0)[0]["text"] == two.lines(5.0)[0]["text"] == "mind the gap"


def test_nobody_watching_costs_nothing(cluster: Watched) -> None:
    """Nothing is collected, and the server is not listened to."""
    listening = [cluster._listener is not None]
    for change in (cluster.view.watch, cluster.view.unwatch):
        change()
        listening.append(cluster._listener is not None)
    assert listening == [False, True, False]
    assert cluster.view.blocks() == ([], 0)
