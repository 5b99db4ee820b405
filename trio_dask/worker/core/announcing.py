"""What a worker tells a scheduler that does not know it: all that it holds and runs."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages import Lasting, reunion, session as hello, tasks as words
from trio_dask.messages.fleet import Leave
from trio_dask.messages.nested import Numbers, NumbersWanted
from trio_dask.worker.core import apart, lingering, mirroring, plugins
from trio_dask.worker.core.resuming import Bond, back
from trio_dask.worker.core.stopping import disown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trio_dask.messages import Message
    from trio_dask.worker.core.state import WorkerState

#: So many rows are told in one message.
_ROWS_MAX: Final = 100_000


def welcomed(state: WorkerState, message: hello.Welcome) -> None:
    """A scheduler takes us in. One that does not know us is told what is here.

    Raises:
        RemoteProtocolError: it is that of another cluster, or one of an earlier epoch.
    """
    bond = state.bond
    if bond is None:
        return
    bond.memory.welcomed(message)
    if bond.anew:
        said = announcement(state, bond)
        bond.anew, bond.before, bond.lasting = False, [], Lasting()
        bond.lasting.says(said)
    bond.lasting.hears(message)
    back(bond, 0)


def announcement(state: WorkerState, bond: Bond) -> list[Message]:
    """All that is here, and then what has ended and may not have been heard of.

    It stands for everything that was to be said before.
    """
    last = _ended(state, bond)
    state.out.scheduler = []
    bond.ended.clear()
    bond.heard.clear()
    bond.heard_rows = 0
    state.inquired.clear()  # whoever has asked is gone
    out: list[Message] = [bond.memory.said(), *plugins.had(state), *mirroring.had(state)]
    runners = list(state.runners.values())
    held = {tid: nbytes for runner in runners for tid, nbytes in runner.held.items()}
    held.update((tid, state.store.size(tid)) for tid in sorted(state.store.held_by(state.name)))
    out += [
        reunion.Holdings([tid for tid, _ in part], [nbytes for _, nbytes in part])
        for part in _parts(list(held.items()))
    ]
    strangers = [each for each in state.nested.known if state.given(each)]
    disown(state, strangers)  # a task's client is lost with the scheduler: the task runs again
    out += lingering.begin(state, strangers)
    attempts = [
        (attempt, tid, 1)
        for runner in runners
        for attempt, tid in runner.given.items()
        if attempt not in runner.abandoned
    ]
    attempts += [(row.attempt, row.tid, 0) for row in state.waiting.values()]
    attempts += [(each, state.apart[each].row.tid, 0) for each in apart.unbegun(state)]
    over = held.keys() | {row[1] for row in attempts}
    rows = [row for tid, row in last.items() if tid not in over]
    attempts += [(row[0], row[-1], 1) for row in rows]
    out += [reunion.Attempts(*map(list, zip(*part, strict=True))) for part in _parts(attempts)]
    numbers = {number: first for runner in runners for number, first in runner.numbers.items()}
    if numbers:
        out.append(Numbers(list(numbers), list(numbers.values())))
    draining = state.draining
    if draining is not None:  # else it would be given work that comes back at once, for ever
        out.append(Leave(draining.reason, at_once=draining.urged_at is not None))
    out.append(reunion.Announced(state.slots, sorted(state.functions)))
    wanting = [runner for runner in runners if runner.numbers_wanted]
    state.nested.numbers_for = deque(runner.number for runner in wanting)
    out += [NumbersWanted(runner.numbers_wanted) for runner in wanting]
    if rows:
        *columns, tids = map(list, zip(*rows, strict=True))
        done = words.Done(*columns)
        bond.ended[done.attempts[0]] = done, tids
        out.append(done)
    return out


def _ended(state: WorkerState, bond: Bond) -> dict[int, tuple[Any, ...]]:
    """What each task came to here in the end that may not have been heard of.

    Attempts before that count for nothing: the scheduler would take the first for the task's own.
    """
    unheard = {
        id(each)
        for each in (*bond.before, *bond.lasting.unheard(), *state.out.scheduler)
        if type(each) is words.Done
    }
    # Small values also if they were heard: it may not have told those who wait for them, and what
    # they were made of may be gone. Errors only if not: the task may have been retried since.
    last = {row[-1]: row for row in _rows(bond.heard) if row[1] == words.OK_INLINE}
    ended = [each for each in bond.ended.values() if id(each[0]) in unheard]
    last.update((row[-1], row) for row in _rows(ended))
    told = (words.OK_INLINE, words.ERROR)
    return {tid: row for tid, row in last.items() if row[1] in told}


def _rows(ended: Iterable[tuple[words.Done, list[int]]]) -> Iterator[tuple[Any, ...]]:
    for done, tids in ended:
        yield from zip(*_columns(done), tids, strict=True)


def _parts(rows: list[Any]) -> list[list[Any]]:
    return [rows[at : at + _ROWS_MAX] for at in range(0, len(rows), _ROWS_MAX)]


def _columns(done: words.Done) -> tuple[list[Any], ...]:
    return (done.attempts, done.statuses, done.seconds, done.nbytes, done.values)
