"""Whole clusters from seeds: whatever dies on the way, everything wanted ends as it should."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from trio_dask.testing import Fault, Simulation
from trio_dask.testing.simulation import FAULTS, WORKLOADS, Plan, play
from trio_dask.testing.simulation.session import run_seeds

pytestmark = pytest.mark.simulation

#: Faults that any small cluster has somebody for.
EVERY_FAULT = [
    Fault(at=0.15 + number / 20, kind=kind, **{"host": "w0", **more})  # type: ignore[arg-type, dict-item]
    for number, (kind, more) in enumerate({
        "runner dies": {},
        "memory runs out": {"seconds": 0.2},
        "data connections break": {"other": "w1"},
        "partition": {"other": "w1", "seconds": 0.5},
        "slow host": {"seconds": 0.5, "factor": 10.0},
        "slow link": {"other": "w1", "seconds": 0.5, "factor": 10.0},
        "stalled link": {"other": "w1", "seconds": 0.5},
        "stalled host": {"seconds": 0.5},
        "worker is cut off": {},
        "worker dies": {"seconds": 0.3},
        "worker is retired": {"host": "w1", "other": "c1", "seconds": 0.05},
        "worker drains": {"seconds": 0.05},
        "process drains": {"host": "w1", "seconds": 0.05},
        "workers restart": {"other": "c1"},
        "cluster restarts": {"host": "c1"},
        "client is cut off": {"host": "c0"},
        "client dies": {"host": "c0"},
        "plugin comes": {"host": "c1", "factor": 1.0},
        "values are spread": {"host": "c1"},
        "scheduler dies": {"host": "scheduler", "seconds": 0.3},
        "runner is recycled": {"host": "w1"},
    }.items())
]  # fmt: skip


def test_everything_wanted_ends(simulation_seed: int) -> None:
    """With faults: right values, whole books, nothing left in the end."""
    run = Simulation(seed=simulation_seed).run()
    assert run.ok, run.report()


@pytest.mark.parametrize("workload", WORKLOADS)
def test_each_workload(workload: str) -> None:
    """By itself, without faults: it does something, and gets through."""
    for seed in range(3):
        run = Simulation(seed=seed, workers=3, clients=2, workload=workload, faults=False).run()
        assert run.ok, run.report()
        assert run.finished > 0 or workload == "shared"  # which asks for things, and runs nothing
        assert run.steps > 100


def test_faults_may_be_said() -> None:
    """Given explicitly, they happen; the report names them."""
    assert {fault.kind for fault in EVERY_FAULT} == FAULTS.keys()
    run = Simulation(seed=1, workers=2, clients=2, workload="random_dag", faults=EVERY_FAULT).run()
    assert run.ok, run.report()
    assert all(f"{kind} ×1" in run.report() for kind in FAULTS)


def test_an_unknown_workload() -> None:
    """Is refused, and those there are are named."""
    with pytest.raises(ValueError, match="no workload is called 'nap'; there are mixed, map"):
        Simulation(seed=1, workload="nap").run()


def test_a_plan_is_text() -> None:
    """Written and read it is the same, and so is its history."""
    plans = [Simulation(seed=seed).plan() for seed in range(20)]
    read = [Plan.from_json(plan.to_json()) for plan in plans]
    assert read == plans
    assert play(read[-1]).trace_hash == Simulation(seed=19).run().trace_hash


SEEDS_RUN_TWICE = range(30)


def _hashes() -> list[str]:
    return [Simulation(seed=seed).run().trace_hash for seed in SEEDS_RUN_TWICE]


def _hashes_in_new_process(hash_seed: str) -> list[str]:
    code = (
        "from trio_dask.testing import Simulation\n"
        f"for seed in {SEEDS_RUN_TWICE}: print(Simulation(seed=seed).run().trace_hash)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_a_seed_is_one_history() -> None:
    """Two runs, two processes, two hash seeds: one trace; and another seed is another one."""
    here = _hashes()
    assert here == _hashes()
    assert here == _hashes_in_new_process("1") == _hashes_in_new_process("2")
    assert len(set(here)) == len(here)


def test_many_seeds_in_processes() -> None:
    """They add up, wherever they ran."""
    alone, together = run_seeds(range(40)), run_seeds(range(40), jobs=2)
    assert together.seeds == 40
    assert (together.steps, together.coverage) == (alone.steps, alone.coverage)
    assert "40 seeds in" in together.report()
    assert "all held" in together.report()
