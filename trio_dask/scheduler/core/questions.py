"""Answers to what clients ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trio_dask.messages.inquiring import SCHEDULER_LOGS, TOLD_HERE
from trio_dask.messages.session import Answer
from trio_dask.scheduler.coordination import Refusal
from trio_dask.scheduler.core import (
    coordinating,
    copies,
    inquiring,
    mirroring,
    plugins,
    publishing,
    restarting,
    retiring,
    retrying,
    stopping,
    surveying,
    why,
)
from trio_dask.scheduler.core.coordination_page import coordination_page
from trio_dask.scheduler.core.describing import describe_worker
from trio_dask.scheduler.core.state import STATE_NAMES
from trio_dask.scheduler.policies import sizing

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from trio_dask.messages.session import Ask
    from trio_dask.scheduler.core.state import Client, ClusterState


def on_ask(state: ClusterState, client: Client, message: Ask) -> Generator[None, None, None] | None:
    """Answer now, or when it has become true."""
    if message.topic == "restart":
        return restarting.on_restart(state, client, message)
    begin = _LONG.get(message.topic)
    if begin is not None:
        return begin(state, client, message)
    _on_ask(state, client, message)
    return None


def _on_ask(state: ClusterState, client: Client, message: Ask) -> None:
    if message.topic == "wait_for_workers":
        wanted = message.params.get("n")
        if type(wanted) is int and wanted >= 1:
            state.waiting_asks.append((client, message.serial, wanted))
            answer_waiting(state)
        else:
            client.out.refuse(message, f"n must be a whole number of workers, not {wanted!r}")
        return
    orders = _ORDERS.get(message.topic)
    if orders is not None:
        why = orders(state, client, message)
        if why is not None:
            client.out.refuse(message, why)
        return
    answer = _TOPICS.get(message.topic)
    if answer is None:
        client.out.refuse(message, f"nobody knows about {message.topic!r}")
        return
    client.out.add(Answer(message.serial, ok=True, data=answer(state, message.params)))


def answer_waiting(state: ClusterState) -> None:
    """Answer those who wait for workers that are here now."""
    here = len(state.workers) - len(state.draining)
    waiting, state.waiting_asks = state.waiting_asks, []
    for client, serial, wanted in waiting:
        if client.number not in state.clients:
            continue
        if wanted <= here:
            client.out.add(Answer(serial, ok=True, data={"n": here}))
        else:
            state.waiting_asks.append((client, serial, wanted))


def _info(state: ClusterState, params: dict[str, Any]) -> dict[str, Any]:
    workers = {address: describe_worker(worker) for address, worker in state.workers.items()}
    return {
        "type": "Scheduler",
        "id": state.cluster,
        "epoch": state.epoch,
        "workers": workers,
        "n_workers": len(workers),
        "total_threads": sum(worker.nthreads for worker in state.workers.values()),
        "total_memory": sum(worker.memory_limit for worker in state.workers.values()),
        "clients": len(state.clients),
        "tasks": len(state.tasks),
        "finished": state.finished_ever,
        "dashboard": state.dashboard,
    }


def _who_has(state: ClusterState, params: dict[str, Any]) -> dict[str, Any]:
    tids = params.get("tids")
    who: dict[str, Any] = {}
    for tid in tids if type(tids) is list else []:
        task = state.tasks.get(tid) if type(tid) is int else None
        if task is not None:
            who[str(tid)] = [worker.address for worker in task.holders or ()]
    return {"who_has": who}


def _nthreads(state: ClusterState, params: dict[str, Any]) -> dict[str, Any]:
    return {address: worker.nthreads for address, worker in state.workers.items()}


def _counts(state: ClusterState, params: dict[str, Any]) -> dict[str, Any]:
    counts = dict.fromkeys(STATE_NAMES, 0)
    for task in state.tasks.values():
        counts[STATE_NAMES[task.state]] += 1
    return counts


def _on_shutdown(state: ClusterState, client: Client, message: Ask) -> str | None:
    state.closing = f"{client.name} has shut the cluster down"
    client.out.add(Answer(message.serial, ok=True, data={}))
    return None


def _dashboard(state: ClusterState, params: dict[str, Any]) -> dict[str, Any]:
    return {"link": state.dashboard}


def _flush(state: ClusterState, params: dict[str, Any]) -> dict[str, Any]:
    return {}


#: What may be about very many tasks: it is done in slices.
_LONG = copies.TOPICS | retrying.TOPICS | surveying.TOPICS
#: What concerns records that the cluster keeps.
_KEPT = coordinating.ORDERS | publishing.ORDERS | plugins.ORDERS


def _on_kept(state: ClusterState, client: Client, message: Ask) -> str | None:
    if mirroring.answered(state, client, message.serial):
        return None
    try:
        _KEPT[message.topic](state, client, message)
    except Refusal as refusal:
        return str(refusal)
    return None


_TOPICS: dict[str, Callable[[ClusterState, dict[str, Any]], dict[str, Any]]] = {
    "info": _info,
    "who_has": _who_has,
    "nthreads": _nthreads,
    "counts": _counts,
    "dashboard": _dashboard,
    "flush": _flush,
    "restarting": restarting.how_far,
    "why": why.answer,
    "coordination": coordination_page,
    "workers_wanted": sizing.answer,
}
#: What has something done; it may say what is wrong with the question.
_ORDERS: dict[str, Callable[[ClusterState, Client, Ask], str | None]] = {
    "adapting": sizing.on_adapting,
    "retire_workers": retiring.on_retire,
    "restart_workers": restarting.on_restart_workers,
    "shutdown": _on_shutdown,
    "cancel_keys": stopping.on_cancel_keys,
    **dict.fromkeys(inquiring.TOPICS, inquiring.on_ask),
    SCHEDULER_LOGS: inquiring.on_ask_here,
    TOLD_HERE: inquiring.on_told_here,
    **dict.fromkeys(_KEPT, _on_kept),
}
