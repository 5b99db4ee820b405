"""Workers leave a simulated cluster in good order: nothing runs twice, whoever leaves how."""

from __future__ import annotations

from collections import Counter

import pytest

from trio_dask.client.core import FINISHED
from trio_dask.testing.simulation import Plan
from trio_dask.testing.simulation.cluster import Cluster
from trio_dask.testing.simulation.faults import arrange
from trio_dask.testing.simulation.plan import (
    HELD,
    INLINE,
    ClientPlan,
    Fault,
    PlannedTask,
    Step,
    WorkerPlan,
)

pytestmark = pytest.mark.simulation

WAYS = ("process drains", "worker drains", "worker is retired")


def _plan(seed: int, *faults: Fault, seconds: float = 0.05) -> Plan:
    """Three workers with held values and scattered data, and tasks that need them."""
    sources = tuple(
        PlannedTask(number=row, seconds=seconds, value=HELD if row % 3 else INLINE)
        for row in range(1, 31)
    )
    sums = tuple(
        PlannedTask(number=30 + row, seconds=seconds, value=HELD, deps=(row, 100 + row % 3))
        for row in range(1, 31)
    )
    steps = (
        Step(do="scatter", numbers=(100, 101, 102)),
        Step(do="submit", tasks=sources),
        Step(do="submit", tasks=sums),
        Step(do="gather", numbers=tuple(range(1, 61))),
    )
    return Plan(
        seed=seed,
        workers=tuple(WorkerPlan(process=row, nthreads=1) for row in range(3)),
        clients=(ClientPlan(steps=steps),),
        faults=faults,
        network="fast",
        allowed_failures=0,
    )


def _play(plan: Plan) -> tuple[Cluster, Counter[int]]:
    cluster = Cluster(plan)
    arrange(cluster)
    ran: Counter[int] = Counter()
    real = cluster.truth.attempt_fails

    def ends(number: int) -> bool:
        ran[number] += 1
        return real(number)

    cluster.truth.attempt_fails = ends  # type: ignore[method-assign]
    (client,) = cluster.clients.values()
    while not client.finished:
        cluster.world.step()
    right = {n: (FINISHED, cluster.truth.expected(n)) for n in cluster.truth.inputs}
    assert {n: end for n, end in client.outcomes.items() if n < 100} == right
    return cluster, ran


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", [0.2, 0.5, 0.9])
def test_nothing_runs_twice(way: str, at: float) -> None:
    """Tasks end in their grace, and what is held moves."""
    fault = Fault(at=at, kind=way, host="w1", other="c0", seconds=30.0)
    cluster, ran = _play(_plan(7, fault))
    assert cluster.worker("w1") is None, "it did not leave"
    assert set(ran.values()) == {1}


def test_two_leave_one_after_the_other() -> None:
    """What has moved to the second moves on."""
    faults = [
        Fault(at=at, kind="process drains", host=host, seconds=30.0)
        for at, host in ((0.4, "w1"), (0.402, "w2"))
    ]
    cluster, ran = _play(_plan(8, *faults))
    assert list(cluster.workers) == ["tcp://w0:1"]
    assert set(ran.values()) == {1}


def test_what_does_not_end_in_its_grace_runs_elsewhere() -> None:
    """It is interrupted, or given up, and not blamed: no failure is allowed here."""
    fault = Fault(at=1.0, kind="process drains", host="w1", seconds=300.0)
    cluster, ran = _play(_plan(9, fault, seconds=2.0))
    assert cluster.worker("w1") is None
    assert set(ran.values()) == {1}, "what was interrupted does not end there"
    assert not cluster.scheduler.core.state.deaths
