"""Copies that the scheduler wants here, whether a task needs them or not: they go into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.fleet import Uncopied
from trio_dask.worker.core import inputs, room

if TYPE_CHECKING:
    from trio_dask.messages import Payload
    from trio_dask.messages.fleet import Copy
    from trio_dask.worker.core.state import Want, WorkerState


def on_copy(state: WorkerState, message: Copy) -> None:
    """Hold these, too.

    Raises:
        RemoteProtocolError: it makes no sense; nothing has changed.
    """
    if not 0 <= min(message.at, default=0) <= max(message.at, default=-1) < len(message.places):
        if message.at:
            msg = "Copy of values at places that are not named"
            raise RemoteProtocolError(msg)
        return
    large = inputs.sizes(message.large)
    for tid, at in zip(message.tids, message.at, strict=True):
        if state.draining is not None:
            uncopied(state, tid)
        elif has(state, tid):
            state.out.replica(tid)
        else:
            inputs.want_copy(state, tid, message.places[at].split(), large.get(tid, 0))


def has(state: WorkerState, tid: int) -> bool:
    """Whether the worker holds the value; what a neighbour has in the store, it holds from now on."""
    if state.holder(tid) is not None:
        return True
    payload = state.store.get(tid)
    if payload is None:
        return False
    room.keep(state, tid, payload)
    return True


def arrived(state: WorkerState, tid: int, want: Want, payload: Payload) -> None:
    """The value has been fetched."""
    if want.copy:
        room.keep(state, tid, payload)
        state.out.replica(tid)


def failed(state: WorkerState, tid: int, want: Want, failure: bytes = b"") -> None:
    """The value cannot be had."""
    if want.copy:
        uncopied(state, tid, failure)


def uncopied(state: WorkerState, tid: int, failure: bytes = b"") -> None:
    """Say that it cannot be had."""
    last = state.out.scheduler[-1] if state.out.scheduler else None
    if type(last) is not Uncopied:
        last = Uncopied([], [])
        state.out.scheduler.append(last)
    last.tids.append(tid)
    last.failures.append(failure)
