"""What a worker tells a scheduler that does not know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.worker.worker_driver import FID, ME
from trio_dask.messages import Message, nested, reunion, session, tasks as words
from trio_dask.messages.fleet import Leave
from trio_dask.messages.plugins import Plugins, PluginsDone
from trio_dask.worker.core import Store, WorkerCore, resuming

if TYPE_CHECKING:
    import pytest

TASK, OTHER = 1001, 1002


def lasting_core() -> WorkerCore:
    """A worker that knows one function, and whose conversation outlasts its connection."""
    core = WorkerCore("me", ME, 2, Store(), secret="the secret of this worker")
    core.runner_ready(1)
    core.on_scheduler(session.Welcome(1, "c", 1))
    core.on_scheduler(words.Functions([FID], ["f"], [b"f"]))
    core.flush()
    return core


def given(core: WorkerCore, attempt: int, tid: int) -> None:
    """The scheduler gives it this."""
    core.on_scheduler(words.Run([attempt], [tid], [FID], [1], [b"x"], [], [], [], [], [], []))
    core.flush()


def ended(core: WorkerCore, attempt: int, status: int, value: bytes = b"") -> None:
    """The attempt came to this, of which the scheduler may not have heard."""
    core.on_runner(1, words.Done([attempt], [status], [0.1], [9], [value]))
    core.flush()


def told(core: WorkerCore) -> dict[type[Message], Message]:
    """What a scheduler is told that knows nothing of it, by kind."""
    core.scheduler_lost()
    core.on_scheduler(session.Resumed(-1))
    core.on_scheduler(session.Welcome(1, "c", 2))
    (action,) = core.flush()
    return {type(each): each for each in getattr(action, "messages", [])}


def test_a_failure_before_the_value_is_not_told() -> None:
    """It would end the task in place of its value, or with it."""
    core = lasting_core()
    given(core, 1, TASK)
    ended(core, 1, words.ERROR, b"oops")
    given(core, 2, TASK)
    ended(core, 2, words.OK_HELD)
    said = told(core)
    assert said[reunion.Holdings] == reunion.Holdings([TASK], [9])
    assert reunion.Attempts not in said
    assert words.Done not in said


def test_only_the_last_end_is_told() -> None:
    """The value is small, so it is known by the end of the attempt only."""
    core = lasting_core()
    given(core, 1, TASK)
    ended(core, 1, words.ERROR, b"oops")
    given(core, 2, TASK)
    ended(core, 2, words.OK_INLINE, b"v")
    said = told(core)
    assert said[reunion.Attempts] == reunion.Attempts([2], [TASK], [1])
    assert said[words.Done] == words.Done([2], [words.OK_INLINE], [0.1], [9], [b"v"])


def test_a_failure_before_what_runs_is_not_told() -> None:
    """The attempt that runs is the task's own; the end of another task is told."""
    core = lasting_core()
    given(core, 1, TASK)
    ended(core, 1, words.ERROR, b"oops")
    given(core, 2, TASK)
    given(core, 3, OTHER)
    ended(core, 3, words.ERROR, b"no")
    said = told(core)
    assert said[reunion.Attempts] == reunion.Attempts([2, 3], [TASK, OTHER], [1, 1])
    assert said[words.Done] == words.Done([3], [words.ERROR], [0.1], [9], [b"no"])


def heard(core: WorkerCore) -> None:
    """The scheduler has heard all that was said so far."""
    assert core.state.bond is not None
    core.on_scheduler(session.Heard(core.state.bond.lasting.said))


def test_a_small_value_is_told_again() -> None:
    """The last scheduler may have heard it, and died before it has told the client."""
    core = lasting_core()
    for attempt, status in ((1, words.OK_INLINE), (2, words.ERROR), (3, words.OK_HELD)):
        given(core, attempt, 1000 + attempt)
        ended(core, attempt, status, b"v")
    heard(core)
    said = told(core)
    assert said[reunion.Attempts] == reunion.Attempts([1], [1001], [1])
    assert said[words.Done] == words.Done([1], [words.OK_INLINE], [0.1], [9], [b"v"])
    assert said[reunion.Holdings] == reunion.Holdings([1003], [9])
    heard(core)
    assert told(core)[words.Done] == said[words.Done], "another scheduler has died"


def test_a_small_value_is_not_told_if_something_came_after_it() -> None:
    """What counts is what the task came to in the end, and what runs."""
    core = lasting_core()
    for tid in (TASK, OTHER):
        given(core, tid, tid)
        ended(core, tid, words.OK_INLINE, b"v")
    heard(core)
    given(core, 1, TASK)
    given(core, 2, OTHER)
    ended(core, 2, words.ERROR, b"no")
    said = told(core)
    assert said[reunion.Attempts] == reunion.Attempts([1, 2], [TASK, OTHER], [1, 1])
    assert said[words.Done] == words.Done([2], [words.ERROR], [0.1], [9], [b"no"])


def test_of_small_values_the_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what a worker remembers is bounded; but at least what was in one message."""
    monkeypatch.setattr(resuming, "HEARD_ROWS_MAX", 2)
    core = lasting_core()
    for attempt in (1, 2, 3):
        given(core, attempt, 1000 + attempt)
        ended(core, attempt, words.OK_INLINE, b"%d" % attempt)
        heard(core)
    assert core.state.bond is not None
    assert [tids for _, tids in core.state.bond.heard] == [[1002], [1003]]
    for attempt in (4, 5, 6):
        given(core, attempt, 1000 + attempt)
    many = [4, 5, 6]
    core.on_runner(1, words.Done(many, [words.OK_INLINE] * 3, [0.1] * 3, [9] * 3, [b"v"] * 3))
    core.flush()
    heard(core)
    assert [tids for _, tids in core.state.bond.heard] == [[1004, 1005, 1006]]
    assert told(core)[reunion.Attempts] == reunion.Attempts(many, [1004, 1005, 1006], [1] * 3)


def test_who_is_disowned_does_not_take_the_value_along() -> None:
    """The task has been run there again, and that has ended first: there is one value of it."""
    core = lasting_core()
    given(core, 1, TASK)
    core.on_scheduler(reunion.Disown([1]))
    given(core, 2, TASK)
    ended(core, 2, words.OK_HELD)
    core.on_runner(1, words.Done([1], [words.OK_HELD], [0.1], [9], [b""]))
    assert not any(
        isinstance(each, words.Free)
        for action in core.flush()
        for each in getattr(action, "messages", [])
    )
    assert core.state.runners[1].held == {TASK: 9}


def test_plugins_that_are_set_up_are_told() -> None:
    """One whose outcome the last scheduler waited for is torn down: nobody is told of it now."""
    core = lasting_core()
    core.on_scheduler(Plugins(0, ["p"], [b"1"]))
    core.on_scheduler(Plugins(1, ["q"], [b"2"]))
    core.on_scheduler(Plugins(2, ["r"], [b"3"]))
    core.on_runner(1, PluginsDone(2, [b"it fails"]))
    core.flush()
    core.scheduler_lost()
    core.on_scheduler(session.Resumed(-1))
    core.on_scheduler(session.Welcome(1, "c", 2))
    said = [each for action in core.flush() for each in getattr(action, "messages", [])]
    assert Plugins(0, ["q"], [b""]) in said  # to the runner
    assert [each for each in said if isinstance(each, Plugins) and each.blobs != [b""]] == [
        Plugins(0, ["p"], [b"1"])
    ]
    core.on_runner(1, PluginsDone(1, [b""]))  # late, and of no interest
    assert core.flush() == []


def freed(core: WorkerCore) -> list[int]:
    """What the runner is told to drop."""
    said = [each for action in core.flush() for each in getattr(action, "messages", [])]
    return [tid for each in said if isinstance(each, words.Free) for tid in each.tids]


def test_a_value_that_another_attempt_may_have_made_by_now_stays() -> None:
    """The runner may have both of them, and says so of one after the other."""
    core = lasting_core()
    given(core, 1, TASK)
    core.on_scheduler(reunion.Disown([1]))
    given(core, 2, TASK)
    core.on_runner(1, words.Done([1], [words.OK_HELD], [0.1], [9], [b""]))
    assert freed(core) == []  # or that of the second would go, whose end is under way
    core.on_runner(1, words.Done([2], [words.OK_HELD], [0.1], [9], [b""]))
    assert freed(core) == []
    assert core.state.runners[1].held == {TASK: 9}


def test_and_goes_if_the_other_comes_to_nothing() -> None:
    """It is nobody's then."""
    core = lasting_core()
    given(core, 1, TASK)
    core.on_scheduler(reunion.Disown([1]))
    given(core, 2, TASK)
    core.on_runner(1, words.Done([1], [words.OK_HELD], [0.1], [9], [b""]))
    core.on_runner(1, words.Done([2], [words.ERROR], [0.1], [0], [b"oops"]))
    assert freed(core) == [TASK]
    assert not core.state.runners[1].twice


def lingering(core: WorkerCore) -> list[list[int]]:
    """Which tasks the scheduler is told to be still there."""
    said = [each for action in core.flush() for each in getattr(action, "messages", [])]
    return [each.attempts for each in said if isinstance(each, reunion.Lingering)]


def another_scheduler(core: WorkerCore) -> None:
    """There is one that knows nothing of it."""
    core.scheduler_lost()
    core.on_scheduler(session.Resumed(-1))
    core.on_scheduler(session.Welcome(1, "c", 2))


def test_tasks_that_have_lost_their_clients_are_told_until_they_are_over() -> None:
    """They may hold locks; the next scheduler but one is told, too."""
    core = lasting_core()
    for attempt in (1, 2, 3):
        given(core, attempt, 1000 + attempt)
    for attempt in (1, 2):
        core.on_runner(1, nested.Nested(attempt, [b"joins"]))
    core.flush()
    another_scheduler(core)
    assert lingering(core) == [[1, 2]]
    ended(core, 3, words.OK_HELD)
    core.on_runner(1, words.Done([1], [words.STOPPED], [0.1], [0], [b""]))
    assert lingering(core) == [[2]]
    another_scheduler(core)
    assert lingering(core) == [[2]]
    core.on_runner(1, words.Done([2], [words.STOPPED], [0.1], [0], [b""]))
    assert lingering(core) == [[]]
    another_scheduler(core)
    assert lingering(core) == []


def test_who_was_taken_in_by_nobody_has_nothing_to_tell() -> None:
    """Two schedulers have died while it waited to be welcomed: to the third it is new."""
    core = WorkerCore("me", ME, 2, Store(), secret="the secret of this worker")
    core.runner_ready(1)
    core.drain("SIGTERM received", patient=False)
    core.flush()
    for _ in range(2):
        core.scheduler_lost()
        core.on_scheduler(session.Resumed(-1))
    assert core.memory.cluster == ""
    core.on_scheduler(session.Welcome(1, "c", 1))
    said = [message for action in core.flush() for message in getattr(action, "messages", [])]
    assert not {reunion.Members, reunion.Announced} & {type(each) for each in said}
    assert Leave in {type(each) for each in said}  # said before, and heard by nobody
