"""Those who come back to a scheduler that does not know them.

A scheduler keeps no file. When it has died and another is started in its place, that one
adopts the cluster of the first who comes back, and waits until all are there whom these
remember, or the time for that is over. Until then it gives out nothing, makes nothing anew
and frees nothing; all it does is to collect what those who are back tell. Then the tables
are made from that, in one go (`restoring`), and what was said meanwhile is heard.

Who comes back later, or to a scheduler that has given it up, is taken in at once by the
same means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_dask.messages import reunion as words, tasks
from trio_dask.messages.fleet import Leave
from trio_dask.messages.ids import CLIENT_MAX, client_of, first_attempt
from trio_dask.messages.nested import Numbers
from trio_dask.messages.plugins import Plugins
from trio_dask.messages.session import Answer, Ask, Heartbeat, RegisterClient, RegisterWorker
from trio_dask.scheduler.core import mirroring, plugins, record_shapes
from trio_dask.scheduler.core.books import Report
from trio_dask.scheduler.core.misuse import Misuse
from trio_dask.scheduler.core.nests import check_numbers, keep_numbers
from trio_dask.scheduler.core.restoring import restore
from trio_dask.scheduler.core.state import Worker
from trio_dask.scheduler.core.windows import touch

if TYPE_CHECKING:
    from trio_dask.messages import Message
    from trio_dask.scheduler.core.state import Client, ClusterState

_OF_CLIENT: Final = (
    words.Members, tasks.Functions, tasks.Submit, words.Known, tasks.Release, tasks.Keep,
    tasks.Cancel, tasks.Want, words.Tickets,
)  # fmt: skip
_OF_WORKER: Final = (words.Members, words.Holdings, words.Attempts, Leave, words.Lingering)
#: The highest epoch that there can be.
EPOCH_MAX: Final = 1 << 22
#: So many numbers of clients are left out after a reunion: who comes later may have them.
_LEAP: Final = 1024
#: Why somebody is refused for good.
ANOTHER: Final = "this is another cluster now: the scheduler of yours is gone"


# ---------------------------------------------------------------- registering


def comes_back(state: ClusterState, message: RegisterClient | RegisterWorker, now: float) -> bool:
    """Somebody registers; whether it was in this cluster before.

    Raises:
        Misuse: it was in another.
    """
    reunion = state.reunion
    if reunion.began is None:
        reunion.began = now
    if not message.cluster:
        return False
    if not 0 < message.epoch < EPOCH_MAX:
        raise Misuse(f"{message.epoch} is no epoch")
    if message.cluster != state.cluster:
        _adopt(state, message, now)
    if reunion.recovering:
        reunion.epoch = max(reunion.epoch, message.epoch)
    elif message.epoch > state.epoch:
        raise Misuse(f"it knows a later epoch than {state.epoch}")
    return True


def _adopt(state: ClusterState, message: RegisterClient | RegisterWorker, now: float) -> None:
    """The first who comes back says which cluster this is, unless it has become another."""
    reunion = state.reunion
    began = reunion.began if reunion.began is not None else now
    reunion.clients_to = state.clients_ever
    fresh = reunion.epoch == 0 and now - began <= state.settings.reconnect_s
    if not fresh or (isinstance(message, RegisterClient) and _is_ours(state, message.number)):
        raise Misuse(ANOTHER)
    state.cluster = message.cluster
    reunion.recovering = True
    reunion.epoch = message.epoch
    reunion.until = now + state.settings.reconnect_s


def _is_ours(state: ClusterState, number: int) -> bool:
    """Whether this scheduler has given out that number to a newcomer."""
    return state.settings.clients_from < number <= state.reunion.clients_to


def expect(state: ClusterState, peer: int, who: Client | Worker) -> None:
    """It has registered, and will now tell what it has."""
    state.reunion.reports[peer] = Report(who)
    if isinstance(who, Worker):
        who.away = True  # until it has
        who.slots = who.usable_slots
        touch(state, who)


# ---------------------------------------------------------------- collecting


def hear(  # noqa: C901 - a case for each message
    state: ClusterState, peer: int, message: Message, now: float
) -> bool:
    """Something is said while not all is as usual; whether that is all for now."""
    reunion = state.reunion
    report = reunion.reports.get(peer)
    if report is None or report.whole:
        if reunion.recovering:
            reunion.backlog.append((peer, message, now))
        return reunion.recovering
    kind = type(message)
    if kind is words.Announced:
        report.messages.append(message)
        report.whole = True
        if not reunion.recovering:
            del reunion.reports[peer]
            _keep_numbers(state, report)
            restore(state, {peer: report})
    elif kind is Ask and message.topic == "flush":  # type: ignore[attr-defined]
        report.who.out.add(Answer(message.serial, ok=True, data={}))  # type: ignore[attr-defined]
    elif kind is words.Members:
        _remember(state, message)  # type: ignore[arg-type]
    elif kind is Numbers and isinstance(report.who, Worker):
        check_numbers(message)  # type: ignore[arg-type]
        report.messages.append(message)
    elif kind is Plugins and isinstance(report.who, Worker):
        plugins.check(message)  # type: ignore[arg-type]
        report.messages.append(message)
    elif kind is words.Mirror and isinstance(report.who, Worker):
        record_shapes.check(message)  # type: ignore[arg-type]
        report.messages.append(message)
    elif kind in (_OF_WORKER if isinstance(report.who, Worker) else _OF_CLIENT):
        report.messages.append(message)
    elif kind is not Heartbeat:
        raise Misuse(f"{kind.__name__} is nothing that one who is back tells first")
    return True


def _remember(state: ClusterState, message: words.Members) -> None:
    reunion = state.reunion
    if not reunion.recovering:
        return
    if any(_is_ours(state, number) for number in message.clients):
        raise Misuse("it has clients of another cluster")
    state.clients_ever = max(state.clients_ever, *message.clients, 0)
    if message.version > reunion.version:
        reunion.version = message.version
        reunion.workers = dict.fromkeys(message.workers)
        reunion.clients = dict.fromkeys(message.clients)


def left(state: ClusterState, peer: int) -> None:
    """It is gone before all was told or heard."""
    reunion = state.reunion
    reunion.reports.pop(peer, None)
    reunion.newcomers.pop(peer, None)
    reunion.disowned.pop(peer, None)
    reunion.doubts.pop(peer, None)
    if reunion.backlog:
        reunion.backlog = [each for each in reunion.backlog if each[0] != peer]


# ---------------------------------------------------------------- the end of it


def is_over(state: ClusterState, now: float) -> bool:
    """Whether all who are to be waited for are back, or there is no more time."""
    reunion = state.reunion
    if not reunion.recovering or not all(each.whole for each in reunion.reports.values()):
        return False
    if now >= reunion.until:
        return True
    return reunion.workers.keys() <= state.workers.keys() and (
        reunion.clients.keys() <= state.clients.keys()
    )


def end(state: ClusterState) -> list[tuple[int, Misuse]]:
    """Make the tables from all that was told; who told what cannot be is returned."""
    reunion = state.reunion
    reports, reunion.reports = reunion.reports, {}
    reunion.recovering = False
    reunion.workers, reunion.clients = {}, {}
    for report in reports.values():
        _keep_numbers(state, report)
        if isinstance(report.who, Worker):
            plugins.adopt(state, report.messages)
    numbers = [client_of(tid) for tid in _mentioned(reports)]
    state.clients_ever = min(max(state.clients_ever, *numbers, 0) + _LEAP, CLIENT_MAX)
    state.epoch = reunion.epoch = max(reunion.epoch, state.epoch) + 1
    state.attempt = first_attempt(state.epoch)
    # What is asked of workers is not mistaken for what the last one asked.
    state.inquiries_ever = state.renewals_ever = state.plugins.changes_ever = state.attempt
    state.mirrors.version = state.attempt
    bad = restore(state, reports, anew=True)
    for number in [each for each in state.mirrors.marks if each not in state.clients]:
        mirroring.client_gone(state, number)
    return bad


def _keep_numbers(state: ClusterState, report: Report) -> None:
    """What a worker has for the clients of its tasks to come it goes on having."""
    for message in report.messages:
        if isinstance(report.who, Worker) and isinstance(message, Numbers):
            keep_numbers(state, report.who, message)


def _mentioned(reports: dict[int, Report]) -> list[int]:
    return [
        tid
        for report in reports.values()
        for message in report.messages
        if isinstance(message, words.Holdings | words.Attempts)
        for tid in message.tids
    ]
