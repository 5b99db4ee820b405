"""Medians, ratios, and how the figures are shown."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from bench import report
from bench.arithmetic import medians, quantile, times_better
from bench.cases import CASES
from bench.child import take
from bench.clients import Pool
from bench.rounds import Measured, Rounds
from bench.scale import FULL, QUICK, scale_for
from bench.systems import OURS, SYSTEMS, Running, System
from bench.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_medians_are_taken_of_the_rounds_that_have_the_figure() -> None:
    """A round that could not measure something does not count as nothing."""
    rounds = [{"a": 1.0, "b": 5.0}, {"a": 9.0}, {"a": 2.0, "b": 7.0}]
    assert medians(rounds) == {"a": 2.0, "b": 6.0}
    assert medians([]) == {}


@pytest.mark.parametrize(("share", "value"), [(0.0, 1.0), (0.5, 3.0), (0.99, 4.0), (1.0, 4.0)])
def test_quantiles(share: float, value: float) -> None:
    """The value below which that share lies; of few values the last one is the limit."""
    assert quantile([4.0, 1.0, 3.0, 2.0], share) == value


@pytest.mark.parametrize(
    ("name", "ours", "theirs", "better"),
    [
        ("tasks/s", 1000.0, 100.0, 10.0),
        ("CPU µs/task", 10.0, 100.0, 10.0),
        ("scheduler CPU µs/task", 100.0, 10.0, 0.1),
        ("p99 ms", 1.0, 2.0, 2.0),
        ("returned %", 90.0, 45.0, 2.0),
        ("gathered values/s", 5.0, 10.0, 0.5),
        ("tasks", 50_000.0, 3_000.0, None),
        ("worker CPU µs/task", 1.0, 2.0, None),
        ("extra s", -0.1, 1.0, None),
        ("scheduler CPU %", 1.0, 0.0, None),
    ],
)
def test_better_is_always_more_than_one(
    name: str, ours: float, theirs: float, better: float | None
) -> None:
    """Whether a figure is good when large or when small; and none where it would say nothing."""
    assert times_better(name, ours, theirs) == better


MEASURED = Measured(
    rounds={
        OURS: {"map": [{"tasks/s": 900.0, "p50 ms": 1.0}, {"tasks/s": 1100.0, "p50 ms": 3.0}]},
        "other": {"map": [{"tasks/s": 100.0}], "tree": [{"tasks/s": 7.0}]},
    },
    speeds={
        "loops/s": {OURS: [2e7, 1e7], "other": [3e7]},
        "echoes/s": {OURS: [9e3, 8e3], "other": [7e3]},
    },
    errors=[{"system": "other", "case": "chain", "error": "no"}],
)


def test_ratios_are_of_what_both_have() -> None:
    """By system, case and figure."""
    found = report.ratios(MEASURED.medians())
    assert found == {"other": {"map": {"tasks/s": 10.0}, "tree": {}}}


def test_json_holds_everything() -> None:
    """Machine, settings, every round, medians, ratios, counts and errors, and JSON can say it."""
    written = json.loads(json.dumps(report.as_json(MEASURED, {"calls": 3.0}, {"quick": True})))
    assert written["medians"][OURS]["map"] == {"tasks/s": 1000.0, "p50 ms": 2.0}
    assert written["ratios"]["other"]["map"]["tasks/s"] == 10.0
    assert [each["tasks/s"] for each in written["rounds"][OURS]["map"]] == [900.0, 1100.0]
    assert written["counted"] == {"calls": 3.0}
    assert written["settings"] == {"quick": True}
    assert written["errors"] == MEASURED.errors
    assert {"cpus", "python", "versions", "loops/s", "echoes/s", "load", "date"} <= written[
        "machine"
    ].keys()
    assert written["machine"]["versions"]["trio"]


def test_the_table_shows_figures_and_ratios() -> None:
    """A row for each figure, a column for each system, ratios beside the figures of others."""
    out = io.StringIO()
    Console(file=out, width=100).print(report.table(MEASURED.medians(), CASES.values()))
    assert [line.split() for line in out.getvalue().splitlines()] == [
        ["trio_dask", "other"],
        ["map", "of", "no-ops"],
        ["tasks/s", "1,000", "100", "(10", "×)"],
        ["p50", "ms", "2"],
        ["tree", "reduction"],
        ["tasks/s", "7"],
    ]


def test_how_fast_the_machine_was_is_said() -> None:
    """Over all turns of all systems; nothing of what nobody measured."""
    said = report.machine(MEASURED)
    assert said == "machine: loops/s 10,000,000 to 30,000,000, echoes/s 7,000 to 9,000"
    assert report.machine(Measured()) == "machine: "


@pytest.mark.parametrize(
    ("value", "text"),
    [(101_234.5, "101,234"), (12.34, "12.3"), (0.8412, "0.84"), (0.0512, "0.051"), (3.0, "3")],
)
def test_numbers_have_as_many_figures_as_mean_something(value: float, text: str) -> None:
    """Never more than three, but for whole and large ones."""
    assert report.number(value) == text


# ------------------------------------------------------------ turns


@contextmanager
def in_threads() -> Iterator[Running]:
    """A system of this process."""
    with ThreadPoolExecutor(2) as executor:
        yield Running(Pool(executor), lambda: {"worker": []}, "worker")


THREADS = System("threads", frozenset({"pool"}), in_threads, None, "import json")


def test_a_turn_tells_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    """How fast the machine is, what has begun, what came out; a case that fails is told, too."""
    take(Turn(THREADS, scale_for(quick=True, slow=True)), ["latency", "recovery", "tree"])
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(told[0]["speeds"][name] > 0 for name in ("loops/s", "echoes/s"))
    assert [each["begun"] for each in told if "begun" in each] == ["latency", "recovery", "tree"]
    ended = {each["case"]: each for each in told if "case" in each}
    assert ended["latency"]["figures"].keys() >= {"p50 ms", "p99 ms", "client CPU µs/task"}
    assert ended["recovery"]["error"].startswith("IndexError")  # no process is there to be killed
    assert "Traceback" in ended["recovery"]["traceback"]
    assert ended["tree"]["figures"]["tasks"] == 511


def test_systems_take_turns() -> None:
    """Each round begins with another one, and measures only what makes sense for it."""
    systems = [SYSTEMS[name] for name in (OURS, "distributed", "ProcessPoolExecutor")]
    rounds = Rounds(systems, [CASES["map"], CASES["recovery"]], 2, quick=True)
    assert [(system.name, names) for _, system, names in rounds.turns()] == [
        (OURS, ["map", "recovery"]),
        ("distributed", ["map", "recovery"]),
        ("ProcessPoolExecutor", ["map"]),
        ("distributed", ["map", "recovery"]),
        ("ProcessPoolExecutor", ["map"]),
        (OURS, ["map", "recovery"]),
    ]
    assert rounds.steps() == 10


def test_a_quick_run_is_short_for_distributed() -> None:
    """At most 3,000 tasks in each case, and nothing is more than in a full run."""
    small = scale_for(quick=True, slow=True)
    assert max(small.tasks, small.chains * small.length, 2 * small.leaves) <= 3_000
    assert max(small.inputs, small.width**2, small.values, small.pending, small.dozes) <= 3_000
    assert QUICK.tasks <= FULL.tasks
