"""How well work is placed, in virtual time: the same on every machine."""

from __future__ import annotations

import pytest

from bench.placement import Outcome, Town
from bench.puzzles import PUZZLES

#: Of each puzzle: how many times the bound it may take, and which shares of all bytes may be
#: moved, and held at a time.
LIMITS = {
    "merge": (1.4, 0.95, 2.0),
    "tree": (1.25, 0.6, 0.2),
    "crossbar": (1.25, 1.5, 2.2),
    "stencil": (1.2, 0.9, 0.2),
    "Cholesky": (1.5, 0.9, 0.5),
    "groupby": (1.4, 0.6, 1.0),
    "varied durations": (1.15, 0.0, 1.0),
    "a slow worker": (1.25, 0.0, 1.0),
    "workers that come late": (1.2, 0.2, 0.35),
    "load, then reduce": (1.15, 0.05, 0.2),
}


def solved(name: str) -> Outcome:
    """A puzzle, solved."""
    return Town(PUZZLES[name]()).solve()


@pytest.mark.parametrize("name", PUZZLES)
def test_work_is_placed_well(name: str) -> None:
    """Not much slower than any order could be, with not much more moved or held than needed."""
    times, moved, held = LIMITS[name]
    outcome = solved(name)
    assert 1 <= outcome.times_bound <= times
    assert outcome.moved <= moved * outcome.made
    assert outcome.peak <= held * outcome.made


def test_it_is_placed_alike_every_time() -> None:
    """No clock, no chance."""
    assert solved("Cholesky") == solved("Cholesky")
