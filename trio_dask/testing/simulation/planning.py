"""From a seed to a plan: who is there, what they do, what goes wrong."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from trio_dask.testing.simulation.faults import (
    deaths_of_the_scheduler,
    schedulers_die,
    some_faults,
    some_spreading,
)
from trio_dask.testing.simulation.network import PROFILES
from trio_dask.testing.simulation.plan import PINNED, ClientPlan, Plan, Step, WorkerPlan
from trio_dask.testing.simulation.workloads import (
    MIXED,
    RESOURCE,
    SHARED,
    WORKLOADS,
    Maker,
    some_workload,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_dask.testing.simulation.plan import Fault

#: Trouble of a kind: schedulers that die one after the other.
SCHEDULERS_DIE: Final = "schedulers die"
#: Some clients begin within so long of the death of a scheduler, seconds.
LATE_S: Final = 1.5
#: So many submissions are of tasks with processes of their own.
APART: Final = 0.15
#: No two clocks show the same, seconds.
OFFSETS: Final = (0.0, 1e6, 17.5, 3e4)


def make_plan(
    seed: int,
    *,
    workers: int | None = None,
    clients: int | None = None,
    workload: str = MIXED,
    faults: bool | str | Sequence[Fault] = True,
) -> Plan:
    """The plan that the seed stands for, as far as nothing is asked for."""
    chance = random.Random(f"{seed} plan")
    workers = workers or chance.choice((1, 2, 2, 3, 3, 5))
    asked = clients
    clients = clients or chance.choice((1, 1, 2, 3))
    if workload != MIXED and workload not in WORKLOADS:
        msg = f"no workload is called {workload!r}; there are {MIXED}, {', '.join(WORKLOADS)}"
        raise ValueError(msg)
    make = Maker(random.Random(f"{seed} work"), workers)
    if isinstance(faults, str) and faults != SCHEDULERS_DIE:
        msg = f"no kind of trouble is called {faults!r}; there is {SCHEDULERS_DIE!r}"
        raise ValueError(msg)
    if isinstance(faults, bool | str):
        trouble = random.Random(f"{seed} faults")
        planned = some_faults(trouble, workers, clients) if faults else ()
        if faults:
            planned += some_spreading(random.Random(f"{seed} spreading"), clients)
        if faults == SCHEDULERS_DIE:
            planned = schedulers_die(random.Random(f"{seed} schedulers"), workers, planned)
        elif faults and workload == SHARED:  # that is what it is for
            planned += deaths_of_the_scheduler(random.Random(f"{seed} deaths"), from_s=0.1)
    else:
        planned = tuple(faults)
    deaths = [fault.at for fault in planned if fault.kind == "scheduler dies"]
    if deaths and not asked:
        clients = max(clients, 2)
    graces = random.Random(f"{seed} graces")
    memories = random.Random(f"{seed} memories")
    apart = random.Random(f"{seed} apart")
    begins = _beginnings(random.Random(f"{seed} begins"), clients, max(deaths, default=None))
    return Plan(
        seed=seed,
        workers=tuple(_worker(chance, number, graces, memories) for number in range(workers)),
        clients=tuple(_some_apart(apart, _client(make, workload, begin)) for begin in begins),
        faults=planned,
        network=chance.choice(("mixed", "mixed", *PROFILES)),
        offset=random.Random(f"{seed} clock").choice(OFFSETS),
        allowed_failures=chance.choice((0, 1, 3, 1_000_000)),
        turn_max=random.Random(f"{seed} turns").choice((3, 30, 4000, 4000)),
    )


def _worker(
    chance: random.Random, number: int, graces: random.Random, memories: random.Random
) -> WorkerPlan:
    resources: dict[str, Any] = {}
    if number == 0 or chance.random() < 0.3:  # somebody has them
        resources[RESOURCE] = 2 if number == 0 else chance.choice((1, 2))
    return WorkerPlan(
        nthreads=chance.choice((1, 1, 2, 4)),
        process=number - (number > 0 and chance.random() < 0.25),
        resources=resources,
        clock=chance.choice((1.0, 1.0, 1.0, 0.0, 3.0, -1.0)),
        offset=OFFSETS[number % len(OFFSETS)],
        grace=graces.choice((0.0, 0.05, 0.5, 0.5, 3.0)),
        memory=memories.choice((0, 0, 0, 30_000_000, 100_000_000, 200_000_000)),
        disk=memories.choice((1.0, 1.0, 0.8, 0.0)),
    )


def _beginnings(chance: random.Random, clients: int, death: float | None) -> list[float]:
    """When clients begin: the last, and maybe others, after the last death of a scheduler."""
    if death is None:
        return [0.0] * clients
    late = [death + LATE_S * chance.random() for _ in range(clients)]
    begins = [each if chance.random() < 0.3 else 0.0 for each in late]
    if clients > 1:
        begins[0], begins[-1] = 0.0, late[-1]
    return begins


def _client(make: Maker, workload: str, begins: float) -> ClientPlan:
    steps: list[Step] = []
    rounds = make.chance.choice((1, 2, 3)) if workload == MIXED else 1
    for _ in range(rounds):
        work = some_workload(make.chance) if workload == MIXED else WORKLOADS[workload]
        steps += work(make)
    return ClientPlan(steps=tuple(steps), releases=make.chance.random() < 0.8, begins=begins)


def _some_apart(chance: random.Random, plan: ClientPlan) -> ClientPlan:
    """Some of its tasks have processes of their own, but for what makes or needs what cannot move."""
    pinned: set[int] = set()
    steps: list[Step] = []
    for step in plan.steps:
        pinned |= {task.number for task in step.tasks if task.value == PINNED}
        bound = any(task.number in pinned or pinned.intersection(task.deps) for task in step.tasks)
        if step.do == "submit" and not bound and chance.random() < APART:
            steps.append(replace(step, options={**step.options, "apart": True}))
        else:
            steps.append(step)
    return replace(plan, steps=tuple(steps))
