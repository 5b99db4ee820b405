"""Copies of values: made because somebody asks for them, evened out, and let go of when there are too many.

A client has values copied to more workers (`replicate`), or moved from those that hold much to
those that hold little (`rebalance`), and is answered when every copy has arrived or cannot be
had. What many are to have, because it is to be copied or was brought to all, goes from one to
the other (`Relay`). What is moved is let go of only where another has it. Copies that were made
because a task needed them elsewhere are let go of when no task needs them any more, but for as
many as somebody has asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from trio_dask.messages.fleet import Uncopied
from trio_dask.messages.session import Answer
from trio_dask.scheduler.core import state as st
from trio_dask.scheduler.core.hosts import meant
from trio_dask.scheduler.core.lifecycle import lose_copy
from trio_dask.scheduler.policies.relaying import Relay
from trio_dask.scheduler.policies.spreading import by_room, moves, to_be_dropped

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from trio_dask.messages.ids import TaskId
    from trio_dask.messages.session import Ask
    from trio_dask.scheduler.core.state import Client, ClusterState, Task, Worker

#: Rows of a question between two looks at other peers.
_SLICE: Final = 500
#: Copies that were not needed at so many looks in a row are let go of.
_LOOKS: Final = 4


@dataclass(slots=True, eq=False)
class Order:
    """What a client wants copied, and whom it still waits for."""

    client: Client
    serial: int
    #: To whom each value goes, and from where it is moved, if it is.
    left: dict[tuple[TaskId, Worker], Worker | None] = field(default_factory=dict)
    copies: int = 0
    nbytes: int = 0
    failed: int = 0
    begun: bool = False  # all of it has been ordered

    def answer_if_done(self, state: ClusterState) -> None:
        """Answer once nothing is under way."""
        if self.left or not self.begun:
            return
        state.orders.pop(self, None)
        if state.clients.get(self.client.number) is self.client:
            data = {"copies": self.copies, "nbytes": self.nbytes, "failed": self.failed}
            self.client.out.add(Answer(self.serial, ok=True, data=data))


# ---------------------------------------------------------------- what clients ask for


def on_replicate(
    state: ClusterState, client: Client, message: Ask
) -> Generator[None, None, None] | None:
    """Have values copied until `n` of the workers hold each; or say what is wrong with the question.

    Without `n` all of them do. What more of them hold is let go of.
    """
    found = _read(state, client, message)
    n = message.params.get("n")
    if n is not None and (type(n) is not int or n < 1):
        client.out.refuse(message, f"n must be a whole number of at least 1, not {n!r}")
        return None
    return None if found is None else _replicate(state, Order(client, message.serial), found, n)


def _replicate(
    state: ClusterState, order: Order, what: tuple[list[int], list[Worker]], n: int | None
) -> Generator[None, None, None]:
    state.orders[order] = None
    tids, workers = what
    for row, tid in enumerate(tids):
        task = state.tasks.get(tid)
        if task is not None and task.state == st.DONE and task.holders:
            staying = [each for each in workers if each.alive and each.draining is None]
            count = len(staying) if n is None else min(n, len(staying))
            state.copies_asked[task.tid] = count
            have = [each for each in staying if each in task.holders]
            others = [each for each in staying if each not in task.holders]
            takers = by_room(others, task)[: max(0, count - len(have))]
            order.left.update(dict.fromkeys((task.tid, to) for to in takers))
            spread(state, task, takers)
            order.failed += max(0, count - len(have) - len(others))
            surplus = to_be_dropped(have, task, count) if n is not None else []
            for worker in surplus:
                _drop(state, task, worker)
        if row % _SLICE == _SLICE - 1:
            yield
    order.begun = True
    order.answer_if_done(state)


def on_rebalance(
    state: ClusterState, client: Client, message: Ask
) -> Generator[None, None, None] | None:
    """Have values moved until the workers hold about as many bytes; or say what is wrong."""
    if message.params.get("tids") is None:
        held = {tid: None for worker in state.workers.values() for tid in worker.held}
        message.params["tids"] = list(held)
    found = _read(state, client, message)
    return None if found is None else _rebalance(state, Order(client, message.serial), *found)


def _rebalance(
    state: ClusterState, order: Order, tids: list[int], workers: list[Worker]
) -> Generator[None, None, None]:
    state.orders[order] = None
    known = dict.fromkeys(state.tasks[tid] for tid in tids if tid in state.tasks)
    for row, (task, source, to) in enumerate(moves(known, workers)):
        if source.alive and to.alive and task.holders and source in task.holders:
            _copy(order, task, to, source)
        if row % _SLICE == _SLICE - 1:
            yield
    order.begun = True
    order.answer_if_done(state)


def _read(
    state: ClusterState, client: Client, message: Ask
) -> tuple[list[int], list[Worker]] | None:
    """The values and workers that a question is about; None if it makes no sense."""
    tids, named = message.params.get("tids"), message.params.get("workers")
    if type(tids) is not list or not all(type(each) is int for each in tids):
        client.out.refuse(message, "tids must be a list of task ids")
        return None
    if named is None:
        return tids, list(state.workers.values())
    if type(named) is not list or not all(type(each) is str for each in named):
        client.out.refuse(message, f"workers must be a list of names or addresses, not {named!r}")
        return None
    found = [(name, meant(state, name)) for name in named]
    unknown = [name for name, workers in found if not workers]
    if unknown:
        client.out.refuse(message, f"there is no worker {', '.join(unknown)}")
        return None
    return tids, list(dict.fromkeys(worker for _, workers in found for worker in workers))


TOPICS: Final[
    dict[str, Callable[[ClusterState, Client, Ask], Generator[None, None, None] | None]]
] = {"replicate": on_replicate, "rebalance": on_rebalance}


def _copy(order: Order, task: Task, to: Worker, source: Worker | None = None) -> None:
    order.left[task.tid, to] = source
    to.incoming += task.nbytes
    to.out.copy(task)


def spread(state: ClusterState, task: Task, workers: Iterable[Worker]) -> None:
    """Have these workers hold a value, too; whoever has got it passes it on."""
    relay = state.relays.get(task.tid)
    if relay is None:
        relay = state.relays[task.tid] = Relay()
        relay.awaited = not task.holders
    for worker in workers:
        relay.add(worker)
    _go_on(state, task.tid, relay, *(task.holders or ()))


def stored(state: ClusterState, task: Task) -> None:
    """A client has brought the value to one worker; others may be to have it, too."""
    relay = state.relays.get(task.tid)
    if relay is not None:
        relay.awaited = False
        for worker in task.holders or ():
            relay.has(worker)
        _go_on(state, task.tid, relay, *(task.holders or ()))


def _go_on(state: ClusterState, tid: TaskId, relay: Relay, *sources: Worker | None) -> None:
    """Have a value passed on by these or, if nobody gets it from anybody, by all who have it."""
    task = state.tasks.get(tid)
    holders = task.holders or () if task is not None else ()
    for source in sources:
        _pass_on(task, relay, source)
    if not relay.underway and (task is None or not relay.awaited):
        for source in tuple(holders):
            _pass_on(task, relay, source, anywhere=True)
        if not relay.underway:  # nobody has it any more
            relay.awaited = False
            _nobody_gets(state, tid, relay)
    if relay.is_over:
        state.relays.pop(tid, None)


def _pass_on(
    task: Task | None, relay: Relay, source: Worker | None, *, anywhere: bool = False
) -> None:
    if task is None or source is None or source.held.get(task.tid) is not task:
        return
    while (to := relay.next_from(source, anywhere=anywhere)) is not None:
        to.incoming += task.nbytes
        to.out.copy(task, source)


def _nobody_gets(state: ClusterState, tid: TaskId, relay: Relay) -> None:
    """Those who are to have a value, but are not getting it, never will."""
    for worker in relay.waiting:
        relay.gone(worker)
        _not_copied(state, worker, [tid])


def _drop(state: ClusterState, task: Task, worker: Worker) -> None:
    """One copy less; there is another."""
    worker.out.free(task.tid)
    lose_copy(state, task, worker, "another has it")


# ---------------------------------------------------------------- copies arrive, or do not


def arrived(state: ClusterState, worker: Worker, tids: Iterable[TaskId]) -> None:
    """A worker holds copies of these."""
    for tid in tids if state.relays else ():
        relay = state.relays.get(tid)
        if relay is not None:
            _go_on(state, tid, relay, relay.has(worker), worker)
    for order in list(state.orders):
        for tid in tids:
            if (tid, worker) not in order.left:
                continue
            source = order.left.pop((tid, worker))
            task = state.tasks.get(tid)
            holders = task.holders if task is not None else None
            if task is None or not holders or worker not in holders:
                order.failed += 1
                continue
            order.copies += 1
            order.nbytes += task.nbytes
            # Where tasks need it, it is let go of when they do not.
            if source is not None and source in holders and not task.needed:
                _drop(state, task, source)
        order.answer_if_done(state)


def failed(state: ClusterState, worker: Worker, message: Uncopied) -> None:
    """A worker could not have these: some it is to try again, from others."""
    over = []
    for tid, why in zip(message.tids, message.failures, strict=True):
        relay = state.relays.get(tid)
        if relay is None:
            over.append(tid)
            continue
        source = relay.underway.get(worker)
        if why or worker.draining is not None or not relay.failed(worker):
            relay.gone(worker)
            over.append(tid)
        if why:  # nor can anybody else
            _nobody_gets(state, tid, relay)
        _go_on(state, tid, relay, source)
    _not_copied(state, worker, over)


def _not_copied(state: ClusterState, worker: Worker, tids: Iterable[TaskId]) -> None:
    for order in list(state.orders):
        for tid in tids:
            if (tid, worker) in order.left:
                del order.left[tid, worker]
                order.failed += 1
        order.answer_if_done(state)


def gone(state: ClusterState, worker: Worker) -> None:
    """A worker is lost, or all that it was told is forgotten."""
    for tid, relay in list(state.relays.items()):
        _go_on(state, tid, relay, relay.gone(worker))
    for order in list(state.orders):
        for key in [key for key in order.left if key[1] is worker]:
            del order.left[key]
            order.failed += 1
        order.answer_if_done(state)


def tell_again(state: ClusterState, worker: Worker) -> None:
    """A worker that is back may not have heard what it was to copy."""
    told = {tid: relay.underway.get(worker) for tid, relay in state.relays.items()}
    for order in state.orders:
        told |= {tid: source for (tid, to), source in order.left.items() if to is worker and source}
    for tid, source in told.items():
        task = state.tasks.get(tid)
        if task is not None and source is not None:
            worker.out.copy(task, source)
        elif source is not None:
            failed(state, worker, Uncopied([tid], [b""]))


# ---------------------------------------------------------------- too many copies


def made(state: ClusterState, task: Task) -> None:
    """There is one more copy: whether that is one too many is looked at later."""
    state.copied[task.tid] = 0


def reduce(state: ClusterState) -> None:
    """Let go of copies that no task has needed for a while."""
    for tid, looks in list(state.copied.items()):
        task = state.tasks.get(tid)
        if task is None or task.state != st.DONE or len(task.holders or ()) < 2:
            del state.copied[tid]
        elif task.needed:
            state.copied[tid] = 0
        elif looks < _LOOKS:
            state.copied[tid] = looks + 1
        else:
            del state.copied[tid]
            for worker in to_be_dropped(task.holders or [], task, state.copies_asked.get(tid, 1)):
                _drop(state, task, worker)
