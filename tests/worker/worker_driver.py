"""A worker core under test: events in, and the whole list of actions out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.messages.tasks import Functions, Run
from trio_dask.messages.values import ABSENT, FOUND, Values
from trio_dask.worker.core import Action, Store, WorkerCore

if TYPE_CHECKING:
    from trio_dask.messages import Payload

ME = "tcp://me:1"
A = "tcp://a:1"
B = "tcp://b:1"
FID = 7


def new_core(name: str = "me", address: str = ME, store: Store | None = None) -> WorkerCore:
    """A core without a runner."""
    return WorkerCore(name, address, 2, Store() if store is None else store)


def ready_core(name: str = "me", address: str = ME, store: Store | None = None) -> WorkerCore:
    """A core with a runner that knows one function."""
    core = new_core(name, address, store)
    core.runner_ready()
    core.on_scheduler(Functions([FID], ["f"], [b"f"]))
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
