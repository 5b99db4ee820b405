"""Plugins: what is to be set up in every runner, those to come included.

A plugin is there everywhere or nowhere: where it cannot be set up on one of the workers
that are there, it is taken back from all of them. What it is nobody knows here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.plugins import (
    PLUGIN_BYTES_MAX,
    PLUGINS_BYTES_MAX,
    PLUGINS_MAX,
    Plugins,
    PluginsDone,
)
from trio_dask.messages.session import Answer
from trio_dask.scheduler.coordination import Refusal
from trio_dask.scheduler.core.chronicle import CLUSTER, note
from trio_dask.scheduler.core.coordinating import NAME_MAX, name_in
from trio_dask.scheduler.core.misuse import Misuse
from trio_dask.scheduler.core.plugin_books import Change, PluginBooks

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.messages import Message
    from trio_dask.messages.session import Ask
    from trio_dask.scheduler.core.state import Client, ClusterState, Worker


def _on_register(state: ClusterState, client: Client, message: Ask) -> None:
    books, name, blob = state.plugins, name_in(message.params), message.params.get("data")
    if type(blob) is not bytes or not 0 < len(blob) <= PLUGIN_BYTES_MAX:
        msg = f"a plugin is 1 to {PLUGIN_BYTES_MAX:,} bytes"
        raise Refusal(msg)
    others = [len(each) for known, each in books.there.items() if known != name]
    if len(others) >= PLUGINS_MAX or sum(others) + len(blob) > PLUGINS_BYTES_MAX:
        msg = (
            f"plugins are at most {PLUGINS_MAX:,}, of {PLUGINS_BYTES_MAX:,} bytes together; "
            "unregister some"
        )
        raise Refusal(msg)
    if name in books.there and message.params.get("idempotent") is True:
        client.out.add(Answer(message.serial, ok=True, data={"workers": [], "failures": {}}))
        return
    books.there.pop(name, None)  # it goes to the end, as it is set up after those that are there
    books.there[name] = blob
    note(state, CLUSTER, client.name, f"registered the plugin {name}")
    _begin(state, Change(0, client, message.serial, name, blob))


def _on_unregister(state: ClusterState, client: Client, message: Ask) -> None:
    name = name_in(message.params)
    if state.plugins.there.pop(name, None) is None:
        msg = f"there is no plugin {name!r}"
        raise Refusal(msg)
    note(state, CLUSTER, client.name, f"unregistered the plugin {name}")
    _begin(state, Change(0, client, message.serial, name, b""))


def _on_list(state: ClusterState, client: Client, message: Ask) -> None:
    names = list(state.plugins.there)
    client.out.add(Answer(message.serial, ok=True, data={"names": names}))


def _begin(state: ClusterState, change: Change) -> None:
    books = state.plugins
    books.changes_ever += 1
    change.number = books.changes_ever
    books.changes[change.number] = change
    for worker in state.workers.values():
        change.left[worker] = None
        worker.out.add(Plugins(change.number, [change.name], [change.blob]))
    books.untried.pop(change.name, None)
    if change.blob:
        books.untried[change.name] = None
    _end_if_done(state, change)


def _end_if_done(state: ClusterState, change: Change) -> None:
    """Answer once no worker is left to wait for."""
    if change.left:
        return
    books = state.plugins
    del books.changes[change.number]
    if change.failures and change.blob and books.there.get(change.name) is change.blob:
        del books.there[change.name]
        for worker in state.workers.values():
            worker.out.add(Plugins(0, [change.name], [b""]))
    client = change.client
    if client is not None and state.clients.get(client.number) is client:
        data = {"workers": list(state.workers), "failures": change.failures}
        client.out.add(Answer(change.question, ok=True, data=data))


def on_done(state: ClusterState, worker: Worker, message: PluginsDone) -> None:
    """A worker's runner has done what it was to do."""
    change = state.plugins.changes.get(message.serial)
    if change is None or worker not in change.left:
        return
    del change.left[worker]
    failure = message.failures[0] if message.failures else b""
    if failure:
        change.failures[worker.address] = failure
    books = state.plugins
    if not failure and books.there.get(change.name) is change.blob:
        books.untried.pop(change.name, None)
    _end_if_done(state, change)


def joined(state: ClusterState, worker: Worker) -> None:
    """A worker is there: it gets what all have."""
    books = state.plugins
    for name, blob in books.there.items():
        number = _change(books, worker, name, blob) if name in books.untried else 0
        worker.out.add(Plugins(number, [name], [blob]))


def gone(state: ClusterState, worker: Worker) -> None:
    """A worker has left, or is lost: nobody waits for it."""
    for change in list(state.plugins.changes.values()):
        if worker in change.left:
            del change.left[worker]
            _end_if_done(state, change)


# ---------------------------------------------------------------- those who come back


def check(message: Plugins) -> None:
    """Whether a worker that is back can have these.

    Raises:
        Misuse: it cannot.
    """
    sizes = [len(blob) for blob in message.blobs]
    named = all(len(name) <= NAME_MAX for name in message.names)
    if not named or not all(0 < size <= PLUGIN_BYTES_MAX for size in sizes):
        raise Misuse("plugins that cannot be")


def adopt(state: ClusterState, messages: list[Message]) -> None:
    """What a worker has that has come back to a scheduler that knows of none."""
    there = state.plugins.there
    for name, blob in _had(messages).items():
        known = sum(map(len, there.values()))
        if (
            name not in there
            and len(there) < PLUGINS_MAX
            and known + len(blob) <= PLUGINS_BYTES_MAX
        ):
            there[name] = blob


def catch_up(state: ClusterState, early: list[Worker], had: set[str]) -> None:
    """These came before anybody who is back, and have what all had then."""
    for name, blob in state.plugins.there.items():
        if name not in had:
            for worker in early:
                number = _change(state.plugins, worker, name, blob)
                worker.out.add(Plugins(number, [name], [blob]))


def level(state: ClusterState, worker: Worker, messages: list[Message]) -> None:
    """A worker that is back, and has said what it has, gets what all have, in their order."""
    books, has = state.plugins, _had(messages)
    for name in [name for name in has if name not in books.there]:
        _say(worker, has, Plugins(0, [name], [b""]))
    for change in books.changes.values():
        if worker in change.left:
            _say(worker, has, Plugins(change.number, [change.name], [change.blob]))
    same, there = 0, list(books.there.items())
    for had, due in zip(has.items(), there, strict=False):
        if had != due:
            break
        same += 1
    for name in list(has)[same:]:
        if name not in books.there:
            _say(worker, has, Plugins(0, [name], [b""]))
    for name, blob in there[same:]:
        number = 0
        if has.get(name) != blob:  # who knows whether it can be set up there
            number = _change(books, worker, name, blob)
        _say(worker, has, Plugins(number, [name], [blob]))


def _change(books: PluginBooks, worker: Worker, name: str, blob: bytes) -> int:
    """The worker is to set it up, and if it cannot, it is taken from all."""
    books.changes_ever += 1
    number = books.changes_ever
    books.changes[number] = Change(number, None, 0, name, blob, {worker: None})
    return number


def _had(messages: list[Message]) -> dict[str, bytes]:
    return {
        name: blob
        for each in messages
        if isinstance(each, Plugins)
        for name, blob in zip(each.names, each.blobs, strict=True)
    }


def _say(worker: Worker, has: dict[str, bytes], message: Plugins) -> None:
    worker.out.add(message)
    [name], [blob] = message.names, message.blobs
    has.pop(name, None)
    if blob:
        has[name] = blob


ORDERS: Final[dict[str, Callable[[ClusterState, Client, Ask], None]]] = {
    "plugin.register": _on_register,
    "plugin.unregister": _on_unregister,
    "plugin.list": _on_list,
}


def violations(state: ClusterState) -> list[str]:
    """What is wrong in the books."""
    wrong: list[Any] = [
        change.name
        for change in state.plugins.changes.values()
        if not change.left or any(not worker.alive for worker in change.left)
    ]
    return [f"nobody is left to set the plugin {name} up, and it is waited for" for name in wrong]
