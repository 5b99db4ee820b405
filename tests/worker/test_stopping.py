"""The worker's ladder: asked, interrupted, and in the end the runner is ended."""

from __future__ import annotations

import pytest

from tests.worker.worker_driver import B, after, ready_core, run
from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.tasks import (
    ASK,
    COOPERATE,
    INTERRUPT,
    KILL,
    OK_HELD,
    OK_INLINE,
    RAISE,
    STOPPED,
    Done,
    Free,
    Interrupt,
    Interrupting,
    Recall,
    Returned,
    RunnerDied,
    Slots,
)
from trio_dask.worker.core import (
    FetchFrom,
    KillRunner,
    StartRunner,
    ToRunner,
    ToScheduler,
    WorkerCore,
)


def is_stopping(core: WorkerCore) -> bool:
    """Whether it is at it."""
    return core.stopping


def running(*attempts: int) -> WorkerCore:
    """A core whose runner runs these."""
    core = ready_core()
    core.on_scheduler(run(*((attempt, {}) for attempt in attempts)))
    core.flush()
    return core


def board(*attempts: int) -> list[tuple[int, float]]:
    """What the runner's board shows."""
    return [(attempt, 0.0) for attempt in attempts]


def done(attempt: int, status: int = STOPPED) -> Done:
    """One that has ended."""
    return Done([attempt], [status], [0.1], [0], [b""])


def climb(core: WorkerCore, now: float, *attempts: int) -> list[object]:
    """Time passes; what is to be done."""
    core.climb(board(*attempts), now)
    return list(core.flush())


def test_it_is_asked_then_interrupted_then_its_runner_ended() -> None:
    """Each step in its time; an answer at any of them is the end of it."""
    core = running(1)
    assert not is_stopping(core)
    core.on_scheduler(Interrupt([1], [INTERRUPT]))
    assert after(core) == [ToRunner(1, [Interrupt([1], [ASK])])]
    core.on_runner(1, Interrupting([1]))
    assert is_stopping(core)
    assert climb(core, 10.0, 1) == []
    assert climb(core, 10.09, 1) == []
    assert climb(core, 10.11, 1) == [ToRunner(1, [Interrupt([1], [RAISE])])]
    assert climb(core, 10.2, 1) == []
    assert climb(core, 10.32, 1) == [ToRunner(1, [Interrupt([1], [RAISE])])]
    assert climb(core, 11.1, 1) == [ToRunner(1, [Interrupt([1], [RAISE])])]
    assert climb(core, 11.21, 1) == [KillRunner(1, "a task did not stop when it was cancelled")]
    core.runner_died(1, [1], {"on_purpose": True})
    assert after(core) == [
        ToScheduler([Slots(0), RunnerDied([1], [], [], {"on_purpose": True})]),
        StartRunner(2, 0.0),
    ]
    assert not is_stopping(core)


@pytest.mark.parametrize("status", [STOPPED, OK_INLINE])
def test_an_answer_ends_it(status: int) -> None:
    """However it ended."""
    core = running(1)
    core.on_scheduler(Interrupt([1], [INTERRUPT]))
    core.flush()
    core.on_runner(1, done(1, status))
    assert after(core) == [ToScheduler([done(1, status)])]
    assert not is_stopping(core)


def test_what_has_not_begun_is_given_back() -> None:
    """At once if it waits for inputs here; by the runner if it waits there. What is over is over."""
    core = running(1)
    core.on_scheduler(run((2, {50: B})))
    assert after(core) == [FetchFrom(B, 1, [50])]
    core.on_scheduler(Interrupt([1, 2, 3], [INTERRUPT] * 3))
    assert after(core) == [
        ToScheduler([Returned([2])]),
        ToRunner(1, [Interrupt([1], [ASK])]),
    ]
    core.on_runner(1, Returned([1]))
    assert after(core) == [ToScheduler([Returned([1])])]
    assert not is_stopping(core)


def test_an_unknown_way_is_refused() -> None:
    """And nothing has changed."""
    core = running(1)
    with pytest.raises(RemoteProtocolError, match="way of stopping"):
        core.on_scheduler(Interrupt([1], [3]))
    assert not is_stopping(core)


def test_asking_twice_changes_nothing() -> None:
    """A second request does not begin from the start."""
    core = running(1)
    core.on_scheduler(Interrupt([1], [INTERRUPT]))
    climb(core, 0.0, 1)
    core.on_scheduler(Interrupt([1], [KILL]))
    assert after(core) == []
    assert climb(core, 1.0, 1) == [ToRunner(1, [Interrupt([1], [RAISE])])]


def test_cooperating_takes_its_time() -> None:
    """It is never interrupted; but it does not take for ever."""
    core = running(1)
    core.on_scheduler(Interrupt([1], [COOPERATE]))
    core.on_runner(1, Interrupting([1]))
    core.flush()
    assert climb(core, 0.0, 1) == []
    assert climb(core, 29.0, 1) == []
    assert isinstance(climb(core, 30.1, 1)[0], KillRunner)


def test_killing_is_the_first_step_of_those_who_ask_for_it() -> None:
    """Where nobody else is in the process."""
    core = running(1)
    core.on_scheduler(Interrupt([1], [KILL]))
    core.flush()
    assert isinstance(climb(core, 0.0, 1)[0], KillRunner)


def test_neighbours_do_not_suffer() -> None:
    """The runner takes nothing more, and ends when they have; who cancelled need not wait."""
    core = running(1, 2, 3)
    core.on_scheduler(run((4, {50: B})))
    core.on_scheduler(Interrupt([1], [KILL]))
    core.on_runner(1, Interrupting([1]))
    core.flush()
    assert climb(core, 0.0, 1, 2) == [
        ToScheduler([Slots(0), Returned([4]), Done([1], [STOPPED], [0.0], [0], [b""])]),
        ToRunner(1, [Recall([3])]),
    ]
    core.on_scheduler(run((5, {})))
    assert after(core) == [ToScheduler([Returned([5])])]
    core.on_runner(1, Returned([3]))
    core.flush()
    assert climb(core, 5.0, 1, 2) == []
    core.on_runner(1, done(2, OK_INLINE))
    assert after(core) == [ToScheduler([done(2, OK_INLINE)])]
    assert isinstance(climb(core, 5.1, 1)[0], KillRunner)


def test_neighbours_have_half_a_minute() -> None:
    """Then the runner ends with them; they are not to blame."""
    core = running(1, 2)
    core.on_scheduler(Interrupt([1], [KILL]))
    core.on_runner(1, Interrupting([1]))
    climb(core, 0.0, 1, 2)
    assert climb(core, 29.0, 1, 2) == []
    assert isinstance(climb(core, 30.0, 1, 2)[0], KillRunner)


def test_a_runner_that_hears_nothing_is_ended_with_all_in_it() -> None:
    """A task holds its interpreter's lock: the neighbours do not get on either."""
    core = running(1, 2)
    core.on_scheduler(Interrupt([1], [INTERRUPT]))
    climb(core, 0.0, 1, 2)
    assert isinstance(climb(core, 1.3, 1, 2)[-1], KillRunner)


@pytest.mark.parametrize("status", [STOPPED, OK_INLINE, OK_HELD])
def test_a_late_answer_is_not_passed_on(status: int) -> None:
    """It was reported as stopped; its value is dropped, and the runner is as good as before."""
    core = running(1, 2)
    core.on_scheduler(Interrupt([1], [KILL]))
    core.on_runner(1, Interrupting([1]))
    climb(core, 0.0, 1, 2)
    core.on_runner(1, Done([1, 2], [status, OK_INLINE], [1, 1], [9, 9], [b"", b"v"]))
    runner = [ToRunner(1, [Free([1001])])] if status == OK_HELD else []
    assert after(core) == [ToScheduler([Done([2], [OK_INLINE], [1], [9], [b"v"])]), *runner]
    assert is_stopping(core)  # of the doom, until the next look
    assert climb(core, 0.1) == [ToScheduler([Slots(2)])]
    assert not is_stopping(core)
    assert core.books() == dict.fromkeys(core.books(), 0) | {"functions": 1}


def test_a_shield_puts_the_ladder_off() -> None:
    """As long as the runner says, counted from the next look, and once."""
    core = running(1)
    core.on_scheduler(Interrupt([1], [INTERRUPT]))
    core.on_runner(1, Interrupting([1], [5.0]))
    core.flush()
    assert climb(core, 10.0, 1) == []
    assert climb(core, 15.05, 1) == []
    assert climb(core, 15.11, 1) == [ToRunner(1, [Interrupt([1], [RAISE])])]
    core.on_runner(1, Interrupting([1], [5.0]))
    assert isinstance(climb(core, 16.3, 1)[0], KillRunner)


@pytest.mark.parametrize("spared", [[-1.0], [301.0], [float("nan")], [1.0, 1.0]])
def test_a_shield_has_bounds(spared: list[float]) -> None:
    """A runner that asks for more is to be ended."""
    core = running(1)
    core.on_scheduler(Interrupt([1], [INTERRUPT]))
    with pytest.raises(RemoteProtocolError, match="make no sense"):
        core.on_runner(1, Interrupting([1], spared))
