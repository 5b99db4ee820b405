"""Questions about what is in a worker: each is answered once, whatever becomes of its runner."""

from __future__ import annotations

import pytest

from tests.worker.worker_driver import after, new_core, ready_core, run
from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.fleet import Renew
from trio_dask.messages.inquiring import SAID_BYTES_MAX, Inquire, Told
from trio_dask.worker.core import LookUp, ToRunner, ToScheduler
from trio_dask.worker.core.inquiring import NO_RUNNER
from trio_dask.worker.core.invariants import violations

STACK = Inquire(7, "call_stack", {"bytes_max": 100})
REFUSED = Told(7, ok=False, said=[NO_RUNNER])


def test_the_runner_says_what_tasks_do() -> None:
    """The question goes on, and so does the answer, unread."""
    core = ready_core()
    core.on_scheduler(STACK)
    assert after(core) == [ToRunner([STACK])]
    core.on_runner(Told(7, ok=True, said=[b"stacks"]))
    assert after(core) == [ToScheduler([Told(7, ok=True, said=[b"stacks"])])]


def test_what_nobody_has_asked_is_not_passed_on() -> None:
    """Nor a second answer to the same question."""
    core = ready_core()
    core.on_runner(Told(7, ok=True, said=[b"x"]))
    assert after(core) == []
    core.on_scheduler(STACK)
    after(core)
    core.on_runner(Told(7, ok=True, said=[b"x"]))
    core.on_runner(Told(7, ok=True, said=[b"y"]))
    assert after(core) == [ToScheduler([Told(7, ok=True, said=[b"x"])])]


def test_an_answer_without_end_is_refused() -> None:
    """User code may say so, and its runner is ended then."""
    core = ready_core()
    core.on_scheduler(STACK)
    with pytest.raises(RemoteProtocolError, match="an answer of more than"):
        core.on_runner(Told(7, ok=True, said=[bytes(SAID_BYTES_MAX), b"x"]))


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
    core.runner_died([1], {"signal": 9})
    [said] = after(core)
    assert isinstance(said, ToScheduler)
    assert REFUSED in said.messages
    assert violations(core.state) == []
    core.runner_ready()
    core.on_runner(Told(7, ok=True, said=[b"late"]))
    assert all(REFUSED not in getattr(each, "messages", []) for each in after(core))


@pytest.mark.parametrize("forget", [True, False])
def test_who_is_asked_and_renewed_has_answered(*, forget: bool) -> None:
    """The old runner's answer does not count where everything is forgotten."""
    core = ready_core()
    core.on_scheduler(STACK)
    after(core)
    core.on_scheduler(Renew(1, forget=forget))
    core.runner_died([], {"on_purpose": True})
    answers = [
        message
        for action in after(core)
        if isinstance(action, ToScheduler)
        for message in action.messages
        if isinstance(message, Told)
    ]
    assert answers == [REFUSED]
    assert core.books()["inquired"] == 0


def test_what_the_worker_knows_itself_is_looked_up() -> None:
    """Beside the core, which passes the answer on."""
    core = new_core()
    core.on_scheduler(Inquire(8, "profile", {"name": "f"}))
    assert after(core) == [LookUp(8, "profile", {"name": "f"})]
    core.told(Told(8, ok=True, said=[b"tree"]))
    assert after(core) == [ToScheduler([Told(8, ok=True, said=[b"tree"])])]
