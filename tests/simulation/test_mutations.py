"""The test of the tests: a cluster with one rule of its cores broken does not get through."""

from __future__ import annotations

import pytest

from tests.simulation.limit_mutations import LIMIT_MUTATIONS
from tests.simulation.mutations import MUTATIONS, SEEDS_MAX, first_failing
from trio_dask.testing.simulation.workloads import MIXED

pytestmark = pytest.mark.simulation


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_broken_rule_is_found(name: str) -> None:
    """Within as many seeds as are played for every change."""
    workload = "limits" if name in LIMIT_MUTATIONS else MIXED
    with MUTATIONS[name]():
        seed = first_failing(workload=workload)
    assert seed is not None, f"{SEEDS_MAX} seeds do not notice: {MUTATIONS[name].__doc__}"
