"""Questions about what is in the worker and its runners: passed on to who knows, and answered once.

Where several runners have something to say, what they say is put together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.inquiring import (
    CALL_STACK,
    SAID_BYTES_MAX,
    Inquire,
    Told,
    packed,
    unpacked,
)
from trio_dask.worker.core.actions import LookUp

if TYPE_CHECKING:
    from trio_dask.worker.core.state import Runner, WorkerState

NO_RUNNER = b"there is no process for its tasks at the moment"


@dataclass(slots=True, eq=False)
class Inquired:
    """A question that runners are to answer, and what they have said so far."""

    several: bool
    waiting: set[int]  # runners
    answer: Told | None = None
    stacks: list[Any] = field(default_factory=list)  # of several runners
    left_out: int = 0


def on_inquire(state: WorkerState, message: Inquire) -> None:
    """The scheduler wants to know something."""
    if message.topic != CALL_STACK:
        state.out.look_ups.append(LookUp(message.serial, message.topic, message.params))
        return
    asked = _who_knows(state, message.params.get("attempts"))
    if not asked:
        state.out.scheduler.append(Told(message.serial, ok=False, said=[NO_RUNNER]))
        return
    several = len(asked) > 1
    state.inquired[message.serial] = Inquired(several, {runner.number for runner in asked})
    room = message.params.get("bytes_max")
    if several and type(room) is int:
        params = {**message.params, "bytes_max": room // len(asked)}
        message = Inquire(message.serial, message.topic, params)
    for runner in asked:
        runner.out.append(message)


def _who_knows(state: WorkerState, attempts: object) -> list[Runner]:
    """The runners that have been given these attempts; all where nobody is named, or known."""
    there = [each for each in state.runners.values() if each.ready and not each.forgotten]
    named = attempts if type(attempts) is list else []
    knowing = [runner for runner in there if not runner.given.keys().isdisjoint(named)]
    return knowing or there


def on_told(state: WorkerState, runner: Runner, message: Told) -> None:
    """A runner answers; what nobody has asked it is not passed on.

    Raises:
        RemoteProtocolError: it is too much, or makes no sense.
    """
    if sum(map(len, message.said)) > SAID_BYTES_MAX:
        msg = f"an answer of more than {SAID_BYTES_MAX} bytes"
        raise RemoteProtocolError(msg)
    asked = state.inquired.get(message.serial)
    if asked is None or runner.number not in asked.waiting:
        return
    if asked.several and message.ok:
        _put_together(asked, message)
    if asked.answer is None or message.ok:
        asked.answer = message
    asked.waiting.discard(runner.number)
    _answer(state, message.serial, asked)


def _put_together(asked: Inquired, message: Told) -> None:
    for tree in map(unpacked, message.said):
        stacks, left_out = tree.get("stacks"), tree.get("left_out")
        if type(stacks) is not list or type(left_out) is not int:
            msg = "an answer without call stacks"
            raise RemoteProtocolError(msg)
        asked.stacks += stacks
        asked.left_out += left_out


def _answer(state: WorkerState, serial: int, asked: Inquired) -> None:
    """Pass on what was said, if that was the last of those who were asked."""
    if asked.waiting:
        return
    del state.inquired[serial]
    answer = asked.answer or Told(serial, ok=False, said=[NO_RUNNER])
    if asked.several and answer.ok:
        together = packed({"stacks": asked.stacks, "left_out": asked.left_out})
        answer = Told(serial, ok=True, said=[together])
    state.out.scheduler.append(answer)


def told(state: WorkerState, message: Told) -> None:
    """The answer to a `LookUp`."""
    state.out.scheduler.append(message)


def runner_died(state: WorkerState, runner: Runner) -> None:
    """It answers nothing any more."""
    for serial, asked in list(state.inquired.items()):
        asked.waiting.discard(runner.number)
        _answer(state, serial, asked)
