"""Clients that have workers leave: which they mean, and the answer when they have left."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trio_dask.messages.session import Answer
from trio_dask.scheduler.core import draining
from trio_dask.scheduler.core.describing import describe_worker
from trio_dask.scheduler.policies.leaving import workers_to_close

if TYPE_CHECKING:
    from trio_dask.messages.session import Ask
    from trio_dask.scheduler.core.state import Client, ClusterState, Worker


@dataclass(slots=True, eq=False)
class Retirement:
    """A client that waits until some workers have left."""

    client: Client
    serial: int
    stayed: dict[str, Any]
    retired: dict[str, Any]
    left: dict[Worker, None] = field(default_factory=dict)  # to wait for

    def done(self, state: ClusterState, worker: Worker) -> None:
        """One of them may go, or has gone."""
        self.left.pop(worker, None)
        self.answer_if_done(state)

    def answer_if_done(self, state: ClusterState) -> None:
        """Answer once all of them are done."""
        if not self.left and state.clients.get(self.client.number) is self.client:
            data = {"workers": self.retired, "stayed": self.stayed}
            self.client.out.add(Answer(self.serial, ok=True, data=data))


def on_retire(state: ClusterState, client: Client, message: Ask) -> str | None:
    """Have workers leave, and answer when they have; or say what is wrong with the question.

    Workers whose values nobody could take stay.
    """
    try:
        workers = _chosen(state, message.params)
    except ValueError as error:
        return str(error)
    going = dict.fromkeys(worker for worker in workers if worker.draining is None)
    nobody = not any(
        worker.draining is None and worker not in going for worker in state.workers.values()
    )
    stay = {
        worker.address: f"nobody is left to take the {len(worker.held)} values that it holds"
        for worker in going
        if nobody and worker.held
    }
    asked = Retirement(client, message.serial, stay, {})
    goes = message.params.get("close") is not False
    for worker in workers:
        if worker.address not in stay:
            asked.retired[worker.address] = describe_worker(worker)
            found = draining.dismiss(state, worker, f"{client.name} retires it", goes=goes)
            if not found.over or goes:
                found.asked.append(asked)
                asked.left[worker] = None
    asked.answer_if_done(state)
    return None


def _chosen(state: ClusterState, params: dict[str, Any]) -> list[Worker]:
    """The workers that the question is about.

    Raises:
        ValueError: it makes no sense.
    """
    named, n = params.get("workers"), params.get("n")
    minimum, ratio = params.get("minimum", 0), params.get("memory_ratio")
    if named is not None:
        if type(named) is not list or not all(type(each) is str for each in named):
            raise ValueError(f"workers must be a list of names or addresses, not {named!r}")
        found = [(name, state.find_worker(name)) for name in named]
        unknown = [name for name, worker in found if worker is None]
        if unknown:
            raise ValueError(f"there is no worker {', '.join(unknown)}")
        return list(dict.fromkeys(worker for _, worker in found if worker is not None))
    if n is not None and (type(n) is not int or n < 0):
        raise ValueError(f"n must be a whole number of workers, not {n!r}")
    if type(minimum) is not int or minimum < 0:
        raise ValueError(f"minimum must be a whole number of workers, not {minimum!r}")
    if ratio is not None and (type(ratio) not in (int, float) or not ratio >= 0):
        raise ValueError(f"memory_ratio must be a number of at least 0, not {ratio!r}")
    return workers_to_close(state.workers.values(), n=n, minimum=minimum, memory_ratio=ratio)
