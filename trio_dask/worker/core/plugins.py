"""Plugins: a worker keeps them for its runners, of which each sets all of them up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.plugins import Plugins

if TYPE_CHECKING:
    from trio_dask.messages import Message
    from trio_dask.messages.plugins import PluginsDone
    from trio_dask.worker.core.state import WorkerState


def on_plugins(state: WorkerState, message: Plugins) -> None:
    """There are others now; the runner that is there, or the next, is to do something about it."""
    for name, blob in zip(message.names, message.blobs, strict=True):
        state.plugins.pop(name, None)  # the order is that of coming
        if blob:
            state.plugins[name] = blob
    if message.serial:
        state.plugging[message.serial] = message
    if state.up:
        state.out.runner.append(message)


def runner_ready(state: WorkerState) -> None:
    """A new runner has none of them: this comes before all tasks."""
    later = {name for each in state.plugging.values() for name in each.names}
    for name, blob in state.plugins.items():
        if name not in later:
            state.out.runner.append(Plugins(0, [name], [blob]))
    state.out.runner += state.plugging.values()  # whoever has asked for these is to be answered


def on_done(state: WorkerState, message: PluginsDone) -> None:
    """The runner has done what it was to do.

    Raises:
        RemoteProtocolError: it says nothing about it, or too much.
    """
    asked = state.plugging.pop(message.serial, None)
    if asked is None:
        return
    if len(message.failures) != len(asked.names):
        msg = f"{len(message.failures)} outcomes for {len(asked.names)} plugins"
        raise RemoteProtocolError(msg)
    for name, blob, failure in zip(asked.names, asked.blobs, message.failures, strict=True):
        if failure and blob and state.plugins.get(name) is blob:
            del state.plugins[name]  # it is about to be taken back everywhere
    state.out.scheduler.append(message)


def had(state: WorkerState) -> list[Message]:
    """What every runner has, as it is told to a scheduler that does not know.

    What was to come is not there, as the scheduler is lost that wanted to know how that went.
    """
    for name in [name for each in state.plugging.values() for name in each.names]:
        if state.plugins.pop(name, None) is not None and state.up:
            state.out.runner.append(Plugins(0, [name], [b""]))
    state.plugging.clear()
    return [Plugins(0, [name], [blob]) for name, blob in state.plugins.items()]
