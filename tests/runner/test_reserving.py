"""Slots that are kept for tasks with a process of their own; and such a process."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.runner.runner_driver import Runner, outcome
from tests.runner.runner_tasks import inc
from trio_dask.errors import TaskError
from trio_dask.messages import payload_bytes
from trio_dask.messages.apart import Reserve, Reserved, Vacate
from trio_dask.messages.inquiring import CALL_STACK, Inquire, Told, unpacked
from trio_dask.messages.sealing import Sealed
from trio_dask.messages.tasks import ERROR, OK_HELD, OK_INLINE, Done
from trio_dask.messages.values import Fetch, Stop, Values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.processes


@pytest.fixture(params=["process", "threads"])
def one(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """A runner with one slot."""
    with Runner(1, hosted=request.param == "threads") as made:
        made.function(1, inc)
        yield made


def test_a_slot_is_kept_until_it_is_vacated(one: Runner) -> None:
    """Nothing runs meanwhile; then all that waits does."""
    one.say(Reserve([7], [0]))
    assert one.expect(Reserved).seats == [7]
    one.run(1, 2, args=[1])
    one.say(Inquire(1, CALL_STACK, {"bytes_max": 10_000}))
    told = one.expect(Told)  # and not `Done`; nor is the slot's keeping seen as a task
    assert unpacked(told.said[0])["stacks"] == []
    one.say(Vacate([7]))
    assert one.outcomes(2) == {1: 2, 2: 2}
    assert one.board.running() == []


def test_it_waits_for_its_turn(one: Runner) -> None:
    """By its rank, as tasks do: what is before it runs, what is behind it waits."""
    one.say(Reserve([7], [-5]))
    assert one.expect(Reserved).seats == [7]
    one.run(1, 2, args=[1], ranks=[0, 20])
    one.say(Reserve([8], [10]))
    one.say(Vacate([7]))
    assert one.outcomes(1) == {1: 2}
    assert one.expect(Reserved).seats == [8]
    one.say(Vacate([8]))
    assert one.outcomes(1) == {2: 2}


def test_one_that_is_not_needed_any_more_is_not_kept(one: Runner) -> None:
    """If its turn has not come nothing is said of it; numbers of nobody mean nothing."""
    one.say(Reserve([7], [0]))
    one.say(Reserve([8, 9], [1, 2]))
    assert one.expect(Reserved).seats == [7]
    one.say(Vacate([8, 55]))
    one.say(Vacate([7]))
    assert one.expect(Reserved).seats == [9]
    one.say(Vacate([9]))
    one.run(1, args=[1])
    assert one.outcomes(1) == {1: 2}


def test_others_go_on_beside_it() -> None:
    """In the slots that are left."""
    with Runner(2) as two:
        two.function(1, inc)
        two.say(Reserve([7], [0]))
        assert two.expect(Reserved).seats == [7]
        two.run(*range(1, 30), args=[1])
        assert two.outcomes(29) == dict.fromkeys(range(1, 30), 2)
        two.say(Reserve([8], [0]))
        assert two.expect(Reserved).seats == [8]
        two.run(50, args=[1])
        two.say(Inquire(1, CALL_STACK, {"bytes_max": 10_000}))
        two.expect(Told)
        two.say(Vacate([7, 8]))
        assert two.outcomes(1) == {50: 2}


@pytest.mark.parametrize("hosted", [False, True])
def test_a_runner_that_keeps_slots_ends(
    hosted: bool, new_threads: Callable[..., list[threading.Thread]]
) -> None:
    """When it is told to, and at once: what it keeps is for nobody then."""
    with Runner(2, hosted=hosted) as runner:
        runner.say(Reserve([7, 8, 9], [0, 0, 0]))
        assert {*runner.expect(Reserved).seats, *runner.expect(Reserved).seats} == {7, 8}
        runner.say(Stop("enough"))
        with pytest.raises(EOFError):
            runner.hear()
        assert runner.close() in (0, None)
    assert new_threads("slot-") == []


# ---------------------------------------------------------------- a process for one task


def ended(fn: Callable[..., Any], *args: Any) -> tuple[Runner, Done, list[Any]]:
    """A process for one task, what became of it, and what was sealed."""
    runner = Runner(1, one_task=True)
    sealed: list[Any] = []
    runner.function(1, fn)
    runner.run(1, args=args)
    while isinstance(heard := runner.hear(), Sealed):
        sealed += heard.payloads
    assert isinstance(heard, Done)
    return runner, heard, sealed


def test_what_it_has_made_is_packed_when_that_is_said() -> None:
    """So that what cannot be is its error, and not found out when the process is to end."""
    runner, done, _ = ended(lambda: {"a": os.urandom(5000)})
    with runner:
        assert done.statuses == [OK_HELD]
        assert done.nbytes[0] >= 5000
        runner.say(Fetch(1, [1]))
        [payload] = runner.expect(Values).payloads
        assert payload_bytes(payload) >= 5000


def test_what_cannot_be_packed_is_its_error() -> None:
    """It says why that matters here."""
    runner, done, _ = ended(lambda: [threading.Lock(), "x" * 5000])
    with runner:
        assert done.statuses == [ERROR]
        error = outcome(ERROR, 0, done.values[0])
        assert isinstance(error, TaskError)
        assert "type list cannot be pickled, and the process that has made it was for" in str(error)
        assert runner.fetch(1) == {1: None}


def test_small_results_are_as_ever() -> None:
    """They go with the answer."""
    runner, done, sealed = ended(lambda: 5)
    with runner:
        assert (done.statuses, sealed) == ([OK_INLINE], [])
