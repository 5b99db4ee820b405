"""Questions about what is in a worker: each is answered once, whatever becomes of its runner."""

from __future__ import annotations

import pytest

from tests.worker.worker_driver import after, new_core, ready_core, run
from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.fleet import Renew
from trio_dask.messages.inquiring import SAID_BYTES_MAX, Inquire, Told, packed, unpacked
from trio_dask.worker.core import LookUp, ToRunner, ToScheduler, WorkerCore
from trio_dask.worker.core.inquiring import NO_RUNNER
from trio_dask.worker.core.invariants import violations

STACK = Inquire(7, "call_stack", {"bytes_max": 100})
REFUSED = Told(7, ok=False, said=[NO_RUNNER])


def test_the_runner_says_what_tasks_do() -> None:
    """The question goes on, and so does the answer, unread."""
    core = ready_core()
    core.on_scheduler(STACK)
    assert after(core) == [ToRunner(1, [STACK])]
    core.on_runner(1, Told(7, ok=True, said=[b"stacks"]))
    assert after(core) == [ToScheduler([Told(7, ok=True, said=[b"stacks"])])]


def test_what_nobody_has_asked_is_not_passed_on() -> None:
    """Nor a second answer to the same question."""
    core = ready_core()
    core.on_runner(1, Told(7, ok=True, said=[b"x"]))
    assert after(core) == []
    core.on_scheduler(STACK)
    after(core)
    core.on_runner(1, Told(7, ok=True, said=[b"x"]))
    core.on_runner(1, Told(7, ok=True, said=[b"y"]))
    assert after(core) == [ToScheduler([Told(7, ok=True, said=[b"x"])])]


def test_an_answer_without_end_is_refused() -> None:
    """User code may say so, and its runner is ended then."""
    core = ready_core()
    core.on_scheduler(STACK)
    with pytest.raises(RemoteProtocolError, match="an answer of more than"):
        core.on_runner(1, Told(7, ok=True, said=[bytes(SAID_BYTES_MAX), b"x"]))


def test_without_a_runner_nobody_is_asked() -> None:
    """The answer is that there is none."""
    core = new_core()
    core.on_scheduler(STACK)
    assert after(core) == [ToScheduler([REFUSED])]


def test_who_is_asked_and_dies_has_answered() -> None:
    """The worker says it instead, once."""
    core = ready_core()
    core.on_scheduler(run((1, {})))
    core.on_scheduler(STACK)
    after(core)
    core.runner_died(1, [1], {"signal": 9})
    said, _ = after(core)
    assert isinstance(said, ToScheduler)
    assert REFUSED in said.messages
    assert violations(core.state) == []
    core.runner_ready(2)
    core.on_runner(2, Told(7, ok=True, said=[b"late"]))
    assert all(REFUSED not in getattr(each, "messages", []) for each in after(core))


@pytest.mark.parametrize("forget", [True, False])
def test_who_is_asked_and_renewed_has_answered(*, forget: bool) -> None:
    """The old runner's answer does not count where everything is forgotten."""
    core = ready_core()
    core.on_scheduler(STACK)
    after(core)
    core.on_scheduler(Renew(1, forget=forget))
    core.runner_died(1, [], {"on_purpose": True})
    answers = [
        message
        for action in after(core)
        if isinstance(action, ToScheduler)
        for message in action.messages
        if isinstance(message, Told)
    ]
    assert answers == [REFUSED]
    assert core.books()["inquired"] == 0


def _two_runners() -> WorkerCore:
    """The first has a task, and takes no more; the second is in its place."""
    core = ready_core()
    core.on_scheduler(run((1, {})))
    core.recycle(1, "it has lived long enough")
    core.runner_ready(2)
    core.flush()
    return core


def test_what_several_runners_say_is_one_answer() -> None:
    """Also one that takes nothing more: its tasks run. They share the room that there is."""
    core = _two_runners()
    core.on_scheduler(STACK)
    half = Inquire(7, "call_stack", {"bytes_max": 50})
    assert after(core) == [ToRunner(1, [half]), ToRunner(2, [half])]
    core.on_runner(2, Told(7, ok=True, said=[packed({"stacks": [2], "left_out": 1})]))
    core.on_runner(2, Told(7, ok=True, said=[packed({"stacks": [3], "left_out": 1})]))
    assert after(core) == []
    core.on_runner(1, Told(7, ok=True, said=[packed({"stacks": [1], "left_out": 1})]))
    [action] = after(core)
    assert isinstance(action, ToScheduler)
    [answer] = action.messages
    assert isinstance(answer, Told)
    assert unpacked(answer.said[0]) == {"stacks": [2, 1], "left_out": 2}


def test_of_several_runners_one_may_die() -> None:
    """What the others say is the answer."""
    core = _two_runners()
    core.on_scheduler(STACK)
    core.runner_died(1, [1], {"signal": 9})
    after(core)
    core.on_runner(2, Told(7, ok=True, said=[packed({"stacks": [2], "left_out": 0})]))
    [action] = after(core)
    assert isinstance(action, ToScheduler)
    assert [getattr(each, "ok", None) for each in action.messages] == [True]


def test_who_has_the_task_is_asked_about_it() -> None:
    """Nobody else."""
    core = _two_runners()
    question = Inquire(7, "call_stack", {"attempts": [1], "bytes_max": 100})
    core.on_scheduler(question)
    assert after(core) == [ToRunner(1, [question])]


@pytest.mark.parametrize("said", [[b"nonsense"], [packed({"stacks": 1, "left_out": 0})]])
def test_an_answer_that_makes_no_sense_is_its_runners_fault(said: list[bytes]) -> None:
    """It is looked into only where it is put together with others."""
    core = _two_runners()
    core.on_scheduler(STACK)
    with pytest.raises(RemoteProtocolError):
        core.on_runner(2, Told(7, ok=True, said=said))


def test_what_the_worker_knows_itself_is_looked_up() -> None:
    """Beside the core, which passes the answer on."""
    core = new_core()
    core.on_scheduler(Inquire(8, "profile", {"name": "f"}))
    assert after(core) == [LookUp(8, "profile", {"name": "f"})]
    core.told(Told(8, ok=True, said=[b"tree"]))
    assert after(core) == [ToScheduler([Told(8, ok=True, said=[b"tree"])])]
