"""Everybody is told who is in the cluster: whoever outlives the scheduler remembers it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.messages.reunion import Members
from trio_dask.messages.session import Welcome

if TYPE_CHECKING:
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


def tell_one(state: ClusterState, out: Outbox, told: int) -> int:
    """Tell one what is new, ahead of all others, unless it was `told`; the version that it knows."""
    books = state.membership
    if (books.come or books.gone) and told < books.version:
        out.add(_news(state))
    return books.version


def _news(state: ClusterState) -> Members:
    books = state.membership
    return Members(
        state.cluster, state.epoch_known, books.version, whole=False,
        workers=[each for each in books.come if isinstance(each, str)],
        clients=[each for each in books.come if isinstance(each, int)],
        gone_workers=[each for each in books.gone if isinstance(each, str)],
        gone_clients=[each for each in books.gone if isinstance(each, int)],
        provisional=state.reunion.provisional,
    )  # fmt: skip


def tell_all(state: ClusterState) -> None:
    """Everybody hears of everybody, and of the new epoch."""
    books = state.membership
    books.version = max(books.version, state.reunion.version) + 1
    books.come, books.gone = {}, {}
    _tell_all(state, whole(state))


def _tell_all(state: ClusterState, message: Members) -> None:
    for peer in state.peers.values():
        if peer.out.lasting is not None:
            peer.out.add(message)
