"""Failed tasks that run again because their client asks for it, with what they failed over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_dask.messages.ids import client_of
from trio_dask.messages.session import Answer
from trio_dask.scheduler.core import state as st
from trio_dask.scheduler.core.lifecycle import report_again, require

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from trio_dask.messages.session import Ask
    from trio_dask.scheduler.core.state import Client, ClusterState, Task

#: Rows of a question between two looks at other peers.
_SLICE: Final = 500


def on_retry(
    state: ClusterState, client: Client, message: Ask
) -> Generator[None, None, None] | None:
    """Run these again, as far as they have failed; or say what is wrong with the question."""
    tids = message.params.get("tids")
    if type(tids) is not list or not all(type(each) is int for each in tids):
        data = {"error": "tids must be a list of task ids"}
        client.out.add(Answer(message.serial, ok=False, data=data))
        return None
    return _retry(state, client, message.serial, tids)


def _retry(
    state: ClusterState, client: Client, serial: int, tids: list[int]
) -> Generator[None, None, None]:
    count = 0
    for row, tid in enumerate(tids):
        task = state.tasks.get(tid) if client_of(tid) == client.number else None
        if task is not None and task.state == st.FAILED:
            count += _run_again(state, task)
        if row % _SLICE == _SLICE - 1:
            yield
    if state.clients.get(client.number) is client:
        client.out.add(Answer(serial, ok=True, data={"n": count}))


def _run_again(state: ClusterState, task: Task) -> int:
    """Forget that it failed, and that others did which it has as inputs; how many that were."""
    found: dict[Task, None] = {}
    stack = [task]
    while stack:
        each = stack.pop()
        # One whose inputs were never known has no arguments: nothing would come of it.
        if each.state == st.FAILED and each.args is not None and each not in found:
            found[each] = None
            stack += each.deps
    for each in found:
        each.state, each.value = st.RELEASED, None
        # What counts towards giving up is counted anew.
        state.retried.pop(each.tid, None)
        state.deaths.pop(each.tid, None)
        state.unreached.pop(each.tid, None)
        report_again(state, each)
    require(state, list(found))
    return len(found)


TOPICS: Final[
    dict[str, Callable[[ClusterState, Client, Ask], Generator[None, None, None] | None]]
] = {"retry": on_retry}
