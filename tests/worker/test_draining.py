"""A worker that is to leave: what it gives back, when, and when it goes; copies it is told to hold."""

from __future__ import annotations

import pytest

from tests.worker.worker_driver import ME, A, B, absent, found, ready_core, run
from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.fleet import Copy, Dismiss, Farewell, Leave, Uncopied
from trio_dask.messages.reunion import Announced
from trio_dask.messages.tasks import (
    ASK,
    OK_HELD,
    STOPPED,
    Done,
    Free,
    Interrupt,
    Interrupting,
    Recall,
    Replicas,
    Returned,
)
from trio_dask.messages.values import UNPICKLABLE, Give, Values
from trio_dask.worker.core import (
    Depart,
    FetchFrom,
    KillRunner,
    Store,
    ToRunner,
    ToScheduler,
    WorkerCore,
)
from trio_dask.worker.core.announcing import announcement
from trio_dask.worker.core.draining import ANSWER_S, DEAF_S, GIVE_BACK_S
from trio_dask.worker.core.resuming import Bond

GRACE_S = MOVE_S = 5.0
SAYS = Leave("SIGTERM", at_once=False)
URGES = Leave("SIGTERM", at_once=True)


def busy_core() -> WorkerCore:
    """Attempt 1 runs, 2 has not begun, 3 waits for an input."""
    core = ready_core()
    core.on_scheduler(run((1, {}), (2, {})))
    core.on_scheduler(run((3, {9: A})))
    core.flush()
    return core


def draining_core(*, patient: bool = False) -> WorkerCore:
    """The same, and it is to leave since 100 seconds."""
    core = busy_core()
    core.drain("SIGTERM", patient=patient)
    core.on_runner(1, Returned([2]))
    core.go_on_draining([(1, 0.0)], 100.0)
    core.flush()
    return core


def test_what_has_not_begun_comes_back() -> None:
    """What waits here at once, of the rest the runner says what has begun."""
    core = busy_core()
    core.drain("SIGTERM", patient=False)
    assert core.flush() == [
        ToScheduler([Returned([3]), SAYS]),
        ToRunner(1, [Recall([1, 2])]),
    ]
    core.on_runner(1, Returned([2]))
    assert core.flush() == [ToScheduler([Returned([2])])]
    core.on_scheduler(run((4, {})))
    assert core.flush() == [ToScheduler([Returned([4])])]
    assert core.draining


def test_who_is_told_to_leave_need_not_say_so() -> None:
    """The scheduler knows it already."""
    core = busy_core()
    core.on_scheduler(Dismiss("a client retires it"))
    assert core.flush() == [ToScheduler([Returned([3])]), ToRunner(1, [Recall([1, 2])])]
    core.drain("SIGTERM", patient=False)
    assert core.flush() == [ToScheduler([SAYS])]


def test_it_goes_when_it_may() -> None:
    """The farewell says what was moved."""
    core = draining_core()
    core.on_scheduler(Farewell(3, 30, 0, 0))
    assert core.flush() == [Depart(Farewell(3, 30, 0, 0))]


def test_what_runs_has_a_while_to_end() -> None:
    """A result within the grace counts as any other."""
    core = draining_core()
    core.go_on_draining([(1, 0.0)], 100 + GRACE_S - 0.1)
    assert core.flush() == []
    done = Done([1], [OK_HELD], [1.0], [8], [b""])
    core.on_runner(1, done)
    assert core.flush() == [ToScheduler([done])]


def test_then_it_is_interrupted_and_given_back() -> None:
    """Once; what does not stop is reported in the runner's place, which goes on serving values."""
    core = draining_core()
    core.go_on_draining([(1, 0.0)], 100 + GRACE_S)
    assert core.flush() == [ToRunner(1, [Interrupt([1], [ASK])])]
    core.on_runner(1, Interrupting([1]))
    core.go_on_draining([(1, 0.0)], 100 + GRACE_S + 0.1)
    assert core.flush() == []
    core.go_on_draining([(1, 0.0)], 100 + GRACE_S + GIVE_BACK_S)
    stopped = Done([1], [STOPPED], [0.0], [0], [b""])
    assert core.flush() == [ToScheduler([stopped])]
    core.climb([(1, 0.0)], 100.0)
    core.climb([(1, 0.0)], 110.0)
    core.go_on_draining([(1, 0.0)], 100 + GRACE_S + DEAF_S)
    assert not any(isinstance(each, KillRunner) for each in core.flush())
    core.on_runner(1, Done([1], [OK_HELD], [9.0], [8], [b""]))
    assert Free([1001]) in [m for a in core.flush() if isinstance(a, ToRunner) for m in a.messages]


def test_a_deaf_runner_is_ended() -> None:
    """It gives no values out either; but it has time, for a long call may just not hear."""
    core = draining_core(patient=True)
    core.go_on_draining([(1, 0.0)], 100 + GRACE_S)
    core.go_on_draining([(1, 0.0)], 100 + GRACE_S + DEAF_S - 1)
    assert not any(isinstance(each, KillRunner) for each in core.flush())
    core.go_on_draining([(1, 0.0)], 100 + GRACE_S + DEAF_S)
    assert any(isinstance(each, KillRunner) for each in core.flush())


def test_who_is_in_a_hurry_does_not_wait_for_ever() -> None:
    """When values have had their time it asks to be let go, and goes without an answer."""
    core = draining_core()
    core.on_runner(1, Done([1], [OK_HELD], [1.0], [8], [b""]))
    core.go_on_draining([], 101.0)
    core.flush()
    core.go_on_draining([], 101 + MOVE_S - 0.1)
    assert core.flush() == []
    core.go_on_draining([], 101 + MOVE_S)
    assert core.flush() == [ToScheduler([URGES])]
    core.go_on_draining([], 101 + MOVE_S + ANSWER_S)
    assert core.flush() == [Depart(None)]


def test_who_has_patience_waits() -> None:
    """Until somebody is in a hurry: its time begins then."""
    core = draining_core(patient=True)
    core.on_runner(1, Done([1], [OK_HELD], [1.0], [8], [b""]))
    core.go_on_draining([], 101.0)
    core.flush()
    core.go_on_draining([], 1e6)
    assert core.flush() == []
    core.drain("SIGTERM", patient=False)
    core.go_on_draining([], 1e6)
    assert core.flush() == [ToScheduler([SAYS])]
    core.go_on_draining([], 1e6 + MOVE_S)
    assert core.flush() == [ToScheduler([URGES])]


def test_the_runner_dies_while_it_leaves() -> None:
    """What ran is reported as ever, and it can go on leaving without one."""
    core = draining_core()
    core.runner_died(1, [1], {"signal": 9})
    core.flush()
    core.go_on_draining([], 101.0)
    core.go_on_draining([], 101 + MOVE_S)
    assert core.flush() == [ToScheduler([URGES])]


# ---------------------------------------------------------------- copies


def test_copies_are_fetched_into_the_store() -> None:
    """They outlive the runner, and each is answered."""
    core = ready_core()
    core.on_scheduler(Copy([1, 2], [0, 1], [A, f"{B} {A}"]))
    assert core.flush() == [FetchFrom(A, 1, [1]), FetchFrom(B, 2, [2])]
    core.fetched(found(1, {1: b"one"}))
    assert core.flush() == [ToScheduler([Replicas([1])])]
    core.fetched(absent(2, 2))
    assert core.flush() == [FetchFrom(A, 3, [2])]
    core.fetch_failed(A)
    assert core.flush() == [ToScheduler([Uncopied([2], [b""])])]
    core.runner_died(1, [], {})
    assert core.state.store.get(1) == b"one"
    core.on_scheduler(Free([1]))
    assert len(core.state.store) == 0


def test_what_is_here_need_not_be_fetched() -> None:
    """Neither what the runner has, nor what a neighbour has put into the store."""
    store = Store()
    store.put("neighbour", 2, b"two")
    core = ready_core(store=store)
    core.on_scheduler(run((1, {})))
    core.on_runner(1, Done([1], [OK_HELD], [0.1], [8], [b""]))
    core.flush()
    core.on_scheduler(Copy([1001, 2], [0, 0], [A]))
    assert core.flush() == [ToScheduler([Replicas([1001, 2])])]
    assert store.holds("me", 2)


def test_one_fetch_for_a_copy_and_a_task() -> None:
    """Whichever came first; it is told once that the value is here."""
    for copy_first in (True, False):
        core = ready_core()
        orders = [Copy([9], [0], [A]), run((1, {9: A}))]
        for order in orders if copy_first else reversed(orders):
            core.on_scheduler(order)
        assert core.flush() == [FetchFrom(A, 1, [9])]
        core.fetched(found(1, {9: b"nine"}))
        said, given = core.flush()
        assert said == ToScheduler([Replicas([9])])
        assert isinstance(given, ToRunner)
        assert given.messages[0] == Give([9], [b"nine"])
        assert core.state.store.holds("me", 9)


def test_a_copy_outlives_the_task_that_waits_for_it() -> None:
    """And the runner."""
    core = ready_core()
    core.on_scheduler(run((1, {9: A})))
    core.on_scheduler(Copy([9], [0], [A]))
    core.on_scheduler(Recall([1]))
    core.runner_died(1, [], {})
    core.flush()
    core.fetched(found(1, {9: b"nine"}))
    assert core.flush() == [ToScheduler([Replicas([9])])]


def test_what_cannot_leave_its_runner_is_not_copied() -> None:
    """The answer says why."""
    core = ready_core()
    core.on_scheduler(Copy([9], [0], [A]))
    core.flush()
    core.fetched(Values(1, [9], [UNPICKLABLE], [b"why"], [], last=True))
    assert core.flush() == [ToScheduler([Uncopied([9], [b"why"])])]


def test_who_is_to_leave_takes_no_copies() -> None:
    """Nor does anybody from itself."""
    core = ready_core()
    core.on_scheduler(Copy([8], [0], [ME]))
    assert core.flush() == [ToScheduler([Uncopied([8], [b""])])]
    core.drain("SIGTERM", patient=False)
    core.flush()
    core.on_scheduler(Copy([9], [0], [A]))
    assert core.flush() == [ToScheduler([Uncopied([9], [b""])])]


@pytest.mark.parametrize("at", [[1, 0], [-1, 0]])
def test_copies_from_nowhere_are_refused(at: list[int]) -> None:
    """Nothing has changed then."""
    core = ready_core()
    with pytest.raises(RemoteProtocolError, match="places that are not named"):
        core.on_scheduler(Copy([8, 9], at, [A]))
    assert core.flush() == []


def test_a_new_scheduler_is_told_of_it() -> None:
    """Else it would give work that comes back at once, for ever."""
    core = draining_core()
    told = announcement(core.state, Bond("secret"))
    assert isinstance(told[-1], Announced)
    assert told[-2] == SAYS
