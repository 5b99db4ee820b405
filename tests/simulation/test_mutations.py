"""The test of the tests: a cluster with one rule of its cores broken does not get through."""

from __future__ import annotations

import pytest

from tests.simulation.mutations import MUTATIONS
from trio_dask.testing.simulation.session import run_one

pytestmark = pytest.mark.simulation

SEEDS_MAX = 2000


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_broken_rule_is_found(name: str) -> None:
    """Within as many seeds as are run for every change."""
    with MUTATIONS[name]():
        for seed in range(SEEDS_MAX):
            result = run_one(seed)
            if isinstance(result, str) or not result.ok:
                return
    pytest.fail(f"{SEEDS_MAX} seeds do not notice: {MUTATIONS[name].__doc__}")
