"""A span for each attempt that came with one; what is wrong with it is no concern of the task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.runner.runner_driver import Runner, run_of
from trio_dask.messages.tasks import Done, Recall, Returned, Traced

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.processes
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(params=["process", "threads"], scope="module")
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """A runner with one slot, for test after test."""
    with Runner(1, hosted=request.param == "threads", profile_interval_s=0.0) as made:
        yield made


def here() -> str:
    """The trace that this is part of."""
    import sys

    if "opentelemetry.trace" not in sys.modules:
        return "nothing is loaded"
    from opentelemetry import trace

    return f"{trace.get_current_span().get_span_context().trace_id:x}"


async def here_later() -> str:
    """The same, on the loop."""
    import trio
    from opentelemetry import trace

    await trio.lowlevel.checkpoint()
    return f"{trace.get_current_span().get_span_context().trace_id:x}"


def test_nothing_is_loaded_before_it_is_needed() -> None:
    """By a process of its own, that runs what nobody traces."""
    with Runner(profile_interval_s=0.0) as runner:
        assert runner.call(here) == "nothing is loaded"


def test_what_is_traced(runner: Runner) -> None:
    """Is part of its trace, the next task is not; whatever else was said of the attempt."""
    pytest.importorskip("opentelemetry.trace", reason="there are no spans without it")
    inside = TRACE.split("-")[1].lstrip("0")
    for function in (here, here_later):
        runner.function(1, function)
        runner.say(Traced([21, 22], TRACE), run_of(21, 22, 23))
        assert runner.outcomes(3) == {21: inside, 22: inside, 23: "0"}
        limited = run_of(31)
        limited.timeouts, limited.deadlines, limited.ways = [60.0], [float("inf")], [1]
        runner.say(Traced([31], TRACE), limited, run_of(32))
        assert runner.outcomes(2) == {31: inside, 32: "0"}


@pytest.mark.parametrize("trace", ["", "x", "00-1-2-3", "\udcff", TRACE + " a=b,c=d"])
def test_whatever_came_with_it(runner: Runner, trace: str) -> None:
    """The task runs."""
    runner.function(1, len)
    runner.say(Traced([41], trace), run_of(41, args=("abc",)))
    assert runner.outcomes(1) == {41: 3}


def test_what_does_not_begin_leaves_nothing(runner: Runner) -> None:
    """And what is said of attempts that never come does no harm."""
    runner.function(1, len)
    runner.say(Traced([51, 52, 53], TRACE))
    runner.say(run_of(51, 52, args=("abc",)), Recall([51, 52]))
    left = {51, 52}
    while left:
        message = runner.hear()
        assert isinstance(message, Returned | Done)
        left -= set(message.attempts)
