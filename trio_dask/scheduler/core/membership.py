"""Everybody is told who is in the cluster: whoever outlives the scheduler remembers it.

All are told of all changes together, now and then. One, the witness, is told of each at once.
Whoever else is there knows of the witness, so a scheduler to come, whoever finds it first, waits
for one who knows everybody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.messages.reunion import Members
from trio_dask.messages.session import Welcome
from trio_dask.scheduler.core.state import Client, Worker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.scheduler.core.outbox import Outbox
    from trio_dask.scheduler.core.state import ClusterState


def welcome(state: ClusterState, number: int) -> Welcome:
    """What a newcomer, or one who is back, is told first."""
    return Welcome(number, state.cluster, state.epoch_known, state.reunion.provisional)


def come(state: ClusterState, name: str | int, out: Outbox) -> None:
    """Somebody has joined: a worker by its address, or a client by its number."""
    books = state.membership
    books.version += 1
    if isinstance(name, str):
        books.workers[name] = None
    else:
        books.clients[name] = None
    books.gone.pop(name, None)
    books.come[name] = None
    _tell_witness(state, name)
    # While others come back, what they all remember is worth more than who is here so far.
    if out.lasting is not None and not state.reunion.recovering:
        out.add(whole(state))


def gone(state: ClusterState, name: str | int) -> None:
    """Somebody has left."""
    books = state.membership
    books.version += 1
    if isinstance(name, str):
        books.workers.pop(name, None)
    else:
        books.clients.pop(name, None)
    books.come.pop(name, None)
    books.gone[name] = None
    _tell_witness(state, name)


def _tell_witness(state: ClusterState, name: str | int) -> None:
    """The witness hears of one who has come or gone; where there can be none, everybody does."""
    books = state.membership
    if state.reunion.recovering:
        return  # all will be told all
    witness = state.peers.get(books.witness)
    if witness is not None and books.witness not in state.sessions.away:
        witness.out.add(_news(state, [name]))
        return
    found = _who_may_witness(state)
    books.witness = 0 if found is None else found.peer
    if found is not None:
        found.out.add(_news(state))
    elif len(books.workers) + len(books.clients) > 1:
        tell_news(state)


def _who_may_witness(state: ClusterState) -> Client | Worker | None:
    """One of those whom everybody knows of: rather a worker, as these stay longer."""
    come, away = state.membership.come, state.sessions.away
    second: Client | None = None
    for peer, each in state.peers.items():
        if each.out.lasting is None or peer in away:
            continue
        if isinstance(each, Worker):
            if each.address not in come:
                return each
        elif second is None and each.number not in come:
            second = each
    return second


def whole(state: ClusterState) -> Members:
    """All of them."""
    books = state.membership
    return Members(
        state.cluster, state.epoch_known, books.version, whole=True, workers=list(books.workers),
        clients=list(books.clients), gone_workers=[], gone_clients=[],
        provisional=state.reunion.provisional,
    )  # fmt: skip


def tell_news(state: ClusterState, *, epoch: bool = False) -> None:
    """Who has come and gone since the last time, and perhaps which epoch it is."""
    books = state.membership
    if books.come or books.gone or epoch:
        news = _news(state)
        books.come, books.gone = {}, {}
        _tell_all(state, news)


def _news(state: ClusterState, names: Iterable[str | int] | None = None) -> Members:
    """Who of these, or of all since everybody was told, has come and gone."""
    books = state.membership
    come = books.come if names is None else [each for each in names if each in books.come]
    gone = books.gone if names is None else [each for each in names if each in books.gone]
    return Members(
        state.cluster, state.epoch_known, books.version, whole=False,
        workers=[each for each in come if isinstance(each, str)],
        clients=[each for each in come if isinstance(each, int)],
        gone_workers=[each for each in gone if isinstance(each, str)],
        gone_clients=[each for each in gone if isinstance(each, int)],
        provisional=state.reunion.provisional,
    )  # fmt: skip


def tell_all(state: ClusterState) -> None:
    """Everybody hears of everybody, and of the new epoch."""
    books = state.membership
    books.version = max(books.version, state.reunion.version) + 1
    books.come, books.gone = {}, {}
    _tell_all(state, whole(state))


def _tell_all(state: ClusterState, message: Members) -> None:
    state.membership.witness = 0  # there may be a better one now
    for peer in state.peers.values():
        if peer.out.lasting is not None:
            peer.out.add(message)
