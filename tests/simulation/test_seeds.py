"""Whole clusters from seeds: whatever dies on the way, everything wanted ends as it should."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from trio_dask.testing import Simulation

pytestmark = pytest.mark.simulation


def test_everything_wanted_ends(simulation_seed: int) -> None:
    """With faults: right values, whole books after every step, nothing left in the end."""
    run = Simulation(seed=simulation_seed).run()
    assert run.ok, run.report()


@pytest.mark.parametrize("seed", range(10))
def test_a_quiet_cluster(seed: int) -> None:
    """Without faults and with more of everything."""
    run = Simulation(seed=1000 + seed, workers=6, clients=4, faults=False).run()
    assert run.ok, run.report()
    assert run.finished > 0


def _hash_in_new_process(seed: int, hash_seed: str) -> str:
    code = (
        f"from trio_dask.testing import Simulation; print(Simulation(seed={seed}).run().trace_hash)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_a_seed_is_one_history() -> None:
    """Two runs, two processes, two hash seeds: one trace."""
    here = Simulation(seed=17).run().trace_hash
    assert here == Simulation(seed=17).run().trace_hash
    assert here == _hash_in_new_process(17, "1") == _hash_in_new_process(17, "2")
    assert here != Simulation(seed=18).run().trace_hash
