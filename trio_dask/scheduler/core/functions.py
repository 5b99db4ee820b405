"""Functions: clients bring them, workers are taught them, and in the end they are forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.messages import tasks as words
from trio_dask.messages.ids import client_of
from trio_dask.scheduler.core import state as st
from trio_dask.scheduler.core.misuse import Misuse

if TYPE_CHECKING:
    from trio_dask.scheduler.core.state import Client, ClusterState


def on_functions(state: ClusterState, client: Client, message: words.Functions) -> None:
    """Functions that the client's submissions will use."""
    for fid, name, blob in zip(message.fids, message.names, message.blobs, strict=True):
        if client_of(fid) != client.number:
            raise Misuse(f"function id {fid:x} is not of client {client.number}")
        if client.nest is not None and not client.nest.use(fid):
            raise Misuse(f"function id {fid:x} was used before")
        client.functions[fid] = st.Function(fid, name, blob, state.prefix(name))
        client.plain.pop(fid, None)


def on_forget_functions(
    state: ClusterState, client: Client, message: words.ForgetFunctions
) -> None:
    """Functions the client will not use again; tasks that have them keep them."""
    for fid in message.fids:
        function = client.functions.pop(fid, None)
        client.plain.pop(fid, None)
        if function is not None:
            state.unused_functions[fid] = None
            function.forgotten = True
    forget_functions(state)


def forget_functions(state: ClusterState) -> None:
    """Let workers drop functions that are in no window any more; the others wait for the tick."""
    if not state.unused_functions:
        return
    waiting: dict[int, None] = {}
    for worker in state.workers.values():
        known = [fid for fid in state.unused_functions if fid in worker.functions]
        if not known:
            continue
        used = {task.spec.function.fid for task in worker.window.values() if task.spec.function}
        waiting.update(dict.fromkeys(fid for fid in known if fid in used))
        unused = [fid for fid in known if fid not in used]
        if unused:
            worker.functions.difference_update(unused)
            worker.out.add(words.ForgetFunctions(unused))
    state.unused_functions = waiting
