"""Where inputs come from: the runner, the store, a worker that has them, and then another.

A value that several attempts wait for is fetched once, also if a copy of it is to be kept. A
fetch that nobody waits for any more is not stopped, but its value is dropped on arrival.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import Handle, Payload, payload_bytes
from trio_dask.messages.tasks import Pinned, Unrunnable
from trio_dask.messages.values import ABSENT, FOUND, UNPICKLABLE, Values
from trio_dask.worker.core import apart, attempts, copying, nested, serving
from trio_dask.worker.core.state import Request, Row, Runner, Want, WorkerState

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOTHING: Final[Mapping[int, int]] = MappingProxyType({})


def resolve(
    state: WorkerState, row: Row, places: dict[int, str], large: Mapping[int, int] = _NOTHING
) -> bool:
    """Bring about that the row's inputs are in the runner; whether they are already.

    `places` has, for each input that does not come with the row, the addresses to ask, `large`
    the bytes of those that are large.
    """
    runner = apart.reader(state, row.attempt)
    missing = [tid for tid in places if not have(state, runner, tid)]
    if not missing:
        return True
    row.missing = dict.fromkeys(missing)
    state.waiting[row.attempt] = row
    for tid in missing:
        if row.attempt not in state.waiting:
            break  # an input that nobody has: the attempt is over
        want(state, row.attempt, tid, places[tid].split(), nbytes=large.get(tid, 0))
    return False


def sizes(large: list[int]) -> dict[int, int]:
    """How large values are, of ids and bytes in turn.

    Raises:
        RemoteProtocolError: that makes no sense.
    """
    if len(large) % 2 or min(large, default=0) < 0:
        msg = "sizes of values that make no sense"
        raise RemoteProtocolError(msg)
    return dict(zip(large[::2], large[1::2], strict=True))


def want(state: WorkerState, who: int, tid: int, addresses: list[str], *, nbytes: int = 0) -> None:
    """Get a value, from one of these addresses, for an attempt or a question of `nested`.

    `nbytes` is how large it is, if that is large and known.
    """
    found = state.wants.get(tid)
    if found is None:
        found = state.wants[tid] = Want(addresses, nbytes)
        found.waiting[who] = None
        _ask_next(state, tid, found)
    else:
        found.waiting[who] = None
        found.nbytes = found.nbytes or nbytes
        known = (*found.tried, *found.candidates)
        found.candidates += [each for each in addresses if each not in known]


def want_copy(state: WorkerState, tid: int, addresses: list[str], nbytes: int = 0) -> None:
    """Get a value into the store, whoever else waits for it."""
    found = state.wants.get(tid)
    if found is None:
        found = state.wants[tid] = Want(addresses, nbytes, copy=True)
        _ask_next(state, tid, found)
    else:
        found.copy = True
        found.nbytes = found.nbytes or nbytes
        known = (*found.tried, *found.candidates)
        found.candidates += [each for each in addresses if each not in known]


def have(state: WorkerState, runner: Runner, tid: int) -> bool:
    """Whether a runner holds the value, now at the latest."""
    if tid in runner.held:
        state.room.is_used(tid)
        return True
    payload = state.store.get(tid)
    if payload is None:
        return False
    state.room.is_used(tid)
    nbytes = state.store.size(tid)
    _give(state, runner, tid, payload, nbytes=nbytes)
    if state.room.filed:
        state.room.is_copied(tid, nbytes)
    return True


def _give(state: WorkerState, runner: Runner, tid: int, payload: Payload, *, nbytes: int) -> None:
    runner.give(tid, payload, nbytes)
    if not state.store.holds(state.name, tid):
        state.out.replica(tid)


def _readers(state: WorkerState, want: Want) -> list[Runner]:
    """The runners in which a value is waited for."""
    found: dict[Runner, None] = {}
    for who in want.waiting:
        reader = apart.reader(state, who) if who >= 0 else state.nested.asked[who].runner
        found[reader] = None
    return list(found)


def _ask_next(state: WorkerState, tid: int, want: Want) -> None:
    """Ask the next one that may have the value; if there is none, the attempts cannot run."""
    readers = _readers(state, want)
    if readers and all(have(state, each, tid) for each in readers):  # it has come by another way
        _over(state, tid)
        _arrived(state, tid, want)
        if want.copy:
            state.out.replica(tid)
        return
    if want.copy and copying.has(state, tid):
        _over(state, tid)
        state.out.replica(tid)
        return
    holder = None if want.moved or not want.waiting else state.holder(tid)
    if holder is not None:
        want.moving = True
        serving.ask(state, holder, tid)
        return
    if _is_asked_for(state, tid, want):
        return
    _over(state, tid)
    copying.failed(state, tid, want)
    if not want.waiting:
        return
    attempts = _attempts(state, tid, want.waiting, (ABSENT, b""))
    if not attempts:
        return
    places = " ".join(want.tried)
    over = Unrunnable(attempts, [tid] * len(attempts), [places] * len(attempts))
    for attempt in attempts:
        forget(state, state.waiting[attempt], known=tid)
    state.out.scheduler.append(over)


def _is_asked_for(state: WorkerState, tid: int, want: Want) -> bool:
    """Ask another worker now, or when there is room for the value; False: there is no other."""
    while want.candidates and (want.waiting or want.copy):
        if want.candidates[0] != state.address and not _enters(state, tid, want):
            return True
        address = want.candidates.pop(0)
        want.tried.append(address)
        if address != state.address:  # here it is not
            state.out.fetches.setdefault(address, []).append(tid)
            return True
    return False


def _enters(state: WorkerState, tid: int, want: Want) -> bool:
    """Whether the value may be on its way now; else it is asked for when there is room for it."""
    if want.nbytes and not want.entered:
        want.entered = True
        want.queued = not state.store.inwards.enters(state.address, tid, want.nbytes)
    return not want.queued


def go_on(state: WorkerState) -> None:
    """Ask for what there is room for by now."""
    while (tid := state.store.inwards.next_turn(state.address)) is not None:
        want = state.wants[tid]
        want.queued = False
        _ask_next(state, tid, want)


def _over(state: WorkerState, tid: int) -> None:
    """The value has come, or cannot be had."""
    if state.wants.pop(tid).entered:
        state.store.inwards.over(state.address, tid)


def moved(
    state: WorkerState, tid: int, payload: Payload | None, failure: bytes | None = None
) -> None:
    """A runner of ours has given a value out, or cannot; it may have been asked for another.

    `failure` says why it never will.
    """
    want = state.wants.get(tid)
    if want is None or not want.moving:
        return
    want.moving, want.moved = False, True
    if failure is not None:
        for who in [each for each in want.waiting if each < 0 or each in state.apart]:
            del want.waiting[who]
            if who < 0:
                nested.known(state, who, tid, (UNPICKLABLE, failure))
            else:
                apart.fail(state, who, failure)
    if payload is None:
        _ask_next(state, tid, want)
    else:
        _found(state, tid, want, payload)


def _attempts(
    state: WorkerState, tid: int, waiting: dict[int, None], found: tuple[int, bytes]
) -> list[int]:
    """Of those who wait for a value, the attempts. The questions are told what was found."""
    for who in waiting:
        if who < 0:
            nested.known(state, who, tid, found)
    return [who for who in waiting if who >= 0]


def forget(state: WorkerState, row: Row, known: int | None = None) -> None:
    """The attempt will not run: nothing is fetched for it any more, but for `known`'s want."""
    del state.waiting[row.attempt]
    for tid in row.missing:
        want = state.wants.get(tid)  # none yet where an earlier input could not be had
        if want is not None and tid != known:
            want.waiting.pop(row.attempt, None)
    if state.apart:
        apart.drop(state, row.attempt)


def forget_all(state: WorkerState) -> list[int]:
    """Those that wait for inputs of the runner that all share will not run; which they are."""
    rows = [row for row in state.waiting.values() if row.attempt not in state.apart]
    for row in rows:
        forget(state, row)
    return [row.attempt for row in rows]


def give_back(state: WorkerState) -> int:
    """Nothing that waits is to run here; how much that was."""
    rows = list(state.waiting.values())
    for row in rows:
        forget(state, row)
    back = [*(row.attempt for row in rows), *apart.take_back(state)]
    state.out.returned(back)
    return len(back)


def _arrived(state: WorkerState, tid: int, want: Want) -> None:
    ready: list[Row] = []
    for attempt in _attempts(state, tid, want.waiting, (FOUND, b"")):
        row = state.waiting[attempt]
        del row.missing[tid]
        if not row.missing:
            del state.waiting[attempt]
            # What came first may have been let go of by now, or be with another runner.
            inputs = zip(row.deps, row.inline, strict=True)
            if resolve(state, row, {tid: state.address for tid, value in inputs if value is None}):
                ready.append(row)
    attempts.start(state, ready)


def on_values(state: WorkerState, message: Values) -> None:
    """A part of the answer to a request."""
    request = state.requests.get(message.serial)
    if request is None:
        return  # its connection had been given up
    payloads, failures = iter(message.payloads), iter(message.failures)
    for tid, status in zip(message.tids, message.statuses, strict=True):
        payload = next(payloads, None) if status == FOUND else None
        failure = next(failures, b"") if status == UNPICKLABLE else b""
        if tid not in request.tids:
            continue  # told twice, or never asked for
        del request.tids[tid]
        want = state.wants[tid]
        if payload is not None:
            _found(state, tid, want, payload)
        elif status == UNPICKLABLE:
            _bound_elsewhere(state, tid, want, failure)
        else:
            _ask_next(state, tid, want)
    if message.last:
        _close(state, message.serial, request)


def _found(state: WorkerState, tid: int, want: Want, payload: Payload) -> None:
    _over(state, tid)
    copying.arrived(state, tid, want, payload)
    if not want.waiting:
        return
    readers = [each for each in _readers(state, want) if tid not in each.held]
    nbytes = payload_bytes(payload)
    for runner in readers:
        _give(state, runner, tid, payload, nbytes=nbytes)
    if readers and not isinstance(payload, Handle):  # what neighbours share is counted once
        state.room.comes(tid, nbytes)
    _arrived(state, tid, want)


def _bound_elsewhere(state: WorkerState, tid: int, want: Want, failure: bytes) -> None:
    """The value cannot leave the runner it is in: what needs it has to go there."""
    _over(state, tid)
    copying.failed(state, tid, want, failure)
    waiting = _attempts(state, tid, want.waiting, (UNPICKLABLE, failure))
    n = len(waiting)
    if n:
        for attempt in waiting:
            forget(state, state.waiting[attempt], known=tid)
        pinned = Pinned(waiting, [tid] * n, want.tried[-1:] * n, [failure] * n)
        state.out.scheduler.append(pinned)


def _close(state: WorkerState, serial: int, request: Request) -> None:
    del state.requests[serial]
    for tid in request.tids:
        _ask_next(state, tid, state.wants[tid])


def fetch_failed(state: WorkerState, address: str) -> None:
    """Nothing that was asked of `address` will be answered any more."""
    for serial, request in list(state.requests.items()):
        if request.address == address:
            _close(state, serial, request)
