"""Clients share queues, variables, data sets and locks while schedulers come and go."""

from __future__ import annotations

from typing import Final

import pytest

from tests.simulation.mirror_mutations import MIRROR_MUTATIONS
from trio_dask.testing import Fault, Simulation
from trio_dask.testing.simulation.session import run_one

pytestmark = pytest.mark.simulation

#: Schedulers die while all of it is under way.
DEATHS: Final = tuple(
    Fault(at=at, kind="scheduler dies", host="scheduler", seconds=0.05)
    for at in (0.15, 0.5, 0.9, 1.3, 1.7, 2.3, 3.0)
)
SEEDS_MAX: Final = 100
#: Seeds that have found what is rarely found: the search begins there.
FOUND_AT: Final = {"give_the_same_numbers": 658, "tell_nobody_at_once": 143}


def _plays(seed: int) -> bool:
    result = run_one(seed, workload="shared", workers=2, clients=3, faults=DEATHS)
    return not isinstance(result, str) and result.ok


def test_nothing_is_lost_and_nothing_is_there_twice() -> None:
    """Whatever was acknowledged; and everybody's waits go on."""
    assert [seed for seed in range(12) if not _plays(seed)] == []


@pytest.mark.nightly
def test_with_all_that_may_go_wrong() -> None:
    """Workers, clients and connections, too."""
    runs = [Simulation(seed=seed, workload="shared").run() for seed in range(300)]
    assert [run.report() for run in runs if not run.ok] == []


@pytest.mark.parametrize("name", MIRROR_MUTATIONS)
def test_each_broken_rule_is_found(name: str) -> None:
    """Within few seeds, as this is what they are about."""
    start = FOUND_AT.get(name, 0)
    with MIRROR_MUTATIONS[name]():
        found = any(not _plays(seed) for seed in range(start, start + SEEDS_MAX))
    assert found, f"{SEEDS_MAX} seeds do not notice: {MIRROR_MUTATIONS[name].__doc__}"
