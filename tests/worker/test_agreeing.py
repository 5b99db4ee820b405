"""What a worker says of the attempts it has been given."""

from __future__ import annotations

from tests.worker.test_stopping import climb, done, running
from tests.worker.worker_driver import after, new_core, run
from trio_dask.messages.agreeing import Counted, Recount, digest
from trio_dask.messages.session import Heartbeat, Resumed, Welcome
from trio_dask.messages.tasks import OK_INLINE, Functions, Interrupt, Interrupting, Returned
from trio_dask.worker.core import Store, ToScheduler, WorkerCore

SECRET = "a secret of this worker"


def a_core() -> WorkerCore:
    """A worker whose conversation lasts, with two tasks that run and one that waits."""
    core = WorkerCore("me", "tcp://me:1", 2, Store(), secret=SECRET)
    core.runner_ready(1)
    core.on_scheduler(Welcome(1, "cluster", 1))
    core.on_scheduler(Functions([7], ["f"], [b"f"]))
    core.on_scheduler(run((1, {}), (2, {}), fid=7))
    core.on_scheduler(run((3, {50: "tcp://other:1"}), fid=7))
    core.flush()
    return core


def said(core: WorkerCore, kind: type) -> object:
    """The one message of a kind that it has for the scheduler."""
    [found] = [
        message
        for action in after(core)
        if isinstance(action, ToScheduler)
        for message in action.messages
        if type(message) is kind
    ]
    return found


def test_heartbeats_say_what_is_unanswered() -> None:
    """What has been answered is not in it any more."""
    core = a_core()
    core.beat({})
    assert said(core, Heartbeat) == Heartbeat({}, 4, 3, digest([1, 2, 3]))
    core.on_runner(1, done(1, OK_INLINE))
    core.beat({"rss": 1})
    assert said(core, Heartbeat) == Heartbeat({"rss": 1}, 4, 2, digest([2, 3]))


def test_what_was_reported_in_the_place_of_its_runner_is_answered() -> None:
    """Though it goes on there; what waits went back, as nobody takes tasks for a moment."""
    core = a_core()
    core.on_scheduler(Interrupt([1], [1]))
    core.on_runner(1, Interrupting([1]))
    climb(core, 0.0, 1, 2)
    climb(core, 2.0, 1, 2)
    assert core.state.runners[1].abandoned == {1}
    core.beat({})
    assert said(core, Heartbeat) == Heartbeat({}, 5, 1, digest([2]))


def test_what_comes_back_after_it_was_reported_is_not_reported_again() -> None:
    """The runner gives it back at last, as it was asked to before it did not answer any more."""
    core = a_core()
    core.on_scheduler(Interrupt([1], [1]))
    core.on_runner(1, Interrupting([1]))
    climb(core, 0.0, 1, 2)
    climb(core, 2.0, 1, 2)
    after(core)
    core.on_runner(1, Returned([1, 2]))
    assert said(core, Returned) == Returned([2])
    assert core.state.runners[1].given == {}
    assert core.state.runners[1].abandoned == set()


def test_asked_it_says_which() -> None:
    """With their tasks."""
    core = a_core()
    core.on_scheduler(Recount(3))
    assert said(core, Counted) == Counted(5, [3, 1, 2], [1003, 1001, 1002])


def test_without_a_lasting_conversation_nothing_is_compared() -> None:
    """And while it is away it says nothing at all."""
    core = running(1)
    core.beat({})
    assert said(core, Heartbeat) == Heartbeat({})
    lost = a_core()
    lost.scheduler_lost()
    lost.beat({})
    assert after(lost) == []
    lost.on_scheduler(Resumed(0))
    lost.beat({})
    assert said(lost, Heartbeat) == Heartbeat({}, 4, 3, digest([1, 2, 3]))


def test_a_worker_that_has_nothing() -> None:
    """Nothing is a set as any other."""
    core = WorkerCore("me", "tcp://me:1", 2, Store(), secret=SECRET)
    core.on_scheduler(Welcome(1, "cluster", 1))
    core.beat({})
    assert said(core, Heartbeat) == Heartbeat({}, 1, 0, 0)
    assert new_core().books()["in_runner"] == 0
