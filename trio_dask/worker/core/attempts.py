"""Attempts on their way into the runner, and what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import tasks as words
from trio_dask.messages.tasks import HERE, INLINE, OK_HELD, Done, Free, Recall, Returned, Run
from trio_dask.worker.core import apart, condemning, inputs, limits, nested, room, sealing, stopping
from trio_dask.worker.core.state import Row, Runner, WorkerState

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
    if not message.dep_counts and not message.apart:
        runner = state.taking[0]
        _teach(state, runner, message.fids)
        runner.given.update(zip(message.attempts, message.tids, strict=True))
        runner.out.append(message)
        if message.ways:
            for attempt, each in zip(message.attempts, limits.rows(message), strict=True):
                limits.give(state, attempt, each)
        return
    large = inputs.sizes(message.large)
    own = set(message.apart) if state.processes else ()
    rows: list[Row] = []
    for row, places in _rows(message):
        if row.attempt in own:
            apart.begin(state, row, places, large)
        elif inputs.resolve(state, row, places, large):
            rows.append(row)
    start(state, rows)
    state.traced.clear()


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
        and len(message.large) % 2 == 0
        and min(message.large, default=0) >= 0
    )
    if not fits:
        msg = "Run with columns that do not fit together"
        raise RemoteProtocolError(msg)
    if not state.functions.keys() >= set(message.fids):
        msg = "Run of functions that were not sent"
        raise RemoteProtocolError(msg)
    new = set(attempts)
    if message.timeouts or message.deadlines or message.ways:
        limits.check(message)
    if len(new) < len(attempts) or not (
        new.isdisjoint(state.waiting)
        and new.isdisjoint(state.apart)
        and new.issuperset(message.apart)
        and all(new.isdisjoint(each.given) for each in state.runners.values())
    ):
        msg = "Run of attempts that were given before, or are not there"
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
    """Give a runner attempts all of whose inputs are with it."""
    for row in [row for row in rows if row.attempt in state.apart] if state.apart else ():
        own = apart.reader(state, row.attempt)
        own.out += apart.traces(state, row.attempt)
        _start(state, own, [row])
        rows.remove(row)
    if rows:
        _start(state, state.taking[0], rows)


def _start(state: WorkerState, runner: Runner, rows: list[Row]) -> None:
    _teach(state, runner, [row.fid for row in rows])
    run = Run([], [], [], [], [], [], [], [], [], [], [])
    keys = any(row.key for row in rows)
    refs = any(row.refs for row in rows)
    limited = any(row.limits is not limits.NONE for row in rows)
    for row in rows:
        runner.given[row.attempt] = row.tid
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
    runner.out.append(run)


def _teach(state: WorkerState, runner: Runner, fids: list[int]) -> None:
    """See to it that a runner has these functions."""
    if runner.functions.issuperset(fids):
        return
    new = [fid for fid in dict.fromkeys(fids) if fid not in runner.functions]
    runner.functions.update(new)
    names = [state.functions[fid][0] for fid in new]
    runner.out.append(words.Functions(new, names, [state.functions[fid][1] for fid in new]))


def on_recall(state: WorkerState, message: Recall) -> None:
    """Give back what waits here; ask runners about what is there."""
    for runner, there in _there(state, message.attempts):
        runner.out.append(Recall(there))


def _there(state: WorkerState, attempts: list[int]) -> list[tuple[Runner, list[int]]]:
    """Which of the attempts are in which runner; those that wait here are given back."""
    state.out.returned(apart.take_back(state, attempts))
    for attempt in attempts:
        row = state.waiting.get(attempt)
        if row is not None:
            inputs.forget(state, row)
            state.out.returned([attempt])
    rows = [
        (runner, [attempt for attempt in attempts if attempt in runner.given])
        for runner in state.runners.values()
    ]
    return [(runner, there) for runner, there in rows if there]


def on_interrupt(state: WorkerState, message: words.Interrupt) -> None:
    """Stop these: what waits here is given back, runners are asked about the rest.

    Raises:
        RemoteProtocolError: there is no such way of stopping; nothing has changed.
    """
    stopping.check(message)
    ways = dict(zip(message.attempts, message.ways, strict=True))
    for runner, there in _there(state, message.attempts):
        stopping.begin(runner, {each: stopping.Stopping(ways[each]) for each in there})


def on_free(state: WorkerState, message: Free) -> None:
    """Drop values, wherever they are."""
    remembers = state.room.remembers
    for tid in message.tids:
        state.store.release(state.name, tid)
        if remembers:
            state.room.forget(tid)
    for runner in state.runners.values():
        held = runner.held
        live = [tid for tid in message.tids if held.pop(tid, None) is not None]
        if live:
            runner.out.append(Free(live))


def on_traced(state: WorkerState, message: words.Traced) -> None:
    """Which of the attempts that follow are traced is the concern of whichever runner gets them."""
    for runner in state.taking:
        runner.out.append(message)
    state.traced.append(message)  # and of those that will have their own


def on_done(state: WorkerState, runner: Runner, message: Done) -> None:
    """A runner ended attempts: on to the scheduler, as they came.

    Raises:
        RemoteProtocolError: it had not been given them; nothing has changed.
    """
    given = runner.given
    ended = set(message.attempts)
    if len(ended) != len(message.attempts) or not given.keys() >= ended:
        msg = "the runner ended attempts that it was not given"
        raise RemoteProtocolError(msg)
    if state.nested.known:
        nested.ended(state, message.attempts)
    if state.limits:
        limits.forget(state, message.attempts)
    if runner.stopping:
        message = stopping.settled(runner, message)
        stopping.forget(runner, message.attempts)
    tids = list(map(given.pop, message.attempts))
    runner.answered += len(tids)
    if any(message.statuses):
        _hold(state, runner, message, tids)
    if runner.twice:
        stopping.let_go(runner)
    if runner.sealed:
        sealing.settle(state, runner, message, tids)
    if state.bond is not None and tids:
        state.bond.ended[message.attempts[0]] = message, tids
    state.out.scheduler.append(message)
    if runner.condemned:
        condemning.has_ended(state, runner)


def _hold(state: WorkerState, runner: Runner, message: Done, tids: list[int]) -> None:
    """What has stayed in the runner."""
    room = state.room
    counts = bool(room.rules.limit)
    leaves = runner.condemned and runner.replaced
    for tid, status, nbytes in zip(tids, message.statuses, message.nbytes, strict=True):
        if status == OK_HELD:
            runner.held[tid] = nbytes
            if counts:
                room.comes(tid, nbytes)
            if leaves:
                runner.unsealed.append(tid)


def on_returned(state: WorkerState, runner: Runner, message: Returned) -> None:
    """A runner gave attempts back."""
    given = runner.given
    attempts = [each for each in message.attempts if given.pop(each, None) is not None]
    if state.nested.known:
        nested.ended(state, attempts)
    said = [each for each in attempts if each not in runner.abandoned]  # reported before
    stopping.forget(runner, attempts)
    if state.draining is not None:
        state.draining.given_back += len(attempts)
    limits.forget(state, attempts)
    if runner.twice:
        stopping.let_go(runner)
    state.out.returned(said)
    if runner.condemned:
        condemning.has_ended(state, runner)


def on_functions(state: WorkerState, message: words.Functions) -> None:
    """Functions are kept here: each runner is taught those it needs, when it needs them."""
    names = zip(message.names, message.blobs, strict=True)
    state.functions.update(zip(message.fids, names, strict=True))
    for runner in state.runners.values():
        runner.functions.difference_update(message.fids)


def on_forget_functions(state: WorkerState, message: words.ForgetFunctions) -> None:
    """Functions that are of no more use."""
    for fid in message.fids:
        state.functions.pop(fid, None)
    for runner in state.runners.values():
        known = [fid for fid in dict.fromkeys(message.fids) if fid in runner.functions]
        runner.functions.difference_update(known)
        if known:
            runner.out.append(words.ForgetFunctions(known))
