"""A worker core under test: events in, and the whole list of actions out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.messages.tasks import OK_INLINE, Done, Functions, Run
from trio_dask.messages.values import ABSENT, FOUND, Values
from trio_dask.worker.core import Action, StartRunner, Store, WorkerCore

if TYPE_CHECKING:
    from trio_dask.messages import Payload

ME = "tcp://me:1"
A = "tcp://a:1"
B = "tcp://b:1"
FID = 7


def new_core(name: str = "me", address: str = ME, store: Store | None = None) -> WorkerCore:
    """A core without a runner, that has asked for one."""
    core = WorkerCore(name, address, 2, Store() if store is None else store)
    assert core.flush() == [StartRunner(1, 0.0)]
    return core


def ready_core(name: str = "me", address: str = ME, store: Store | None = None) -> WorkerCore:
    """A core that knows one function, and so does its runner."""
    core = new_core(name, address, store)
    core.runner_ready(1)
    core.on_scheduler(Functions([FID], ["f"], [b"f"]))
    core.on_scheduler(run((999, {})))
    core.on_runner(1, Done([999], [OK_INLINE], [0.1], [1], [b"v"]))
    core.flush()
    return core


def run(*rows: tuple[int, dict[int, str]], fid: int = FID) -> Run:
    """A `Run` of attempts, each with its inputs and where they are; the task is 1000 + attempt."""
    n = len(rows)
    attempts = [attempt for attempt, _ in rows]
    deps = [dep for _, inputs in rows for dep in inputs]
    places = [place for _, inputs in rows for place in inputs.values()]
    return Run(
        attempts,
        [1000 + attempt for attempt in attempts],
        [fid] * n,
        attempts,
        [b"x"] * n,
        [len(inputs) for _, inputs in rows] if deps else [],
        deps,
        list(range(len(deps))),
        [],
        places,
        [],
    )


def found(serial: int, values: dict[int, Payload], *, last: bool = True) -> Values:
    """An answer with values."""
    return Values(serial, list(values), [FOUND] * len(values), [], list(values.values()), last)


def absent(serial: int, *tids: int) -> Values:
    """An answer without."""
    return Values(serial, list(tids), [ABSENT] * len(tids), [], [], last=True)


def after(core: WorkerCore) -> list[Action]:
    """What the core wants done."""
    return core.flush()
