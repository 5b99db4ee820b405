"""Books that differ are made to agree: workers that lose what they were given hold nobody up."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from trio_dask.messages.session import Heartbeat
from trio_dask.messages.tasks import Run
from trio_dask.scheduler.core import machine as scheduler
from trio_dask.testing import Simulation
from trio_dask.testing.simulation import rules
from trio_dask.worker.core import attempts, machine as worker

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.simulation

#: They see the difference, before it is made good.
_SEE_IT = {"nobody_is_doubted", "books_agree_on_attempts"}


@contextmanager
def losing(*which: int) -> Iterator[list[Run]]:
    """Of what workers are given nothing is taken in these times, but once by each worker.

    One that goes on losing what it is given, also after it was asked, is let go of.
    """
    calls, lost, losers = 0, list[Run](), list[Any]()

    def on_run(state: Any, message: Run) -> None:
        nonlocal calls
        calls += 1
        if calls in which and not any(each is state for each in losers):
            lost.append(message)
            losers.append(state)
        else:
            attempts.on_run(state, message)

    def others(rules: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(rule for rule in rules if rule.__name__ not in _SEE_IT)

    with (
        patch.dict(worker._FROM_SCHEDULER, {Run: on_run}),
        patch.object(rules, "ALWAYS", others(rules.ALWAYS)),
        patch.object(rules, "WHEN_QUIET", others(rules.WHEN_QUIET)),
    ):
        yield lost


@pytest.mark.parametrize("seed", range(12))
def test_what_a_worker_has_lost_is_given_again(seed: int) -> None:
    """Everything wanted ends, and no other rule is broken."""
    with losing(2, 20, 40) as lost:
        run = Simulation(seed=seed, workers=3, clients=2, workload="random_dag").run()
    assert lost
    assert run.ok, run.report()


def test_without_heartbeats_that_tell_it_would_wait_for_ever() -> None:
    """So the test above tests something."""
    deaf = {Heartbeat: lambda state, worker, message: None}
    with losing(2), patch.dict(scheduler._FROM_WORKER, deaf):
        run = Simulation(seed=0, workers=3, clients=2, workload="random_dag", faults=False).run()
    assert not run.ok
