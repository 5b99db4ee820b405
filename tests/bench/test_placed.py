"""How well work is placed, for real: what follows from the notes of tasks, and that it can be run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.placed import Note, result, solve
from bench.puzzles import Piece, Puzzle, tree

#: Two values, and what needs both of them.
TRIANGLE = Puzzle(
    [Piece("a", 1.0, 30), Piece("b", 1.0, 50), Piece("c", 2.0, 20, (0, 1))], (1.0,) * 2
)


@pytest.mark.parametrize(
    ("places", "moved", "peak"),
    [
        ((1, 1, 1), 0, 100),
        ((1, 2, 1), 50, 150),  # the second value is there twice
        ((1, 2, 3), 80, 180),
    ],
)
def test_what_was_moved_and_held_follows_from_the_notes(
    places: tuple[int, int, int], moved: int, peak: int
) -> None:
    """A value is moved once to each place where it is used; it is held until its last use ends."""
    times = [(0.0, 1.0), (0.0, 1.5), (1.5, 3.5)]
    notes = [Note(at, place, *times[at]) for at, place in enumerate(places)]
    found = result(TRIANGLE, notes, 3.5)
    assert (found.moved * 100, found.peak * 100) == (moved, peak)
    assert found.bound_s == 3.0


def test_a_value_is_moved_once_to_a_place() -> None:
    """However many use it there."""
    pieces = [Piece("a", 1.0, 60), *[Piece("b", 1.0, 20, (0,))] * 2]
    notes = [Note(0, 1, 0.0, 1.0), Note(1, 2, 1.0, 2.0), Note(2, 2, 2.0, 3.0)]
    assert result(Puzzle(pieces, (1.0,) * 2), notes, 3.0).moved == pytest.approx(0.6)


def test_a_task_without_a_note_is_missed() -> None:
    """Then nothing follows from the others."""
    with pytest.raises(AssertionError, match="not every task"):
        result(TRIANGLE, [Note(0, 1, 0.0, 1.0)], 1.0)


def test_a_puzzle_is_solved_by_processes() -> None:
    """Two of them, of which one is slow, and one comes late."""
    pieces = [replace(piece, seconds=0.005, nbytes=1000) for piece in tree().pieces[:300]]
    pieces = [each for each in pieces if all(dep < 256 for dep in each.deps)]
    found = solve("trio_dask", Puzzle(pieces, (2.0, 1.0), late={1: 0.05}))
    assert 0 <= found.moved < 1
    assert 0 < found.peak <= 2
    assert found.makespan_s > found.bound_s > 0
