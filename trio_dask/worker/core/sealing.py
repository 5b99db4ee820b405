"""Results that outlive their runner: they are in the store from the moment they are announced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import part_of, payload_bytes
from trio_dask.messages.tasks import OK_HELD, Done
from trio_dask.worker.core import room

if TYPE_CHECKING:
    from trio_dask.messages import Payload
    from trio_dask.messages.sealing import Sealed, Slab
    from trio_dask.worker.core.state import Runner, WorkerState


def on_sealed(state: WorkerState, runner: Runner, message: Sealed) -> None:
    """A runner has put values where others can read them.

    What belongs to an attempt counts when that has ended well, which is said next.
    """
    columns = (message.attempts, message.tids, message.numbers, message.payloads)
    for attempt, tid, number, payload in zip(*columns, strict=True):
        if attempt:
            if runner.given.get(attempt) == tid:
                runner.sealed[attempt] = payload
                if number < 0:
                    state.room.born_filed.add(attempt)
        else:
            _given_up(state, runner, tid, payload, filed=number < 0)


def on_slab(state: WorkerState, runner: Runner, message: Slab) -> None:
    """A runner has put small values into a file that they share.

    Raises:
        RemoteProtocolError: they are not all in there.
    """
    if len(message.payloads) != 1 or min(message.sizes, default=0) < 0:
        msg = "Slab with columns that do not fit together"
        raise RemoteProtocolError(msg)
    whole, at = message.payloads[0], 0
    if sum(message.sizes) > payload_bytes(whole):
        msg = f"values of {sum(message.sizes)} bytes in {payload_bytes(whole)}"
        raise RemoteProtocolError(msg)
    for tid, nbytes in zip(message.tids, message.sizes, strict=True):
        _given_up(state, runner, tid, part_of(whole, at, nbytes), filed=True)
        at += nbytes


def _given_up(
    state: WorkerState, runner: Runner, tid: int, payload: Payload, *, filed: bool
) -> None:
    """What a runner was asked for, by us or by somebody else."""
    if tid in state.room.leaving:
        if filed:
            room.moved(state, tid, payload)
        elif tid in runner.held:
            room.keep(state, tid, payload)
    elif tid in runner.held:
        room.keep(state, tid, payload, filed=filed)


def settle(state: WorkerState, runner: Runner, message: Done, tids: list[int]) -> None:
    """These attempts have ended: what was sealed of them is kept if it is their value."""
    for attempt, tid, status in zip(message.attempts, tids, message.statuses, strict=True):
        payload = runner.sealed.pop(attempt, None)
        if payload is not None and status == OK_HELD:
            room.keep(state, tid, payload, filed=attempt in state.room.born_filed)
        state.room.born_filed.discard(attempt)
    for attempt in [each for each in runner.sealed if each not in runner.given]:
        del runner.sealed[attempt]  # it was reported as stopped before
        state.room.born_filed.discard(attempt)
