"""Questions about what is in workers' processes: asked of each of them, answered together.

What workers say is passed on as it is. Who does not answer in time, as its process is busy with
something that lets nobody look, is named; who leaves meanwhile as well. What the scheduler itself
has logged is asked of the process around this core, which answers as the client in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.ids import task_of_key
from trio_dask.messages.inquiring import (
    CALL_STACK,
    LOGS,
    PROFILE,
    SAID_BYTES_MAX,
    TASK_LOGS,
    Inquire,
)
from trio_dask.messages.session import Answer
from trio_dask.scheduler.core import state as st
from trio_dask.scheduler.core.inquiry import HERE, Inquiry
from trio_dask.scheduler.core.misuse import Misuse

if TYPE_CHECKING:
    from trio_dask.messages.inquiring import Told
    from trio_dask.messages.session import Ask
    from trio_dask.scheduler.core.state import Client, ClusterState, Task, Worker

#: So long workers have to answer, seconds.
PATIENCE_S: Final = 3.0
#: So many questions are under way at a time.
INQUIRIES_MAX: Final = 100
#: All answers to one question together have so many bytes, but each worker gets some.
_TOGETHER_BYTES: Final = 16 << 20
_EACH_BYTES_MIN: Final = 16 << 10
_GONE: Final = b"it has left"
_MANY: Final = f"{INQUIRIES_MAX} such questions are being answered: try again later"


def on_ask(state: ClusterState, client: Client, message: Ask) -> str | None:
    """Ask workers; or say what is wrong with the question."""
    params = dict(message.params)
    named = params.pop("workers", None)
    if named is not None and (
        type(named) is not list or not all(type(each) is str for each in named)
    ):
        return f"workers must be a list of names or addresses, not {named!r:.200}"
    found = list(state.workers.values())
    if named is not None:
        chosen = [state.find_worker(name) for name in named]
        if None in chosen:
            return f"there is no worker {named[chosen.index(None)]!r:.200}"
        found = [worker for worker in dict.fromkeys(chosen) if worker is not None]
    if _are_many(state):
        return _MANY
    if message.topic == TASK_LOGS:
        tid = _task_meant(state, params)
        if tid is None:
            return f"there is no task {params.get('key')!r:.200}, or nobody wants it any more"
        params = {"tid": tid, "n": params.get("n")}
    each = dict.fromkeys(found, params)
    if message.topic == CALL_STACK and (tasks := _tasks(state, params)) is not None:
        each = _by_worker(tasks, each)
    _ask(state, client, message, each)
    return None


def _are_many(state: ClusterState) -> bool:
    of_workers = {id(inquiry) for inquiry, _ in state.inquiries.values()}
    return len(of_workers) + len(state.inquiries.here) >= INQUIRIES_MAX


def on_ask_here(state: ClusterState, client: Client, message: Ask) -> str | None:
    """Have the process around say what it has logged; or say what is wrong with the question."""
    lines = message.params.get("n")
    if lines is not None and (type(lines) is not int or lines < 0):
        return f"n must be a number of lines, not {lines!r:.200}"
    if _are_many(state):
        return _MANY
    state.inquiries_ever += 1
    serial = state.inquiries_ever
    due = state.now + PATIENCE_S
    inquiry = Inquiry(client, message.serial, due, SAID_BYTES_MAX, lines, waiting={serial: None})
    state.inquiries.here[serial] = inquiry
    return None


def asked_here(state: ClusterState, after: int) -> list[tuple[int, dict[str, Any]]]:
    """What the process around is asked, with serials above `after`, and how much there is room for."""
    return [
        (serial, {"n": inquiry.lines, "bytes_max": inquiry.bytes_max})
        for serial, inquiry in state.inquiries.here.items()
        if serial > after
    ]


def on_told_here(state: ClusterState, client: Client, message: Ask) -> str | None:
    """This process answers; perhaps too late. Nobody else may."""
    if not client.local:
        return "only the scheduler's process says what it has logged"
    serial, said = message.params["serial"], message.params["said"]
    inquiry = state.inquiries.here.get(serial)
    if inquiry is not None:
        inquiry.said[HERE] = said
        del inquiry.waiting[serial], state.inquiries.here[serial]
        inquiry.answer(state)
    client.out.add(Answer(message.serial, ok=True, data={}))
    return None


def _tasks(state: ClusterState, params: dict[str, Any]) -> list[Task] | None:
    """The tasks that the question is about; None for all."""
    tids, keys = params.pop("tids", None), params.pop("keys", None)
    if tids is None and keys is None:
        return None
    found = [state.tasks.get(tid) for tid in tids if type(tid) is int] if type(tids) is list else []
    if type(keys) is list:
        found += [state.task_with_key(key) for key in keys if type(key) is str]
    return [task for task in found if task is not None]


def _task_meant(state: ClusterState, params: dict[str, Any]) -> int | None:
    """The id under which workers know a task; they may know one that is forgotten here."""
    tid, key = params.get("tid"), params.get("key")
    if type(tid) is not int:
        if type(key) is not str:
            return None
        task = state.task_with_key(key)
        return task_of_key(key) if task is None else task.tid
    task = state.tasks.get(tid)
    return tid if task is None else task.tid


def _by_worker(
    tasks: list[Task], workers: dict[Worker, dict[str, Any]]
) -> dict[Worker, dict[str, Any]]:
    attempts: dict[Worker, list[int]] = {}
    for task in tasks:
        if task.state == st.ASSIGNED and task.worker in workers:
            attempts.setdefault(task.worker, []).append(task.attempt)
    return {worker: {"attempts": each} for worker, each in attempts.items()}


def _ask(
    state: ClusterState, client: Client, message: Ask, each: dict[Worker, dict[str, Any]]
) -> None:
    share = min(SAID_BYTES_MAX, max(_EACH_BYTES_MIN, _TOGETHER_BYTES // max(1, len(each))))
    inquiry = Inquiry(client, message.serial, state.now + PATIENCE_S, share)
    for worker, params in each.items():
        state.inquiries_ever += 1
        serial = state.inquiries_ever
        inquiry.waiting[serial] = worker
        state.inquiries[serial] = inquiry, worker
        worker.out.add(Inquire(serial, message.topic, {**params, "bytes_max": share}))
    if not each:
        inquiry.answer(state)


def on_told(state: ClusterState, worker: Worker, message: Told) -> None:
    """A worker answers; perhaps too late."""
    inquiry, asked = state.inquiries.get(message.serial, (None, None))
    if len(message.said) != 1 or len(message.said[0]) > SAID_BYTES_MAX:
        raise Misuse("an answer is one blob of bounded size")
    if inquiry is None or asked is not worker:
        return
    if message.ok and len(message.said[0]) > inquiry.bytes_max:
        raise Misuse(f"an answer of more than {inquiry.bytes_max} bytes")
    kept = inquiry.said if message.ok else inquiry.refused
    kept[worker.address] = message.said[0]
    _done(state, inquiry, message.serial)


def _done(state: ClusterState, inquiry: Inquiry, serial: int) -> None:
    del state.inquiries[serial], inquiry.waiting[serial]
    if not inquiry.waiting:
        inquiry.answer(state)


def gone(state: ClusterState, worker: Worker) -> None:
    """It answers nothing any more."""
    for serial, (inquiry, asked) in list(state.inquiries.items()):
        if asked is worker:
            inquiry.refused[worker.address] = _GONE
            _done(state, inquiry, serial)


def expire(state: ClusterState, now: float) -> None:
    """Answer what has waited long enough, without those that are silent."""
    of_workers = [inquiry for inquiry, _ in state.inquiries.values()]
    for inquiry in [*of_workers, *state.inquiries.here.values()]:
        if inquiry.due <= now and inquiry.waiting:
            inquiry.answer(state)
            inquiry.waiting.clear()


#: The questions of clients.
TOPICS: Final = (CALL_STACK, PROFILE, LOGS, TASK_LOGS)
