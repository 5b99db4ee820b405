"""The tables made anew from what those who are back have told.

First what clients want is described again, then what is known of how that ended; then
workers' values and running attempts find their tasks, and only then clients let go of what
they do not hold any more. So nothing is taken for needless or missing that is not. Clients
hear of all this only in the end, and only what they do not know.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages import reunion as words, tasks
from trio_dask.messages.ids import client_of
from trio_dask.scheduler.core import (
    functions,
    intake,
    lingering,
    plugins,
    putting,
    recollecting,
    state as st,
)
from trio_dask.scheduler.core.lifecycle import end, finish, tell, wants
from trio_dask.scheduler.core.misuse import Misuse
from trio_dask.scheduler.core.returning import give_up, take_attempts, take_leave, take_values
from trio_dask.scheduler.core.state import Client, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_dask.messages import Message
    from trio_dask.scheduler.core.books import Report
    from trio_dask.scheduler.core.state import ClusterState, Task

_VALUES: Final = (words.INLINE, words.HELD, words.SOUGHT)
#: What clients know, and what that is here.
_BAD_ENDS: Final = {
    words.FAILED: st.FAILED, words.CANCELLED: st.CANCELLED, words.LOST: st.LOST,
}  # fmt: skip
_ENDS: Final = (st.DONE, *_BAD_ENDS.values())
Knowledge = dict[int, tuple[int, bytes, int]]  # of a task: status, value or reason, source


def restore(
    state: ClusterState, reports: dict[int, Report], *, anew: bool = False
) -> list[tuple[int, Misuse]]:
    """Take in all that these peers have told; those that told what cannot be are returned.

    With `anew` nothing was known before, of what the cluster keeps neither.
    """
    pace = state.pace.left
    state.pace.left = sys.maxsize  # nothing is put off: each step counts on the one before
    clients = _Clients(state, [])
    workers: list[tuple[Worker, list[Message]]] = []
    for peer, report in sorted(reports.items()):
        if isinstance(report.who, Client):
            clients.told.append(_Told(peer, report.who, report.messages, report.came))
        else:
            workers.append((report.who, report.messages))
    clients.mute()
    clients.each(_expect)
    now = state.now
    clients.each(_describe)
    state.now = now
    _name(state, workers, [told.known for told in clients.told])
    recollecting.adopt(state, workers, anew=anew)
    clients.each(_want)
    clients.each(_take_tickets)
    clients.each(_learn_values)
    recollecting.learn_values(state)
    for worker, messages in workers:
        take_values(state, worker, messages)
    clients.each(_learn_ends)
    recollecting.learn_ends(state)
    for worker, messages in workers:
        take_attempts(state, worker, messages)
    clients.each(_miss)
    recollecting.miss(state)
    clients.unmute()
    for step in (_let_go, _tell, _cancel, _bring):
        clients.each(step)
    for worker, messages in workers:
        take_leave(state, worker, messages)
        plugins.level(state, worker, messages)
        if anew:
            lingering.begin(state, worker, messages)
    state.pace.left = pace
    return [(told.peer, told.misuse) for told in clients.told if told.misuse is not None]


@dataclass(slots=True, eq=False)
class _Told:
    """What a client has told, and what it knows of the ends of its tasks."""

    peer: int
    client: Client
    messages: list[Message]
    came: dict[int, float]
    known: Knowledge = field(default_factory=dict)
    misuse: Misuse | None = None


@dataclass(slots=True, eq=False)
class _Clients:
    """Those who are back."""

    state: ClusterState
    told: list[_Told]

    def mute(self) -> None:
        """Say nothing to them for now."""
        for each in self.told:
            self.state.clients.pop(each.client.number, None)

    def unmute(self) -> None:
        """They may hear something."""
        for each in self.told:
            self.state.clients[each.client.number] = each.client

    def each(self, step: Callable[[ClusterState, _Told], None]) -> None:
        """Go on with those who have not told what cannot be."""
        for told in self.told:
            if told.misuse is None:
                try:
                    step(self.state, told)
                except Misuse as error:
                    told.misuse = error


# ---------------------------------------------------------------- what clients want


def _expect(state: ClusterState, told: _Told) -> None:
    """Values that it is about to bring; a worker may have got one meanwhile."""
    for message in told.messages:
        if isinstance(message, tasks.Put):
            putting.expect_values(state, told.client, message.tids)


def _describe(state: ClusterState, told: _Told) -> None:
    """Its functions and tasks, and what it knows of the ends of these.

    The time is when it told: what is left until a deadline was true then.
    """
    client, messages, known = told.client, told.messages, told.known
    for message in messages:
        if isinstance(message, words.Known):
            rows = zip(message.statuses, message.values, message.sources, strict=True)
            known.update(zip(message.tids, rows, strict=True))
    described = [
        range(each.first, each.first + len(each.args))
        for each in messages
        if isinstance(each, tasks.Submit)
    ]
    others = {tid for each in messages if isinstance(each, tasks.Want) for tid in each.tids}
    for tid in known:
        if client_of(tid) != client.number:
            raise Misuse(f"task id {tid:x} is not of client {client.number}")
        if (
            tid not in state.tasks
            and tid not in others
            and not any(tid in each for each in described)
        ):
            _add_brought(state, tid)
    for message in messages:
        if isinstance(message, tasks.Functions):
            functions.on_functions(state, client, message)
        elif isinstance(message, tasks.Submit):
            state.now = told.came.get(message.first, state.now)
            for _ in intake.on_submit(state, client, message, again=True):
                pass


def _add_brought(state: ClusterState, tid: int) -> None:
    """A value that its client brought: it is with a worker, or it is lost."""
    task = st.Task(tid, st.Spec(None, state.anywhere, 0), None, 0)
    task.wanted = True
    task.state = st.WAITING
    task.missing = 1  # the value itself
    state.tasks[tid] = task


# ---------------------------------------------------------------- by which ids workers know them


def _name(
    state: ClusterState,
    workers: list[tuple[Worker, list[Message]]],
    known: list[Knowledge],
) -> None:
    """Tasks of several clients get the id by which workers know them."""
    if not state.keys:
        return
    for knowledge in known:
        for tid, (_, _, source) in knowledge.items():
            task = state.tasks.get(tid)
            if task is not None and source not in state.tasks and _is_unmade(task):
                task.also = (task.also or {}) | {source: None}
                state.tasks[source] = task
                _rename(state, task, source)
                task.wanted = False  # whoever made it does not want it any more
    for _, messages in workers:
        for message in messages:
            if isinstance(message, words.Holdings | words.Attempts):
                for tid in message.tids:
                    task = state.tasks.get(tid)
                    if task is not None and task.tid != tid and _is_unmade(task):
                        _rename(state, task, tid)


def _is_unmade(task: Task) -> bool:
    """Whether no worker knows it by its present id."""
    return task.state in (st.WAITING, st.READY)


def _rename(state: ClusterState, task: Task, tid: int) -> None:
    """`tid`, under which it is wanted, becomes its own id."""
    before = task.tid
    also = dict(task.also or {})
    del also[tid]
    if task.wanted:
        also[before] = None
    else:
        del state.tasks[before]
    for dependent in task.dependents or ():
        refs = state.refs.get(dependent.tid)
        if refs is None:
            state.refs[dependent.tid] = [dep.tid for dep in dependent.deps]
    books: tuple[dict[int, Any], ...] = (
        state.names, state.refs, state.retried, state.unreached, state.deaths, state.cancelling,
    )  # fmt: skip
    for book in books:
        if before in book:
            book[tid] = book.pop(before)
    task.tid, task.wanted, task.also = tid, True, also or None


# ---------------------------------------------------------------- what others have made


def _want(state: ClusterState, told: _Told) -> None:
    """Tasks of others that the client wants: those who made them may be gone."""
    for message in told.messages:
        if not isinstance(message, tasks.Want):
            continue
        wants = tasks.Want([], [])
        for tid, target in zip(message.tids, message.targets, strict=True):
            status = told.known[tid][0] if tid in told.known else None
            if target not in state.tasks and status in _VALUES:
                _add_brought(state, target)
                state.tasks[target].wanted = False
            if target in state.tasks or status is None:
                wants.tids.append(tid)
                wants.targets.append(target)
        for _ in intake.on_want(state, told.client, wants):
            pass


def _take_tickets(state: ClusterState, told: _Told) -> None:
    """What the client holds of what the cluster keeps."""
    recollecting.take_tickets(state, told.client, told.messages)


# ---------------------------------------------------------------- how they ended


def _learn_values(state: ClusterState, told: _Told) -> None:
    """Small values that clients have."""
    for tid, (status, value, _) in told.known.items():
        task = state.tasks.get(tid)
        if status == words.INLINE and task is not None and task.state in st.PENDING:
            if task.queue is not None:
                task.queue.discard(task)
            if task.state == st.ASSIGNED:  # somebody else has its key, and did not know
                give_up(state, task)
            task.state = st.WAITING
            task.nbytes = len(value)
            finish(state, task, value, None)


def _learn_ends(state: ClusterState, told: _Told) -> None:
    """Bad ends that clients know.

    Later tasks first: one that has an earlier one as input may have come to an end of its own,
    and is not to share the other's.
    """
    for tid, (status, value, _) in sorted(told.known.items(), reverse=True):
        task = state.tasks.get(tid)
        if task is None or status not in _BAD_ENDS:
            continue
        if task.state in _ENDS and task.state != _BAD_ENDS[status]:
            intake.unwant(state, tid)  # it is that for others, and this client does not look for it
        elif task.state not in st.PENDING:
            continue
        elif status == words.FAILED:
            if task.state == st.ASSIGNED:
                give_up(state, task)
                task.state = st.WAITING
            end(state, task, st.FAILED, value)
        elif task.state == st.ASSIGNED or len(wants(task)) > 1:
            intake.unwant(state, tid)  # it was for this client only
        else:
            end(state, task, _BAD_ENDS[status], value)


def _miss(state: ClusterState, told: _Told) -> None:
    """Values that clients have brought, and no worker has any more."""
    for tid, (status, _, _) in told.known.items():
        task = state.tasks.get(tid)
        brought = task is not None and task.spec.function is None and task.state == st.WAITING
        if task is not None and brought and status in (words.HELD, words.SOUGHT):
            end(state, task, st.LOST, b"the worker that held it did not come back")


# ---------------------------------------------------------------- what they do not want


def _let_go(state: ClusterState, told: _Told) -> None:
    """What is kept and released."""
    client, messages = told.client, told.messages
    for message in messages:
        if isinstance(message, tasks.Keep):
            intake.on_keep(state, client, message)
    for message in messages:
        if isinstance(message, tasks.Release):
            for _ in intake.on_release(state, client, message):
                pass


def _bring(state: ClusterState, told: _Told) -> None:
    """The values that it was about to bring, and that no worker has."""
    for message in told.messages:
        if isinstance(message, tasks.Put):
            putting.on_put(state, told.client, message)


def _cancel(state: ClusterState, told: _Told) -> None:
    """What it has cancelled, and that has not come to an end."""
    for message in told.messages:
        if isinstance(message, tasks.Cancel):
            intake.on_cancel(state, told.client, message)


def _tell(state: ClusterState, told: _Told) -> None:
    """Tell the client what it does not know of its tasks."""
    client, known = told.client, told.known
    for tid, task in list(_wanted(state, client)):
        if tid not in known or known[tid][0] == words.SOUGHT:
            tell(state, task, tid)
        elif known[tid][0] in _VALUES and task.state != st.DONE:
            if task.state != st.LOST:
                client.out.again(tid)
            tell(state, task, tid)


def _wanted(state: ClusterState, client: Client) -> Iterator[tuple[int, Task]]:
    for tid, task in state.tasks.items():
        if client_of(tid) == client.number and (task.wanted or tid != task.tid):
            yield tid, task
