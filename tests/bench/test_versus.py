"""Two checkouts beside each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.versus import compared

ROOT = Path(__file__).parents[2]


def test_what_counts_is_the_median_of_ratios() -> None:
    """Not the ratio of medians: the machine's mood is in both of a pair."""
    before, after = (
        [{"µs": 1.0}, {"µs": 10.0}, {"µs": 3.0}],
        [{"µs": 2.0}, {"µs": 10.0}, {"µs": 6.0}],
    )
    [line] = compared(before, after)
    assert line.split() == ["µs", "3.00", "6.00", "2.000"]


def test_what_took_nothing_does_not_break_it() -> None:
    """A role may have rested."""
    [line] = compared([{"worker CPU µs": 0.0}], [{"worker CPU µs": 0.0}])
    assert line.split()[-1] == "1.000"


@pytest.mark.processes
def test_a_checkout_beside_itself() -> None:
    """One turn each; and a folder that is none is said to be none."""
    command = [sys.executable, "-m", "bench.versus"]
    done = subprocess.run(
        [*command, str(ROOT), "--rounds", "1", "--count", "50"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    head, *lines = done.stdout.splitlines()
    assert head == "map, 1 turns of 50 each: before, after, after / before"
    rows = {line[:22].strip(): line[22:].split() for line in lines}
    assert rows.keys() == {
        "µs", "client CPU µs", "runner CPU µs", "scheduler CPU µs", "worker CPU µs", "CPU µs",
    }  # fmt: skip
    assert all(float(each) > 0 for row in rows.values() for each in row)
    refused = subprocess.run(
        [*command, str(ROOT / "docs")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert "is no checkout" in refused.stderr
