"""How many workers there should be for the work there is: what adaptive clusters ask for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.session import Answer
from trio_dask.scheduler.policies.leaving import used_bytes
from trio_dask.scheduler.policies.placement import UNKNOWN_S

if TYPE_CHECKING:
    from trio_dask.messages.session import Ask
    from trio_dask.scheduler.core.state import Client, ClusterState

#: With more of all workers' memory in use than this, there should be twice as many.
CROWDED: Final = 0.6


def answer(state: ClusterState, params: dict[str, Any]) -> dict[str, Any]:
    """How many workers are wanted, and how many of those there are have nothing to do."""
    target_s, threads = params.get("target_s"), params.get("threads")
    good = isinstance(target_s, int | float) and not isinstance(target_s, bool) and target_s > 0
    wanted = workers_wanted(
        state,
        target_s=float(target_s) if good and target_s is not None else 5.0,
        threads=threads if type(threads) is int and threads > 0 else 1,
    )
    staying = [worker for worker in state.workers.values() if worker.draining is None]
    idle = sum(not worker.window and not worker.home for worker in staying)
    return {"wanted": wanted, "idle": idle, "here": len(staying), "adapting": adapting(state)}


def adapting(state: ClusterState) -> dict[str, Any] | None:
    """Between how many workers there are to be, if somebody who is here sees to that."""
    said = state.records.adapting
    if said is None or state.clients.get(said[0].number) is not said[0]:
        return None
    return said[1]


def on_adapting(state: ClusterState, client: Client, message: Ask) -> str | None:
    """The cluster's own client says that it keeps the number between two others."""
    minimum, maximum = message.params.get("minimum"), message.params.get("maximum")
    if type(minimum) is not int or not (maximum is None or type(maximum) is int):
        return f"minimum and maximum are whole numbers, not {minimum!r} and {maximum!r}"
    state.records.adapting = client, {"minimum": minimum, "maximum": maximum}
    client.out.add(Answer(message.serial, ok=True, data={}))
    return None


def workers_wanted(state: ClusterState, *, target_s: float, threads: int) -> int:
    """So many that what could run now is done in about `target_s`.

    `threads` is what a new worker has. Tasks that wait for inputs do not count: the ones
    they wait for do.
    """
    workers = [worker for worker in state.workers.values() if worker.draining is None]
    queues = [requirement.queue for requirement in state.requirements.values()]
    ready = sum(map(len, queues)) + sum(len(worker.home) for worker in state.workers.values())
    given = sum(len(worker.window) - len(worker.parked) for worker in state.workers.values())
    pending = ready + given
    if not pending:
        return _for_memory(state, 0)
    busy_s = pending * _usual_s(state)
    slots = min(pending, max(1, math.ceil(busy_s / target_s)))
    each = sum(worker.nthreads for worker in workers) / len(workers) if workers else threads
    # Who runs something that takes long is needed as long as it does.
    busy = sum(bool(worker.window) for worker in workers)
    return _for_memory(state, max(math.ceil(slots / each), min(busy, pending)))


def _usual_s(state: ClusterState) -> float:
    """How long a task takes: by what the workers have, or by all that is known."""
    total, count = 0.0, 0
    for worker in state.workers.values():
        for prefix, number in worker.load.items():
            estimate = prefix.estimate_s()
            total += number * (estimate if estimate >= 0 else UNKNOWN_S)
            count += number
    if count:
        return total / count
    known = [prefix for prefix in state.prefixes.values() if prefix.runs]
    runs = sum(prefix.runs for prefix in known)
    return sum(prefix.seconds for prefix in known) / runs if runs else UNKNOWN_S


def _for_memory(state: ClusterState, wanted: int) -> int:
    """More, if those there are have hardly any memory left; and where values are, all."""
    limit = sum(worker.memory_limit for worker in state.workers.values())
    used = sum(used_bytes(worker) for worker in state.workers.values())
    return max(wanted, 2 * len(state.workers)) if limit and used > CROWDED * limit else wanted
