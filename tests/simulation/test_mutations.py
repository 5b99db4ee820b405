"""The test of the tests: a cluster with one rule of its cores broken does not get through."""

from __future__ import annotations

import pytest

from tests.simulation.limit_mutations import LIMIT_MUTATIONS
from tests.simulation.mutations import MUTATIONS, SEEDS_MAX, first_failing
from trio_dask.testing.simulation.workloads import MIXED

pytestmark = pytest.mark.simulation

#: Seeds that have found what is rarely found: the search begins there, and goes on with all others.
FOUND_AT = {
    "do_not_look_for_what_was_made_meanwhile": 145,
    "forget_plugins_on_the_way_back": 446,
    "forget_that_a_receiver_died": 475,
    "keep_what_has_not_begun": 376,
    "wait_for_ever_for_a_farewell": 211,
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_broken_rule_is_found(name: str) -> None:
    """Within as many seeds as are played for every change."""
    workload = "limits" if name in LIMIT_MUTATIONS else MIXED
    start = FOUND_AT.get(name, 0)
    with MUTATIONS[name]():
        seed = first_failing([*range(start, SEEDS_MAX), *range(start)], workload)
    assert seed is not None, f"{SEEDS_MAX} seeds do not notice: {MUTATIONS[name].__doc__}"
