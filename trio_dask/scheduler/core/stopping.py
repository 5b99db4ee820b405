"""Tasks that are stopped by their keys, whoever wants them: an order of somebody who looks on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_dask.messages.session import Answer
from trio_dask.scheduler.core import state as st
from trio_dask.scheduler.core.intake import stop

if TYPE_CHECKING:
    from trio_dask.messages.session import Ask
    from trio_dask.scheduler.core.state import Client, ClusterState

#: So many at a time.
KEYS_MAX: Final = 1_000


def on_cancel_keys(state: ClusterState, client: Client, message: Ask) -> str | None:
    """Stop these; or say what is wrong with the question. What has ended stays as it is."""
    keys = message.params.get("keys")
    if type(keys) is not list or not all(type(each) is str for each in keys):
        return f"keys must be a list of keys, not {keys!r:.200}"
    if len(keys) > KEYS_MAX:
        return f"{len(keys)} keys, where {KEYS_MAX} are the most at a time"
    found = {key: state.task_with_key(key) for key in keys}
    stopped, ended = list[str](), list[str]()
    for key, task in found.items():
        if task is not None:
            over = task.state >= st.DONE
            (ended if over else stopped).append(key)
            if not over:
                stop(state, task, f"{client.name} has cancelled it", client.name)
    unknown = [key for key, task in found.items() if task is None]
    data = {"stopped": stopped, "ended": ended, "unknown": unknown}
    client.out.add(Answer(message.serial, ok=True, data=data))
    return None
