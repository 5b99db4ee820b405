"""Very many workers and tasks in one simulated cluster."""

from __future__ import annotations

import pytest

from trio_dask.testing.simulation.large import run_large

pytestmark = pytest.mark.simulation


def test_a_small_large_cluster() -> None:
    """Every task runs once, all books are whole, and it can be told what it took."""
    result = run_large(workers=50, tasks=5000)
    assert result.violations == []
    assert result.attempts == 5000
    assert "50 workers, 5,000 tasks, 5,000 attempts" in result.report()
    assert result.core_bytes < 500


@pytest.mark.nightly
def test_a_thousand_workers_and_a_million_tasks() -> None:
    """It runs to the end."""
    result = run_large()
    assert result.violations == []
    assert result.attempts == 1_000_000
