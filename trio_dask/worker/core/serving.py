"""Values for others: what they ask for, from the store or the runner, no faster than they read."""

from __future__ import annotations

from itertools import chain
from typing import Final

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import Payload, payload_bytes
from trio_dask.messages.session import RegisterPeer, Welcome
from trio_dask.messages.tasks import Stored
from trio_dask.messages.values import (
    ABSENT,
    FOUND,
    UNPICKLABLE,
    Fetch,
    Store as StoreValues,
    StoreDone,
    Values,
)
from trio_dask.worker.core import condemning, inputs, room
from trio_dask.worker.core.state import VALUES_MAX, Answering, Runner, Session, WorkerState

#: So much is under way to one peer; more waits until that has been written.
UNDERWAY_BYTES_MAX: Final = 64 << 20
#: So much of what runners have to pack for that is under way to all peers together. What is in the
#: store is sent from there, and costs no memory, however many read it.
COPIES_BYTES_MAX: Final = 256 << 20
#: So many questions are looked at whether their next value is one that need not be packed.
_STUCK_MAX: Final = 16
#: Of several questions each is answered so much at a time: small ones do not wait for large ones.
TURN_BYTES: Final = 4 << 20
#: A peer that has asked so many questions without reading the answers is let go.
QUESTIONS_MAX: Final = 10_000
#: The same for the values in them: who fetches more asks again when it has these.
ASKED_MAX: Final = 4_000_000


def on_register(state: WorkerState, session: Session, _: RegisterPeer) -> None:
    """The peer says who it is, which is of no consequence."""
    state.out.peer(session.number, Welcome(session.number, "", 0))


def on_fetch(state: WorkerState, session: Session, message: Fetch) -> None:
    """The peer wants values."""
    asked = len(message.tids) + sum(len(each.tids) for each in session.queue)
    if len(session.queue) >= QUESTIONS_MAX or asked > ASKED_MAX:
        msg = f"{len(session.queue) + 1} questions for {asked} values without reading the answers"
        raise RemoteProtocolError(msg)
    session.queue.append(Answering(session, message.serial, message.tids))
    pump(state, session)


def on_store(state: WorkerState, session: Session, message: StoreValues) -> None:
    """A client leaves values here."""
    if not session.may_store:
        msg = "only clients store values"
        raise RemoteProtocolError(msg)
    rows = zip(message.tids, message.payloads, strict=True)
    nbytes = [room.keep(state, tid, payload) for tid, payload in rows]
    state.out.peer(session.number, StoreDone(message.serial, ""))
    if nbytes:
        state.out.scheduler.append(Stored(message.tids, nbytes))


class _Part:
    """A part of an answer in the making."""

    __slots__ = ("failures", "payloads", "statuses", "tids")

    def __init__(self) -> None:
        self.tids: list[int] = []
        self.statuses: list[int] = []
        self.failures: list[bytes] = []
        self.payloads: list[Payload] = []

    def say(self, state: WorkerState, answering: Answering, *, last: bool) -> None:
        columns = (self.tids, self.statuses, self.failures, self.payloads)
        session = answering.session
        state.out.peer(session.number, Values(answering.serial, *columns, last))
        session.unsent += sum(map(payload_bytes, self.payloads))


def pump(state: WorkerState, session: Session) -> None:
    """Answer as much as may be under way, all questions in turn."""
    queue, stuck = session.queue, 0
    while queue and not session.draining and stuck < min(len(queue), _STUCK_MAX):
        turn = TURN_BYTES if len(queue) > 1 else UNDERWAY_BYTES_MAX
        before = queue[0].at
        if _answer(state, queue[0], turn):
            queue.popleft()
            stuck = 0
        elif session.unsent + session.expected < UNDERWAY_BYTES_MAX:
            stuck = 0 if queue[0].at > before else stuck + 1
            queue.rotate(-1)
        else:
            break
    if session.queue and session.unsent and not session.draining:
        session.draining = True
        state.out.drains[session.number] = None


def _answer(state: WorkerState, answering: Answering, turn: int) -> bool:
    """Say or request what there is room for, in one turn; whether that was all."""
    session, tids = answering.session, answering.tids
    part = _Part()
    size = 0
    before = session.unsent + session.expected
    while answering.at < len(tids):
        under_way = session.unsent + session.expected + size
        if under_way >= UNDERWAY_BYTES_MAX or under_way - before >= turn:
            break
        if len(part.tids) >= VALUES_MAX:
            part.say(state, answering, last=False)
            part, size = _Part(), 0
        tid = tids[answering.at]
        answering.at += 1
        payload = state.store.get(tid)
        holder = state.holder(tid) if payload is None else None
        if holder is not None:
            # One may always be under way: so nobody has to be woken when others have read theirs.
            if state.copies >= COPIES_BYTES_MAX and session.copies:
                answering.at -= 1
                _look_who_has_read(state)
                break
            _export(state, holder, tid, answering)
            continue
        part.tids.append(tid)
        if payload is None:
            part.statuses.append(ABSENT)
        else:
            part.statuses.append(FOUND)
            part.payloads.append(payload)
            size += payload_bytes(payload)
    whole = answering.at == len(tids)
    last = whole and not answering.exporting
    if part.tids or last:
        part.say(state, answering, last=last)
    return whole


def _look_who_has_read(state: WorkerState) -> None:
    """Some of what is believed to be under way may have been read since somebody looked."""
    for session in state.sessions.values():
        if session.copies and session.unsent and not session.draining:
            session.draining = True
            state.out.drains[session.number] = None


def _export(state: WorkerState, runner: Runner, tid: int, answering: Answering) -> None:
    nbytes = runner.held[tid]
    answering.exporting += 1
    answering.session.expected += nbytes
    answering.session.copies += nbytes
    state.copies += nbytes
    ask(state, runner, tid)
    state.exports[tid].append((answering, nbytes))


def over(state: WorkerState, session: Session, nbytes: int) -> None:
    """So much that was packed for a peer is with it, or was not to be had."""
    if not session.gone:
        session.copies -= nbytes
        state.copies -= nbytes


def ask(state: WorkerState, runner: Runner, tid: int) -> None:
    """Have the runner give a value out, whoever waits for it."""
    if tid not in state.exports:
        state.exports[tid] = []
        runner.to_export.append(tid)


def on_values(state: WorkerState, runner: Runner, message: Values) -> None:
    """A runner gave values out."""
    asked = runner.exporting.get(message.serial)
    if asked is None:
        room.on_values(state, runner, message)
        return
    parts: dict[Answering, _Part] = {}
    payloads, failures = iter(message.payloads), iter(message.failures)
    for tid, status in zip(message.tids, message.statuses, strict=True):
        payload = next(payloads, None) if status == FOUND else None
        failure = next(failures, b"") if status == UNPICKLABLE else None
        if tid in asked:
            del asked[tid]
            leaves = runner.recycled or runner.replaced
            if failure is not None and tid in runner.held:
                runner.bound.add(tid)
            elif payload is not None and leaves and tid in runner.held:
                room.keep(state, tid, payload)
            _exported(state, tid, parts, payload, failure=failure)
    if message.last:
        del runner.exporting[message.serial]
        for tid in asked:
            _exported(state, tid, parts)
    _say_parts(state, parts)
    if runner.condemned or runner.recycled:
        condemning.go_on(state, runner)


def runner_died(state: WorkerState, runner: Runner) -> None:
    """A runner gives nothing out any more."""
    parts: dict[Answering, _Part] = {}
    for tid in chain(runner.to_export, *runner.exporting.values()):
        _exported(state, tid, parts)
    _say_parts(state, parts)


def _exported(
    state: WorkerState,
    tid: int,
    parts: dict[Answering, _Part],
    payload: Payload | None = None,
    *,
    failure: bytes | None = None,
) -> None:
    if payload is None and failure is None:
        payload = state.store.get(tid)
    inputs.moved(state, tid, payload, failure)
    for answering, nbytes in state.exports.pop(tid):
        answering.exporting -= 1
        answering.session.expected -= nbytes
        if payload is None:
            over(state, answering.session, nbytes)
        part = parts.setdefault(answering, _Part())
        part.tids.append(tid)
        if payload is not None:
            part.statuses.append(FOUND)
            part.payloads.append(payload)
        elif failure is not None:
            part.statuses.append(UNPICKLABLE)
            part.failures.append(failure)
        else:
            part.statuses.append(ABSENT)


def _say_parts(state: WorkerState, parts: dict[Answering, _Part]) -> None:
    sessions: dict[Session, None] = {}
    for answering, part in parts.items():
        session = answering.session
        if session.gone:
            continue
        whole = answering.at == len(answering.tids) and not answering.exporting
        part.say(state, answering, last=whole)
        sessions[session] = None
    for session in sessions:
        pump(state, session)
