"""Beginning anew: all tasks forgotten and all runners replaced, or just the runners of some workers.

Nothing has to be waited for before everything is forgotten: an attempt is a number, and what
comes in about one that nobody knows is dropped. Clients are told that what they wanted is
cancelled; the one that asked is answered when the workers have new runners.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.fleet import Renew
from trio_dask.messages.ids import client_of
from trio_dask.messages.session import Answer
from trio_dask.scheduler.core import copies, mirroring
from trio_dask.scheduler.core.chronicle import CLUSTER, WORKER, note
from trio_dask.scheduler.core.drawing import delist_all
from trio_dask.scheduler.core.intake import SLICE
from trio_dask.scheduler.core.ready import ReadyQueue
from trio_dask.scheduler.core.windows import NOTHING, touch, vacate

if TYPE_CHECKING:
    from collections.abc import Generator

    from trio_dask.messages.fleet import Renewed
    from trio_dask.messages.ids import TaskId
    from trio_dask.messages.session import Ask
    from trio_dask.scheduler.core.state import Client, ClusterState, Task, Worker

OK: Final = "OK"
REMOVED: Final = "removed"
PENDING: Final = "pending"


@dataclass(slots=True, eq=False)
class Renewal:
    """A client that waits until workers have new runners."""

    number: int
    client: Client
    question: int
    left: dict[Worker, str] = field(default_factory=dict)  # to wait for: what the client calls them
    result: dict[str, str] = field(default_factory=dict)

    def settled(self, state: ClusterState, worker: Worker, how: str) -> None:
        """One worker has a new runner, or is gone."""
        name = self.left.pop(worker, None)
        if name is not None:
            self.result[name] = how
            self.answer_if_done(state)

    def answer_if_done(self, state: ClusterState) -> None:
        """Answer once no worker is left to wait for."""
        if not self.left:
            state.renewals.pop(self.number, None)
            if state.clients.get(self.client.number) is self.client:
                data = {"workers": self.result}
                self.client.out.add(Answer(self.question, ok=True, data=data))


def _begin(state: ClusterState, client: Client, message: Ask) -> Renewal:
    state.renewals_ever += 1
    renewal = Renewal(state.renewals_ever, client, message.serial)
    state.renewals[renewal.number] = renewal
    return renewal


def on_renewed(state: ClusterState, worker: Worker, message: Renewed) -> None:
    """The worker has a new runner."""
    renewal = state.renewals.get(message.serial)
    if renewal is not None:
        renewal.settled(state, worker, OK)
        note(state, WORKER, worker.name, "has a new process for tasks")


def gone(state: ClusterState, worker: Worker) -> None:
    """The worker has left, or is lost."""
    for renewal in list(state.renewals.values()):
        renewal.settled(state, worker, REMOVED)


# ---------------------------------------------------------------- some workers


def on_restart_workers(state: ClusterState, client: Client, message: Ask) -> str | None:
    """Give these workers new runners; or say what is wrong with the question."""
    named = message.params.get("workers")
    if type(named) is not list or not all(type(each) is str for each in named):
        return f"workers must be a list of names or addresses, not {named!r}"
    found = {name: state.find_worker(name) for name in named}
    unknown = [name for name, worker in found.items() if worker is None]
    if unknown:
        return f"there is no worker {', '.join(unknown)}"
    renewal = _begin(state, client, message)
    for name, worker in found.items():
        if worker is not None and worker not in renewal.left:
            renewal.left[worker] = name
            worker.out.add(Renew(renewal.number, forget=False))
    renewal.answer_if_done(state)
    return None


def how_far(state: ClusterState, params: dict[str, Any]) -> dict[str, Any]:
    """What has become of workers that are to have new runners."""
    named = params.get("workers")
    waited = {worker for each in state.renewals.values() for worker in each.left}
    result = {}
    for name in named if type(named) is list else []:
        worker = state.find_worker(name) if type(name) is str else None
        result[str(name)] = REMOVED if worker is None else PENDING if worker in waited else OK
    return {"workers": result}


# ---------------------------------------------------------------- all of it


def on_restart(state: ClusterState, client: Client, message: Ask) -> Generator[None, None, None]:
    """Forget all tasks and values, and replace all runners."""
    why = f"{client.name} has restarted the cluster"
    note(state, CLUSTER, client.name, "restarted the cluster: all tasks are forgotten")
    old = _forget_all(state)
    renewal = _begin(state, client, message)
    for worker in state.workers.values():
        worker.out.add(Renew(renewal.number, forget=True))
        if message.params.get("wait") is not False:
            renewal.left[worker] = worker.address
    return _take_leave(state, old, why, renewal)


def _forget_all(state: ClusterState) -> dict[TaskId, Task]:
    """Empty all tables; the tasks that were there."""
    old, state.tasks = state.tasks, {}
    mirroring.forget_values(state)
    for limit in state.limits.values():
        limit.live = 0
    for table in (
        state.keys, state.names, state.refs, state.retried, state.unreached, state.deaths,
        state.cancelling, state.cancellers, state.pinned, state.puts, state.homes, state.alone,
        state.kept, state.limits, state.late, state.loosened, state.copied, state.copies_asked,
        state.relays,
    ):  # fmt: skip
        table.clear()
    delist_all(state)
    state.waiting_puts.clear()
    state.due.clear()
    for requirement in (state.anywhere, *state.requirements.values()):
        requirement.queue = ReadyQueue()
    for worker in state.workers.values():
        for attempt in list(worker.window):
            vacate(worker, attempt)
        worker.held.clear()
        worker.stray.clear()
        copies.gone(state, worker)
        worker.functions.clear()
        worker.home = ReadyQueue()
        worker.worst = NOTHING
        worker.told = worker.slots = 0  # until it has a new runner
        worker.kept = None
        touch(state, worker)
        if worker.draining is not None:
            worker.draining.forget()
    state.worst = NOTHING
    return old


def _take_leave(
    state: ClusterState, old: dict[TaskId, Task], why: str, renewal: Renewal
) -> Generator[None, None, None]:
    """Tell clients, and take the tasks apart, a slice at a time: they refer to each other."""
    for row, (tid, task) in enumerate(old.items()):
        wanted = task.wanted if tid == task.tid else task.also is not None and tid in task.also
        client = state.clients.get(client_of(tid))
        if wanted and client is not None:
            client.out.cancelled(tid, why)
        if row % SLICE == SLICE - 1:
            yield
    for row, task in enumerate(old.values()):
        task.deps, task.dependents, task.also = (), None, None
        task.holders = task.worker = task.queue = task.value = None
        if row % SLICE == SLICE - 1:
            yield
    renewal.answer_if_done(state)
