"""The scheduler dies, and all who were there come back to the one that is started in its place."""

from __future__ import annotations

import pytest

from tests.simulation.reunion_mutations import BRINGING_MUTATIONS
from trio_dask.client.core import FINISHED
from trio_dask.testing import Fault, Simulation
from trio_dask.testing.simulation import Plan, play, rules
from trio_dask.testing.simulation.cluster import Cluster
from trio_dask.testing.simulation.faults import arrange
from trio_dask.testing.simulation.plan import ClientPlan, PlannedTask, Step, WorkerPlan
from trio_dask.testing.simulation.planning import SCHEDULERS_DIE
from trio_dask.testing.simulation.session import run_one

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


def test_who_was_there_comes_back() -> None:
    """The first client's tasks come out right, each having run once; the second gets through, too."""
    plan = _plan(back_after=0.7)
    run = play(plan, every_step=True)
    assert run.ok, run.report()
    assert "faults: scheduler dies ×1" in run.report()
    cluster = _played(plan)
    before, after = cluster.clients.values()
    assert not before.core.ended
    assert not after.core.ended
    for client, first in ((before, 1), (after, 101)):
        assert client.outcomes == {
            number: (FINISHED, cluster.truth.expected(number))
            for number in range(first, first + 11)
        }
    assert cluster.truth.ended == 22  # attempts: nothing ran twice


def test_the_new_scheduler_knows_all_again() -> None:
    """It is the same cluster in another epoch: the same workers, the same clients."""
    plan = _plan(back_after=0.7)
    before, after = _played(plan, DIES_AT - 0.2), _played(plan)
    old, new = before.scheduler.core.state, after.scheduler.core.state
    assert old.cluster == new.cluster
    assert (old.epoch, new.epoch) == (1, 2)
    assert next(iter(old.clients)) in new.clients
    assert sorted(old.workers) == sorted(new.workers) == ["tcp://w0:1", "tcp://w1:1"]


def test_no_scheduler_comes() -> None:
    """The client that looks for one gives up; nothing hangs, and nothing else is wrong."""
    plan = _plan(back_after=0.0)
    run = play(plan, every_step=True)
    assert run.ok, run.report()
    ends = [client.core.ended for client in _played(plan).clients.values()]
    assert ends == ["the scheduler does not come back", "nobody is there"]


def test_one_after_the_other() -> None:
    """Before all are back at the last, while workers die and start: all seeds get through."""
    for seed in range(8):
        simulation = Simulation(seed=seed, faults=SCHEDULERS_DIE)
        deaths = [each for each in simulation.plan().faults if each.kind == "scheduler dies"]
        assert len(deaths) >= 3
        run = simulation.run()
        assert run.ok, run.report()
        assert simulation.command() in run.command


def _shares_keys(seed: int) -> bool:
    result = run_one(seed, workload="shared_keys", faults=SCHEDULERS_DIE)
    return not isinstance(result, str) and result.ok


def test_others_have_begun_the_same_meanwhile() -> None:
    """By its key: each is told one end of a task, and nothing is made twice that somebody knows."""
    found_faults = (68, 84, 111, 114, 639, 1230, 2974)
    assert [seed for seed in (*range(20), *found_faults) if not _shares_keys(seed)] == []


@pytest.mark.nightly
def test_others_have_begun_the_same_meanwhile_often() -> None:
    """Seeds that are not looked at each day."""
    assert [seed for seed in range(20, 3000) if not _shares_keys(seed)] == []


def test_no_such_trouble() -> None:
    """The error says which there is."""
    with pytest.raises(ValueError, match="'rain'; there is 'schedulers die'"):
        Simulation(seed=1, faults="rain").plan()


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
    assert 15 <= len(having) <= 40
    for plan in having:
        deaths = [fault.at for fault in plan.faults if fault.kind == "scheduler dies"]
        begins = [client.begins for client in plan.clients]
        assert len(deaths) <= 2
        assert begins[0] == 0.0
        assert begins[-1] >= max(deaths)
        assert Simulation(seed=plan.seed).run().coverage.faults["scheduler dies"]


def _brings(seed: int) -> bool:
    """Clients bring values, and the scheduler dies soon after they have come; whether all held."""
    early = 0.02 + seed % 30 * 0.03
    again = () if seed % 2 else (early + 0.3,)
    result = run_one(
        seed,
        workload="scattered",
        workers=2 + seed % 3,
        clients=1 + seed % 3,
        faults=tuple(
            Fault(at=at, kind="scheduler dies", host="scheduler", seconds=0.05)
            for at in (early, *again)
        ),
    )
    return not isinstance(result, str) and result.ok


def test_what_clients_have_brought_outlives_the_scheduler() -> None:
    """Though only tasks need some of it, and nobody holds it, and some is on its way."""
    assert [seed for seed in range(40) if not _brings(seed)] == []


@pytest.mark.nightly
def test_more_of_what_clients_have_brought() -> None:
    """Seeds that are not looked at each day."""
    assert [seed for seed in range(40, 2000) if not _brings(seed)] == []


@pytest.mark.parametrize("name", BRINGING_MUTATIONS)
def test_each_broken_rule_of_bringing_is_found(name: str) -> None:
    """Within few seeds, as this is what they are about."""
    with BRINGING_MUTATIONS[name]():
        found = any(not _brings(seed) for seed in range(100))
    assert found, BRINGING_MUTATIONS[name].__doc__
