"""Questions about what is in the worker and its runner: passed on to who knows, and answered once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.inquiring import CALL_STACK, SAID_BYTES_MAX, Told
from trio_dask.worker.core.actions import LookUp

if TYPE_CHECKING:
    from trio_dask.messages.inquiring import Inquire
    from trio_dask.worker.core.state import WorkerState

NO_RUNNER = b"there is no process for its tasks at the moment"


def on_inquire(state: WorkerState, message: Inquire) -> None:
    """The scheduler wants to know something."""
    if message.topic != CALL_STACK:
        state.out.look_ups.append(LookUp(message.serial, message.topic, message.params))
    elif state.up:
        state.inquired[message.serial] = None
        state.out.runner.append(message)
    else:
        state.out.scheduler.append(Told(message.serial, ok=False, said=[NO_RUNNER]))


def on_told(state: WorkerState, message: Told) -> None:
    """The runner answers; what nobody has asked it is not passed on.

    Raises:
        RemoteProtocolError: it is too much.
    """
    if sum(map(len, message.said)) > SAID_BYTES_MAX:
        msg = f"an answer of more than {SAID_BYTES_MAX} bytes"
        raise RemoteProtocolError(msg)
    if message.serial in state.inquired:
        del state.inquired[message.serial]
        state.out.scheduler.append(message)


def told(state: WorkerState, message: Told) -> None:
    """The answer to a `LookUp`."""
    state.out.scheduler.append(message)


def runner_died(state: WorkerState) -> None:
    """It answers nothing any more."""
    for serial in state.inquired:
        state.out.scheduler.append(Told(serial, ok=False, said=[NO_RUNNER]))
    state.inquired.clear()
