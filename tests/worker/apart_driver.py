"""Attempts with runners of their own, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.worker.worker_driver import FID, after, run
from trio_dask.messages.apart import Reserve, Reserved
from trio_dask.messages.tasks import Functions, Run
from trio_dask.messages.values import Fetch
from trio_dask.worker.core import StartRunner, ToRunner, WorkerCore
from trio_dask.worker.core.invariants import violations

if TYPE_CHECKING:
    from trio_dask.messages import Message
    from trio_dask.worker.core import Action


def apart(*rows: tuple[int, dict[int, str]]) -> Run:
    """A `Run` whose attempts are all to have runners of their own."""
    message = run(*rows)
    message.apart = list(message.attempts)
    return message


def here(attempt: int, **columns: Any) -> Run:
    """The same attempt as its runner is given it."""
    given = run((attempt, {}))
    for name, column in columns.items():
        setattr(given, name, column)
    return given


def told(actions: list[Action], runner: int) -> list[Message]:
    """What a runner is told."""
    found = [each for each in actions if isinstance(each, ToRunner) and each.runner == runner]
    return [message for each in found for message in each.messages]


def reserved(actions: list[Action], runner: int = 1) -> Reserve:
    """What the runner is asked to keep, of which there is one."""
    [message] = [each for each in told(actions, runner) if isinstance(each, Reserve)]
    assert len(message.seats) == 1
    return message


def asked(actions: list[Action], runner: int) -> Fetch:
    """Which values the runner is asked for."""
    [message] = [each for each in told(actions, runner) if isinstance(each, Fetch)]
    return message


def seated(core: WorkerCore, attempt: int = 1) -> int:
    """The attempt has come, and its slot; the number of that."""
    core.on_scheduler(apart((attempt, {})))
    kept = reserved(after(core))
    assert kept.ranks == [attempt]
    core.on_runner(1, Reserved(kept.seats))
    return kept.seats[0]


def begun(core: WorkerCore, attempt: int = 1, runner: int = 2) -> int:
    """It runs in this runner; the number of its slot."""
    seat = seated(core, attempt)
    assert after(core) == [StartRunner(runner, 0.0, alone=True)]
    core.runner_ready(runner)
    assert after(core) == [
        ToRunner(runner, [Functions([FID], ["f"], [b"f"]), here(attempt)]),
    ]
    return seat


def settled(core: WorkerCore) -> list[Action]:
    """What it wants done; its rules hold."""
    found = after(core)
    assert violations(core.state) == []
    return found
