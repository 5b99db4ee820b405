"""Those who come back to a scheduler that does not know them.

A scheduler keeps no file. When it has died and another is started in its place, that one
adopts the cluster of the first who comes back, and waits until all are there whom these
remember, or the time for that is over. Until then it gives out nothing, makes nothing anew
and frees nothing; all it does is to collect what those who are back tell. Then the tables
are made from that, in one go (`restoring`), and what was said meanwhile is heard.

Newcomers may be faster than all who come back. They are told that their cluster is
provisional. If this scheduler dies, too, before it knows whose it is, they belong
to whichever cluster they come back to, and whoever comes first decides nothing for the others:
there may be a second reunion.

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
from trio_dask.scheduler.core import membership, mirroring, plugins, record_shapes
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
    tasks.Cancel, tasks.Want, tasks.Put, words.Tickets,
)  # fmt: skip
_OF_WORKER: Final = (words.Members, words.Holdings, words.Attempts, Leave, words.Lingering)
#: The highest epoch that there can be.
EPOCH_MAX: Final = 1 << 22
#: So many numbers of clients are left out after a reunion, as who comes later may have them: one
#: that the last scheduler has taken in when it was about to die, and that nobody has heard of. So
#: schedulers that follow one another leave out more and more, a few times.
_LEAP: Final = 1024
_LEAP_MORE: Final = 256
_LEAPS: Final = 8
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
    known = message.provisional and message.cluster in reunion.names
    if message.cluster != state.cluster and not known:
        _adopt(state, message, now)
    if reunion.recovering:
        reunion.epoch = max(reunion.epoch, message.epoch)
    elif message.epoch > state.epoch:
        if not message.provisional:
            raise Misuse(f"it knows a later epoch than {state.epoch}")
        _begin_epoch(state, message.epoch + 1)
    return True


def _adopt(state: ClusterState, message: RegisterClient | RegisterWorker, now: float) -> None:
    """The first who comes back says which cluster this is, unless it has become another.

    Who was in a provisional one only belongs to whichever cluster there is.
    """
    reunion = state.reunion
    young = reunion.provisional and not _is_old(state, now)
    if not (message.provisional or young):
        raise Misuse(ANOTHER)
    begins = young and not reunion.recovering
    clients_to = reunion.clients_to if reunion.own else state.clients_ever
    given = range(state.settings.clients_from + 1, clients_to + 1)
    if isinstance(message, RegisterClient) and message.number in given:
        raise Misuse(ANOTHER)  # a newcomer has that number here
    if begins:
        reunion.own, reunion.clients_to = reunion.own or state.cluster, clients_to
        reunion.recovering, reunion.until = True, now + state.settings.reconnect_s
    if message.provisional and (reunion.names or not begins):
        reunion.names[message.cluster] = None
    else:
        reunion.names[state.cluster] = None
        state.cluster, reunion.provisional = message.cluster, message.provisional


def settle(state: ClusterState, now: float) -> None:
    """After a while nobody can say any more that this is another cluster."""
    if state.reunion.provisional and _is_old(state, now):
        state.reunion.provisional = False
        membership.tell_news(state, epoch=True)


def _is_old(state: ClusterState, now: float) -> bool:
    reunion = state.reunion
    if reunion.recovering or reunion.began is None:
        return False
    return now - reunion.began > state.settings.reconnect_s


def expect(state: ClusterState, peer: int, who: Client | Worker, cluster: str) -> None:
    """It has registered, as one from this cluster, and will now tell what it has."""
    state.reunion.reports[peer] = Report(who, cluster)
    if isinstance(who, Worker):
        who.away = True  # until it has
        who.slots = who.usable_slots
        touch(state, who)


def wait(
    state: ClusterState, peer: int, message: RegisterClient | RegisterWorker, now: float
) -> None:
    """Somebody new waits until all are back."""
    looks_again(state, message.secret)
    state.reunion.newcomers[peer] = message, now


def looks_again(state: ClusterState, secret: str) -> None:
    """Somebody is there on a new connection: if he is new, he does not wait on another any more."""
    newcomers = state.reunion.newcomers
    for peer in [each for each, (message, _) in newcomers.items() if message.secret == secret]:
        if secret:
            left(state, peer)


# ---------------------------------------------------------------- collecting


def hear(  # noqa: C901 - a case for each message
    state: ClusterState, peer: int, message: Message, now: float
) -> bool:
    """Something is said while not all is as usual; whether that is all for now."""
    state.now = now
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
        _remember(state, report.cluster, message)  # type: ignore[arg-type]
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
        if kind is tasks.Submit and "deadline" in message.options:  # type: ignore[attr-defined]
            report.came[message.first] = now  # type: ignore[attr-defined]
    elif kind is not Heartbeat:
        raise Misuse(f"{kind.__name__} is nothing that one who is back tells first")
    return True


def _remember(state: ClusterState, cluster: str, message: words.Members) -> None:
    reunion = state.reunion
    if not reunion.recovering:
        return
    newcomers = range(state.settings.clients_from + 1, reunion.clients_to + 1)
    if cluster != reunion.own and any(each in newcomers for each in message.clients):
        raise Misuse("it has clients of another cluster")
    state.clients_ever = max(state.clients_ever, *message.clients, 0)
    reunion.version = max(reunion.version, message.version)
    before = reunion.memories.get(cluster)
    if before is None or message.version > before.version:
        reunion.memories[cluster] = message


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
    return all(
        state.workers.keys() >= set(memory.workers) and state.clients.keys() >= set(memory.clients)
        for memory in reunion.memories.values()
    )


def end(state: ClusterState) -> list[tuple[int, Misuse]]:
    """Make the tables from all that was told; who told what cannot be is returned."""
    reunion = state.reunion
    reports, reunion.reports = reunion.reports, {}
    reunion.recovering = False
    reunion.memories = {}
    had = set(state.plugins.there)
    for report in reports.values():
        _keep_numbers(state, report)
        if isinstance(report.who, Worker):
            plugins.adopt(state, report.messages)
    _begin_epoch(state, max(reunion.epoch, state.epoch) + 1)
    numbers = [client_of(tid) for tid in _mentioned(reports)]
    leap = _LEAP + _LEAP_MORE * (state.epoch % _LEAPS)
    state.clients_ever = min(max(state.clients_ever, *numbers, 0) + leap, CLIENT_MAX)
    bad = restore(state, reports, anew=True)
    early = [each for each in state.workers.values() if each.peer not in reports]
    plugins.catch_up(state, early, had)
    for number in [each for each in state.mirrors.marks if each not in state.clients]:
        mirroring.client_gone(state, number)
    return bad


def _begin_epoch(state: ClusterState, epoch: int) -> None:
    """What is said to workers from now on is not mistaken for what another has said."""
    state.epoch = epoch
    state.attempt = state.mirrors.version = first_attempt(epoch)
    state.inquiries_ever = state.renewals_ever = state.plugins.changes_ever = state.attempt


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
