"""Whether a worker has been given what the scheduler believes it has, and what to do if not.

Neither can come about by anything that a network or a death can do, as each message is heard
once and in order; but a mistake in either's books would leave a task waiting for ever. So
each heartbeat has a digest of the attempts that the worker has not answered. What it had not
heard of by then is left out, so that nothing under way raises a false alarm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from trio_dask.messages import tasks as words
from trio_dask.messages.agreeing import Counted, Recount, digest
from trio_dask.messages.fleet import Renew
from trio_dask.messages.reunion import Disown
from trio_dask.scheduler.core import returning
from trio_dask.scheduler.core.chronicle import WORKER, note
from trio_dask.scheduler.core.lifecycle import requeue
from trio_dask.scheduler.core.misuse import Misuse
from trio_dask.scheduler.core.windows import touch, vacate

if TYPE_CHECKING:
    from trio_dask.messages.session import Heartbeat
    from trio_dask.scheduler.core.state import ClusterState, Worker

#: A worker that still disagrees after so many questions in a row is let go of.
ASKED_MAX: Final = 2


class Doubt(NamedTuple):
    """A worker has been asked what it has."""

    times: int
    said: int  # so many messages were said to it with the last question


def on_beat(state: ClusterState, worker: Worker, message: Heartbeat) -> None:
    """Compare what the worker has with what it should have.

    Raises:
        Misuse: they do not agree, and asking has not helped.
    """
    times, said = state.reunion.doubts.get(worker.peer, (0, 0))
    there = _given(worker, message.heard) if message.heard >= said else None
    if there is None:
        return
    if len(there) == message.attempts and digest(there) == message.digest:
        state.reunion.doubts.pop(worker.peer, None)
        return
    if times >= ASKED_MAX:
        msg = f"it has {message.attempts} tasks, was given {len(there)}, and asking did not help"
        raise Misuse(msg)
    worker.out.add(Recount(len(there)))
    assert worker.out.lasting is not None
    said = worker.out.lasting.said + len(worker.out.messages)
    state.reunion.doubts[worker.peer] = Doubt(times + 1, said)


def on_counted(state: ClusterState, worker: Worker, message: Counted) -> None:
    """What the worker has: what is missing there is given anew, what is there in vain is stopped.

    Raises:
        Misuse: it was not asked.
    """
    if worker.peer not in state.reunion.doubts:
        msg = "it says what it has, and was not asked"
        raise Misuse(msg)
    there = _given(worker, message.heard)
    if there is None:
        return
    told = dict(zip(message.attempts, message.tids, strict=True))
    lost = there - told.keys()
    vain = {attempt: tid for attempt, tid in told.items() if attempt not in worker.window}
    if not lost and not vain:
        return
    what = f"{len(lost)} tasks that were given to it were not there, {len(vain)} were in vain"
    note(state, WORKER, worker.name, what)
    for attempt in sorted(lost):
        task = vacate(worker, attempt)
        if task is not None:
            requeue(state, task)
    if vain:
        returning.disown(state, worker, vain)
    touch(state, worker)


def _given(worker: Worker, heard: int) -> set[int] | None:
    """The window as the worker knew it when it had heard so much; None if that cannot be told.

    Raises:
        Misuse: so much was not said.
    """
    lasting = worker.out.lasting
    if lasting is None or heard < 0:
        return None
    try:
        unheard = lasting.since(heard)
    except ValueError as error:
        raise Misuse(str(error)) from None
    if unheard is None:
        return None  # it was said again after a break, and is known to be old
    there = set(worker.window)
    for message in (*unheard, *worker.out.messages):
        if type(message) is words.Run:
            there.difference_update(message.attempts)
        elif type(message) in (Disown, Renew):
            return None  # it still has what is not in the window any more
    return there
