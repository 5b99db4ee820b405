"""Attempts on their way into the runner, and what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import tasks as words
from trio_dask.messages.tasks import HERE, INLINE, OK_HELD, Done, Free, Recall, Returned, Run
from trio_dask.worker.core import inputs, limits, nested, room, sealing, stopping
from trio_dask.worker.core.state import Row, WorkerState

if TYPE_CHECKING:
    from collections.abc import Iterator


def on_run(state: WorkerState, message: Run) -> None:
    """Tasks to run. Those without inputs go on to the runner as they came.

    Raises:
        RemoteProtocolError: it makes no sense; nothing has changed.
    """
    _check(state, message)
    if not room.takes_work(state) or state.draining is not None:
        state.out.returned(message.attempts)
        return
    if message.ways:
        limits.anchor(message, state.now)
    if not message.dep_counts and state.functions.issuperset(message.fids):
        state.given.update(zip(message.attempts, message.tids, strict=True))
        state.out.runner.append(message)
        if message.ways:
            for attempt, each in zip(message.attempts, limits.rows(message), strict=True):
                limits.give(state, attempt, each)
        return
    ready: list[Row] = []
    for row, places in _rows(message):
        if row.fid not in state.functions:
            # Sent to the runner before this one, which took its functions with it.
            state.out.returned([row.attempt])
        elif inputs.resolve(state, row, places):
            ready.append(row)
    start(state, ready)


def _check(state: WorkerState, message: Run) -> None:
    attempts, deps = message.attempts, message.dep_tids
    fits = (
        len(message.keys) in (0, len(attempts))
        and len(message.dep_counts) in (0, len(attempts))
        and min(message.dep_counts, default=0) >= 0
        and sum(message.dep_counts) == len(deps) == len(message.dep_at)
        and len(message.dep_refs) in (0, len(deps))
        and message.dep_at.count(INLINE) == len(message.dep_values)
        and min(message.dep_at, default=INLINE) >= INLINE
        and max(message.dep_at, default=INLINE) < len(message.places)
    )
    if not fits:
        msg = "Run with columns that do not fit together"
        raise RemoteProtocolError(msg)
    new = set(attempts)
    if message.timeouts or message.deadlines or message.ways:
        limits.check(message)
    if len(new) < len(attempts) or not (
        new.isdisjoint(state.given) and new.isdisjoint(state.waiting)
    ):
        msg = "Run of attempts that were given before"
        raise RemoteProtocolError(msg)


def _rows(message: Run) -> Iterator[tuple[Row, dict[int, str]]]:
    """Each row, and where its inputs are that do not come with it."""
    counts = message.dep_counts or [0] * len(message.attempts)
    keys = message.keys or [""] * len(message.attempts)
    columns = (message.attempts, message.tids, message.fids, message.ranks, message.args)
    values = iter(message.dep_values)
    limited = limits.rows(message) if message.ways else [limits.NONE] * len(message.attempts)
    at = 0
    for attempt, tid, fid, rank, args, key, count, limit in zip(
        *columns, keys, counts, limited, strict=True
    ):
        deps = message.dep_tids[at : at + count]
        inline: list[bytes | None] = []
        places: dict[int, str] = {}
        for dep, where in zip(deps, message.dep_at[at : at + count], strict=True):
            inline.append(next(values) if where == INLINE else None)
            if where != INLINE:
                places[dep] = message.places[where] if where >= 0 else ""
        refs = message.dep_refs[at : at + count] if message.dep_refs else []
        at += count
        yield Row(attempt, tid, fid, rank, args, key, deps, inline, refs, {}, limit), places


def start(state: WorkerState, rows: list[Row]) -> None:
    """Give the runner attempts all of whose inputs are here."""
    if not rows:
        return
    run = Run([], [], [], [], [], [], [], [], [], [], [])
    keys = any(row.key for row in rows)
    refs = any(row.refs for row in rows)
    limited = any(row.limits is not limits.NONE for row in rows)
    for row in rows:
        state.given[row.attempt] = row.tid
        run.attempts.append(row.attempt)
        run.tids.append(row.tid)
        run.fids.append(row.fid)
        run.ranks.append(row.rank)
        run.args.append(row.args)
        run.dep_counts.append(len(row.deps))
        run.dep_tids += row.deps
        for value in row.inline:
            if value is None:
                run.dep_at.append(HERE)
            else:
                run.dep_at.append(INLINE)
                run.dep_values.append(value)
        if keys:
            run.keys.append(row.key)
        if refs:
            run.dep_refs += row.refs or row.deps
        if limited:
            limits.add(run, row.limits)
            limits.give(state, row.attempt, row.limits)
    if not run.dep_tids:
        run.dep_counts = []
    state.out.runner.append(run)


def on_recall(state: WorkerState, message: Recall) -> None:
    """Give back what waits here; ask the runner about what is there."""
    there = []
    for attempt in message.attempts:
        row = state.waiting.get(attempt)
        if row is not None:
            inputs.forget(state, row)
            state.out.returned([attempt])
        elif attempt in state.given:
            there.append(attempt)
    if there:
        state.out.runner.append(Recall(there))


def on_free(state: WorkerState, message: Free) -> None:
    """Drop values, wherever they are."""
    live = []
    remembers = state.room.remembers
    for tid in message.tids:
        state.store.release(state.name, tid)
        if remembers:
            state.room.forget(tid)
        if state.held.pop(tid, None) is not None:
            live.append(tid)
    if live:
        state.out.runner.append(Free(live))


def on_done(state: WorkerState, message: Done) -> None:
    """The runner ended attempts: on to the scheduler, as they came.

    Raises:
        RemoteProtocolError: it had not been given them; nothing has changed.
    """
    given = state.given
    ended = set(message.attempts)
    if len(ended) != len(message.attempts) or not given.keys() >= ended:
        msg = "the runner ended attempts that it was not given"
        raise RemoteProtocolError(msg)
    if state.nested.known:
        nested.ended(state, message.attempts)
    if state.limits:
        limits.forget(state, message.attempts)
    if state.stopping:
        message = stopping.settled(state, message)
        stopping.forget(state, message.attempts)
    tids = list(map(given.pop, message.attempts))
    state.answered += len(tids)
    if any(message.statuses):
        _hold(state, message, tids)
    if state.twice:
        stopping.let_go(state)
    if state.sealed:
        sealing.settle(state, message, tids)
    if state.bond is not None and tids:
        state.bond.ended[message.attempts[0]] = message, tids
    state.out.scheduler.append(message)


def _hold(state: WorkerState, message: Done, tids: list[int]) -> None:
    """What has stayed in the runner."""
    large = state.room.rules.file_bytes_min
    for tid, status, nbytes in zip(tids, message.statuses, message.nbytes, strict=True):
        if status == OK_HELD:
            state.held[tid] = nbytes
            if nbytes >= large:
                state.room.comes(tid, nbytes)


def on_returned(state: WorkerState, message: Returned) -> None:
    """The runner gave attempts back."""
    given = state.given
    if state.nested.known:
        nested.ended(state, message.attempts)
    attempts = [each for each in message.attempts if given.pop(each, None) is not None]
    stopping.forget(state, attempts)
    if state.draining is not None:
        state.draining.given_back += len(attempts)
    limits.forget(state, attempts)
    if state.twice:
        stopping.let_go(state)
    state.out.returned(attempts)


def on_functions(state: WorkerState, message: words.Functions) -> None:
    """Functions go to the runner that is there; the next one is sent them again."""
    if state.up:
        state.functions.update(message.fids)
        state.out.runner.append(message)


def on_forget_functions(state: WorkerState, message: words.ForgetFunctions) -> None:
    """Functions that are of no more use."""
    known = [fid for fid in message.fids if fid in state.functions]
    state.functions.difference_update(known)
    if known:
        state.out.runner.append(words.ForgetFunctions(known))
