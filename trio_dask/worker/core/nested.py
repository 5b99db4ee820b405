"""Tasks that start tasks: what their clients say goes on to the scheduler, unread and not too fast.

A runner is users' code. So what it says for a task is taken only while the task is there,
waits in line with what other tasks say when there is much of it, and has a limit; the
worker's own messages never wait for it. Values its tasks ask for are got as inputs are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import nested as words, payload_bytes
from trio_dask.messages.values import ABSENT, FOUND, UNPICKLABLE
from trio_dask.worker.core import apart, inputs, room
from trio_dask.worker.core.nested_books import Asked, Line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.worker.core.state import Runner, WorkerState

#: So much may be under way to the scheduler; more waits until that has been written.
UNDERWAY_BYTES_MAX: Final = 8 << 20
#: So much may wait for it, of one task: more than a client says ahead of its answers.
LINE_BYTES_MAX: Final = 256 << 20
#: What is short counts as much as this.
_FRAME_BYTES_MIN: Final = 256
#: So many values may be on their way to the runner for its tasks' clients.
ASKED_MAX: Final = 1_000_000
#: The last numbers that a runner was given are known: those before these it has used.
NUMBERS_KEPT: Final = 1024
#: The session whose draining is that of the link to the scheduler.
SCHEDULER: Final = 0


# ---------------------------------------------------------------- words


def on_nested(state: WorkerState, runner: Runner, message: words.Nested) -> None:
    """A runner passes on what a task's client says.

    Raises:
        RemoteProtocolError: it is too much.
    """
    if message.attempt not in runner.given:
        return  # the task has ended
    books = state.nested
    books.known[message.attempt] = None
    line = books.lines.setdefault(message.attempt, Line())
    line.frames.append(message)
    line.nbytes += _size(message)
    if line.nbytes > LINE_BYTES_MAX:
        msg = f"a task's client says {line.nbytes} bytes ahead of the answers"
        raise RemoteProtocolError(msg)
    pump(state)


def _size(message: words.Nested) -> int:
    return max(_FRAME_BYTES_MIN, sum(map(payload_bytes, message.frame)))


def pump(state: WorkerState) -> None:
    """Tell the scheduler as much as may be under way, one frame of each task after the other."""
    books = state.nested
    while books.lines and books.under_way < UNDERWAY_BYTES_MAX:
        attempt, line = next(iter(books.lines.items()))
        del books.lines[attempt]
        message = line.frames.popleft()
        line.nbytes -= _size(message)
        books.under_way += _size(message)
        state.out.scheduler.append(message)
        if line.frames:
            books.lines[attempt] = line
    if books.under_way >= UNDERWAY_BYTES_MAX and not books.draining:
        books.draining = True
        state.out.drains[SCHEDULER] = None


def drained(state: WorkerState) -> None:
    """What was said to the scheduler has been written."""
    state.nested.under_way, state.nested.draining = 0, False
    pump(state)


def on_answer(state: WorkerState, message: words.Nested) -> None:
    """The scheduler says something to a task's client."""
    runner = state.given(message.attempt)
    if runner is not None:
        runner.out.append(message)


def on_numbers_wanted(state: WorkerState, runner: Runner, message: words.NumbersWanted) -> None:
    """A runner needs numbers for clients to come."""
    runner.numbers_wanted += message.count
    state.nested.numbers_for.append(runner.number)
    state.out.scheduler.append(message)


def on_numbers(state: WorkerState, message: words.Numbers) -> None:
    """There they are: for the runner that has asked first, if it is still there."""
    asked = state.nested.numbers_for
    runner = state.runners.get(asked.popleft()) if asked else None
    if runner is not None:
        runner.numbers_wanted = max(0, runner.numbers_wanted - len(message.numbers))
        runner.numbers.update(zip(message.numbers, message.firsts, strict=True))
        for number in list(runner.numbers)[:-NUMBERS_KEPT]:
            del runner.numbers[number]
        runner.out.append(message)


# ---------------------------------------------------------------- slots


def on_parked(state: WorkerState, runner: Runner, message: words.Parked) -> None:
    """Attempts in a runner wait without a slot, or go on.

    Raises:
        RemoteProtocolError: neither.
    """
    if not {0, 1}.issuperset(message.parked):
        msg = "Parked is 0 or 1"
        raise RemoteProtocolError(msg)
    books = state.nested
    rows = zip(message.attempts, message.parked, strict=True)
    there = [(attempt, parked) for attempt, parked in rows if attempt in runner.given]
    for attempt, parked in there:
        books.known[attempt] = None
        if parked:
            books.parked[attempt] = None
        else:
            books.parked.pop(attempt, None)
        if runner.alone:
            apart.on_parked(state, attempt, parked=parked)
    if there:
        state.out.scheduler.append(words.Parked(*map(list, zip(*there, strict=True))))


# ---------------------------------------------------------------- values


def on_fetch(state: WorkerState, runner: Runner, message: words.NestedFetch) -> None:
    """A task's client wants values.

    Raises:
        RemoteProtocolError: it wants too many, or of sizes that make no sense.
    """
    large = inputs.sizes(message.large)
    books, tids = state.nested, dict.fromkeys(message.tids)
    if message.attempt not in runner.given:
        return
    books.asked_values += len(tids)
    if books.asked_values > ASKED_MAX:
        msg = f"clients of tasks ask for {books.asked_values} values at a time"
        raise RemoteProtocolError(msg)
    books.known[message.attempt] = None
    asked = Asked(runner, message.attempt, message.serial, dict(tids))
    key = -state.next_serial()
    books.asked[key] = asked
    missing = [tid for tid in tids if not inputs.have(state, runner, tid)]
    asked.found.update((tid, FOUND) for tid in tids)
    asked.found.update((tid, None) for tid in missing)
    asked.missing = len(missing)
    for tid in missing:
        places = [message.address] if message.address else []
        inputs.want(state, key, tid, places, nbytes=large.get(tid, 0))
    if not missing:
        _answer(state, key)


def known(state: WorkerState, key: int, tid: int, found: tuple[int, bytes]) -> None:
    """It is known how a value is to be had that the question `key` is about, or why it is not."""
    asked = state.nested.asked.get(key)
    if asked is None or asked.found[tid] is not None:
        return
    asked.found[tid], failure = found
    if failure:
        asked.failures[tid] = failure
    asked.missing -= 1
    if not asked.missing:
        _answer(state, key)


def _answer(state: WorkerState, key: int) -> None:
    asked = _close(state, key)
    statuses = []
    for tid, status in asked.found.items():
        # What came first may have been let go of by now.
        here = status != FOUND or inputs.have(state, asked.runner, tid)
        statuses.append(ABSENT if status is None or not here else status)
    failures = [
        asked.failures.get(tid, b"") for tid in asked.found if asked.found[tid] == UNPICKLABLE
    ]
    got = words.NestedGot(asked.attempt, asked.serial, list(asked.found), statuses, failures)
    asked.runner.out.append(got)


def _close(state: WorkerState, key: int) -> Asked:
    asked = state.nested.asked.pop(key)
    state.nested.asked_values -= len(asked.found)
    return asked


def on_store(state: WorkerState, runner: Runner, message: words.NestedStore) -> None:
    """A task's client leaves values here. What is here already stays as it is."""
    if message.attempt not in runner.given:
        return
    stored = words.NestedStored(message.attempt, [], [])
    for tid, payload in zip(message.tids, message.payloads, strict=True):
        if state.holder(tid) is None and not state.store.holds(state.name, tid):
            stored.tids.append(tid)
            stored.nbytes.append(room.keep(state, tid, payload))
    runner.out.append(words.NestedGot(message.attempt, message.serial, [], [], []))
    if stored.tids:
        state.out.scheduler.append(stored)


# ---------------------------------------------------------------- the end


def ended(state: WorkerState, attempts: Iterable[int]) -> None:
    """These are over, and the scheduler is about to hear it: what they said before goes first."""
    books = state.nested
    for attempt in attempts:
        if attempt not in books.known:
            continue
        line = books.lines.pop(attempt, None)
        if line is not None:
            state.out.scheduler += line.frames
            books.under_way += line.nbytes
        forget(state, [attempt])


def forget(state: WorkerState, attempts: Iterable[int]) -> None:
    """These are gone with their runner, and so is what they have said and asked."""
    books = state.nested
    for attempt in attempts:
        if attempt not in books.known:
            continue
        del books.known[attempt]
        books.parked.pop(attempt, None)
        books.lines.pop(attempt, None)
        for key in [key for key, asked in books.asked.items() if asked.attempt == attempt]:
            for tid in _close(state, key).found:
                want = state.wants.get(tid)
                if want is not None:
                    want.waiting.pop(key, None)
