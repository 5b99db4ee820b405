"""Every bug that a simulation has found, once more: the smallest plan that showed it."""

from __future__ import annotations

from pathlib import Path

import pytest

from trio_dask.testing.simulation import Plan, play

pytestmark = pytest.mark.simulation

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_it_does_not_happen_again(path: Path) -> None:
    """The plan is played with every check after every step."""
    run = play(Plan.from_json(path.read_text(encoding="utf-8")), every_step=True)
    assert run.ok, run.report()
