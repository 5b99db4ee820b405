"""The scheduler dies: who was connected ends, and who comes later finds an empty cluster."""

from __future__ import annotations

import pytest

from trio_dask.client.core import FINISHED
from trio_dask.testing import Fault, Simulation
from trio_dask.testing.simulation import Plan, play, rules
from trio_dask.testing.simulation.cluster import Cluster
from trio_dask.testing.simulation.faults import arrange
from trio_dask.testing.simulation.plan import ClientPlan, PlannedTask, Step, WorkerPlan

pytestmark = pytest.mark.simulation

DIES_AT = 0.5


def _client(first: int, *, seconds: float, begins: float = 0.0) -> ClientPlan:
    """Some tasks, one that adds them up, and a look at what came of all of them."""
    tasks = tuple(PlannedTask(number=first + row, seconds=seconds) for row in range(10))
    numbers = tuple(task.number for task in tasks)
    total = PlannedTask(number=first + 10, deps=numbers)
    steps = (Step(do="submit", tasks=(*tasks, total)), Step(do="gather", numbers=numbers))
    return ClientPlan(steps=steps, begins=begins)


def _plan(*, back_after: float) -> Plan:
    """One client with tasks under way when the scheduler dies, and one that begins then."""
    return Plan(
        seed=1,
        workers=(WorkerPlan(process=0), WorkerPlan(process=1)),
        clients=(_client(1, seconds=1.0), _client(101, seconds=0.01, begins=DIES_AT)),
        faults=(Fault(at=DIES_AT, kind="scheduler dies", host="scheduler", seconds=back_after),),
    )


def _played(plan: Plan, seconds: float = 20.0) -> Cluster:
    cluster = Cluster(plan)
    arrange(cluster)
    while cluster.world.now < seconds:
        cluster.world.step()
    return cluster


def test_who_was_there_ends_and_who_comes_gets_through() -> None:
    """The first client's waits end with a reason; the second's tasks all come out right."""
    plan = _plan(back_after=0.7)
    run = play(plan, every_step=True)
    assert run.ok, run.report()
    assert "faults: scheduler dies ×1" in run.report()
    cluster = _played(plan)
    before, after = cluster.clients.values()
    assert before.core.ended == "the scheduler died"
    assert not before.waits
    assert not before.outcomes
    assert not after.core.ended
    assert after.outcomes == {
        number: (FINISHED, cluster.truth.expected(number)) for number in range(101, 112)
    }


def test_the_new_scheduler_begins_with_nothing() -> None:
    """Another cluster, no tasks; the workers there are in a new life, and known to it."""
    plan = _plan(back_after=0.7)
    before, after = _played(plan, DIES_AT - 0.2), _played(plan)
    old, new = before.scheduler.core.state, after.scheduler.core.state
    assert old.tasks
    assert old.cluster != new.cluster
    assert not new.tasks
    assert list(old.clients) == list(new.clients) == [1]
    assert sorted(old.workers) == ["tcp://w0:1", "tcp://w1:1"]
    assert sorted(new.workers) == ["tcp://w0:2", "tcp://w1:2"]


def test_no_scheduler_comes() -> None:
    """The client that looks for one gives up; nothing hangs, and nothing else is wrong."""
    plan = _plan(back_after=0.0)
    run = play(plan, every_step=True)
    assert run.ok, run.report()
    ends = [client.core.ended for client in _played(plan).clients.values()]
    assert ends == ["the scheduler died", "nobody is there"]


def test_it_is_one_history() -> None:
    """The same plan, also from its text, has the same trace; when a scheduler is back matters."""
    plan = _plan(back_after=0.7)
    trace = play(plan).trace_hash
    assert play(Plan.from_json(plan.to_json())).trace_hash == trace
    assert play(_plan(back_after=0.8)).trace_hash != trace


def test_a_client_that_ends_without_reason_is_found() -> None:
    """Its plan is not done, and nothing of the kind was to happen to it."""
    plan = _plan(back_after=0.7)
    cluster = _played(plan, 0.2)
    cluster.clients["c0"].die("the network failed")
    found = rules.broken((rules.clients_end_for_a_reason,), cluster)
    assert found == ["c0 has ended: the network failed (clients_end_for_a_reason)"]


def test_seeds_have_it() -> None:
    """Among the first hundred, with clients that are there before and such that come later."""
    plans = [Simulation(seed=seed).plan() for seed in range(100)]
    having = [
        plan for plan in plans if any(fault.kind == "scheduler dies" for fault in plan.faults)
    ]
    assert 5 <= len(having) <= 25
    for plan in having:
        deaths = [fault.at for fault in plan.faults if fault.kind == "scheduler dies"]
        begins = [client.begins for client in plan.clients]
        assert len(deaths) <= 2
        assert begins[0] == 0.0
        assert begins[-1] >= max(deaths)
        assert Simulation(seed=plan.seed).run().coverage.faults["scheduler dies"]
