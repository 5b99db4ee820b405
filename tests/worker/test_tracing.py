"""What is said of traces is passed on to the runner, before the attempts; it is its concern alone."""

from __future__ import annotations

from tests.worker.worker_driver import new_core, ready_core, run
from trio_dask.messages.tasks import Functions, Run, Traced
from trio_dask.worker.core import ToRunner


def test_a_trace_is_passed_on() -> None:
    """In front of what it is about."""
    core = ready_core()
    core.on_scheduler(Traced([1], "trace"))
    core.on_scheduler(run((1, {})))
    said = [
        message
        for action in core.flush()
        if isinstance(action, ToRunner)
        for message in action.messages
    ]
    assert [type(each) for each in said if not isinstance(each, Functions)] == [Traced, Run]


def test_without_a_runner_nobody_is_told() -> None:
    """Its attempts will not run, either."""
    core = new_core()
    core.on_scheduler(Traced([1], "trace"))
    assert not any(isinstance(each, ToRunner) for each in core.flush())
