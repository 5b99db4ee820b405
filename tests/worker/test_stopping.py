"""The worker's ladder: asked, interrupted, and in the end the runner is ended."""

from __future__ import annotations

import pytest

from tests.worker.worker_driver import FID, B, after, found, ready_core, run
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
    Functions,
    Interrupt,
    Interrupting,
    Recall,
    Returned,
    RunnerDied,
    Slots,
    Unrunnable,
)
from trio_dask.messages.values import FOUND, UNPICKLABLE, Fetch, Give, Values
from trio_dask.worker.core import (
    FetchFrom,
    KillRunner,
    StartRunner,
    ToRunner,
    ToScheduler,
    WorkerCore,
)
from trio_dask.worker.core.condemning import CONDEMNED_MAX, SEAL_BYTES_MAX
from trio_dask.worker.core.stopping import WHY


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
        StartRunner(2, 0.0),
    ]
    core.on_scheduler(run((5, {})))
    assert after(core) == [ToScheduler([Returned([5])])]
    core.runner_ready(2)
    assert after(core) == [ToScheduler([Slots(2)])]
    core.on_scheduler(run((6, {})))
    assert after(core) == [ToRunner(2, [Functions([FID], ["f"], [b"f"]), run((6, {}))])]
    core.on_runner(1, Returned([3]))
    core.flush()
    assert climb(core, 5.0, 1, 2) == []
    core.on_runner(1, done(2, OK_INLINE))
    assert after(core) == [ToScheduler([done(2, OK_INLINE)]), KillRunner(1, WHY)]
    core.runner_died(1, [1], {"on_purpose": True})
    died = RunnerDied([], [], [], {"on_purpose": True})
    assert after(core) == [ToScheduler([died])]
    assert not is_stopping(core)


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
    said = ToScheduler([Done([2], [OK_INLINE], [1], [9], [b"v"])])
    assert after(core) == [said, *runner, KillRunner(1, WHY)]
    core.runner_died(1, [], {"on_purpose": True})
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


def condemned(held: dict[int, int] | None = None) -> WorkerCore:
    """A core whose first runner is condemned: 1 does not stop, 2 runs beside it."""
    core = ready_core()
    for tid, nbytes in (held or {}).items():
        core.on_scheduler(run((tid - 1000, {})))
        core.on_runner(1, Done([tid - 1000], [OK_HELD], [0.1], [nbytes], [b""]))
    core.on_scheduler(run((1, {}), (2, {})))
    core.on_scheduler(Interrupt([1], [KILL]))
    core.on_runner(1, Interrupting([1]))
    core.flush()
    core.climb(board(1, 2), 0.0)
    return core


def test_what_a_condemned_runner_holds_is_kept() -> None:
    """It goes into the store, and is not lost with the runner; what cannot be pickled is."""
    core = condemned({1050: 5, 1051: 5, 1052: 5})
    (_, told, _) = after(core)
    assert told == ToRunner(1, [Fetch(1, [1052, 1051, 1050])])
    core.on_scheduler(Free([1052]))
    core.on_runner(1, done(2, OK_HELD))
    answer = Values(
        1, [1052, 1051, 1050], [FOUND, UNPICKLABLE, FOUND], [b"why"], [b"c", b"a"], last=True
    )
    core.flush()
    core.on_runner(1, answer)
    assert after(core) == [ToRunner(1, [Fetch(2, [1002])])]  # made since
    core.on_runner(1, found(2, {1002: b"two"}))
    assert after(core) == [KillRunner(1, WHY)]
    core.runner_died(1, [1], {})
    assert after(core) == [ToScheduler([RunnerDied([], [], [1051], {})])]
    store = core.state.store
    assert [store.get(tid) for tid in (1050, 1051, 1052, 1002)] == [b"a", None, None, b"two"]


def test_much_is_sealed_in_parts() -> None:
    """So that peers get theirs in between."""
    core = condemned({1050: SEAL_BYTES_MAX, 1051: 5})
    assert ToRunner(1, [Fetch(1, [1051, 1050])]) in after(core)
    core = condemned({1050: 5, 1051: SEAL_BYTES_MAX})
    assert ToRunner(1, [Fetch(1, [1051])]) in after(core)
    core.on_runner(1, found(1, {1051: b"v"}))
    assert after(core) == [ToRunner(1, [Fetch(2, [1050])])]


def test_values_of_a_condemned_runner_are_inputs_in_the_next() -> None:
    """They are asked for once, and given when they have come."""
    core = condemned({1050: 5})
    core.runner_ready(2)
    core.flush()
    core.on_scheduler(run((9, {1050: "tcp://me:1"})))
    assert after(core) == []
    core.on_runner(1, found(1, {1050: b"v"}))
    (given,) = after(core)
    assert isinstance(given, ToRunner)
    assert given.runner == 2
    assert Give([1050], [b"v"]) in given.messages


@pytest.mark.parametrize("end", ["unpicklable", "dead"])
def test_a_value_that_goes_with_its_runner(end: str) -> None:
    """Who needs it hears that it is not here, as ever."""
    core = condemned({1050: 5})
    core.runner_ready(2)
    core.on_scheduler(run((9, {1050: "tcp://me:1"})))
    core.flush()
    if end == "dead":
        core.runner_died(1, [1, 2], {"on_purpose": True})
    else:
        core.on_runner(1, Values(1, [1050], [UNPICKLABLE], [b"why"], [], last=True))
    said = after(core)[0]
    assert isinstance(said, ToScheduler)
    assert Unrunnable([9], [1050], ["tcp://me:1"]) in said.messages


def test_too_many_are_not_replaced() -> None:
    """Then it is as if there were but one: nothing is taken until it has ended, or has stopped."""
    core = ready_core()
    number, attempts = 0, (0, 0)
    for number in range(1, CONDEMNED_MAX + 2):
        attempts = 10 * number, 10 * number + 1
        core.on_scheduler(run(*((attempt, {}) for attempt in attempts)))
        core.on_scheduler(Interrupt([attempts[0]], [KILL]))
        core.on_runner(number, Interrupting([attempts[0]]))
        core.flush()
        core.climb(board(*range(10, 100)), 0.0)
        if number <= CONDEMNED_MAX:
            assert StartRunner(number + 1, 0.0) in after(core)
            core.runner_ready(number + 1)
            core.flush()
    assert not any(isinstance(each, StartRunner) for each in after(core))
    assert core.state.slots == 0
    core.on_runner(number, done(attempts[0]))
    core.flush()
    assert climb(core, 0.1, *range(10, 100)) == [ToScheduler([Slots(2)])]
