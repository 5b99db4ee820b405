"""A worker that is to have a new runner: at once, and whatever the old one still says."""

from __future__ import annotations

from tests.worker.worker_driver import FID, A, found, new_core, ready_core, run
from trio_dask.messages.fleet import Copy, Renew, Renewed
from trio_dask.messages.tasks import OK_HELD, Done, Functions, Returned, RunnerDied, Slots
from trio_dask.messages.values import Fetch, Store as Put
from trio_dask.worker.core import KillRunner, StartRunner, ToPeer, ToRunner, ToScheduler
from trio_dask.worker.core.invariants import violations


def test_everything_is_forgotten_at_once() -> None:
    """What the runner says before its end is not heard, and its end is no news."""
    core = ready_core()
    core.peer_joined(1, may_store=True)
    core.on_peer(1, Put(1, [50], [b"fifty"]))
    core.on_scheduler(run((1, {}), (2, {}), (3, {})))
    core.on_runner(1, Done([1], [OK_HELD], [0.1], [8], [b""]))
    core.on_scheduler(run((4, {9: A})))
    core.on_scheduler(Copy([8], [0], [A]))
    core.on_peer(1, Fetch(1, [1001]))
    core.flush()
    core.on_scheduler(Renew(5, forget=True))
    actions = core.flush()
    assert KillRunner(1, "it was restarted") in actions
    assert ToScheduler([Slots(0)]) in actions
    assert any(isinstance(each, ToPeer) for each in actions), "who waits for a value is told"
    assert violations(core.state) == []
    assert len(core.state.store) == 0
    core.on_runner(1, Done([2], [OK_HELD], [0.1], [8], [b""]))
    for serial in list(core.state.requests):
        core.fetched(found(serial, {9: b"nine", 8: b"eight"}))
    core.on_scheduler(Functions([FID], ["f"], [b"f"]))
    core.on_scheduler(run((6, {})))
    assert core.flush() == [ToScheduler([Returned([6])])]
    core.runner_died(1, [2, 3], {"signal": 9})
    assert core.flush() == [StartRunner(2, 0.0)]
    core.runner_ready(2)
    assert core.flush() == [ToScheduler([Slots(2), Renewed(5)])]
    left = {name: count for name, count in core.books().items() if count}
    assert left == {"functions": 1}
    core.on_scheduler(run((7, {})))  # its function came before its runner
    assert core.flush() == [ToRunner(2, [Functions([FID], ["f"], [b"f"]), run((7, {}))])]


def test_without_forgetting_it_is_as_if_the_runner_had_died() -> None:
    """The store keeps what it has."""
    core = ready_core()
    core.peer_joined(1, may_store=True)
    core.on_peer(1, Put(1, [50], [b"fifty"]))
    core.on_scheduler(run((1, {}), (2, {})))
    core.flush()
    core.on_scheduler(Renew(5, forget=False))
    assert core.flush() == [KillRunner(1, "it was restarted")]
    core.runner_died(1, [1], {"on_purpose": True})
    died = RunnerDied([1], [2], [], {"on_purpose": True})
    assert core.flush() == [ToScheduler([Slots(0), died]), StartRunner(2, 0.0)]
    core.runner_ready(2)
    assert core.flush() == [ToScheduler([Slots(2), Renewed(5)])]
    assert core.state.store.get(50) == b"fifty"


def test_a_runner_that_is_not_there_need_not_be_ended() -> None:
    """The next one is as new as it can be, and answers all who have asked."""
    core = new_core()
    core.on_scheduler(Renew(5, forget=True))
    core.on_scheduler(Renew(6, forget=False))
    assert core.flush() == [ToScheduler([Slots(0)])]
    core.runner_ready(1)
    assert core.flush() == [ToScheduler([Slots(2), Renewed(5), Renewed(6)])]
