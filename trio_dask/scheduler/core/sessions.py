"""Conversations that outlast their connections: who is away, who comes back, whose time is up.

A peer that registers with a secret may lose its connection and come back with the secret
on another. Until then its window, its values and its wants stay as they are; a worker
that is away is given nothing new. Who stays away for too long has left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_dask.messages import Lasting
from trio_dask.messages.session import Resumed
from trio_dask.scheduler.core import mirroring, reunion
from trio_dask.scheduler.core.misuse import Misuse
from trio_dask.scheduler.core.state import Worker
from trio_dask.scheduler.core.windows import touch

if TYPE_CHECKING:
    from trio_dask.messages import Message
    from trio_dask.messages.session import Heard, Resume
    from trio_dask.scheduler.core.books import Sessions
    from trio_dask.scheduler.core.outbox import Outbox
    from trio_dask.scheduler.core.state import Client, ClusterState

SECRET_MIN: Final = 16


def check_secret(sessions: Sessions, secret: str) -> None:
    """Whether somebody may register with it.

    Raises:
        Misuse: it is too short to be one, or taken.
    """
    if secret and (len(secret) < SECRET_MIN or secret in sessions.peers):
        raise Misuse("a secret that is none")


def begin(sessions: Sessions, peer: int, out: Outbox, secret: str) -> None:
    """The peer has registered."""
    if secret:
        out.lasting = Lasting()
        sessions.peers[secret] = peer
        sessions.secrets[peer] = secret


def hears(sessions: Sessions, peer: int, lasting: Lasting, message: Message) -> None:
    """The peer says this."""
    if lasting.hears(message):
        sessions.owing[peer] = lasting


def confirm(state: ClusterState) -> None:
    """Tell those who are owed it how much of what they have said was heard."""
    for peer, lasting in state.sessions.owing.items():
        state.peers[peer].out.add(lasting.confirmation())
    state.sessions.owing.clear()


def confirm_all(state: ClusterState) -> None:
    """Now and then everybody is told."""
    for peer in state.sessions.secrets:
        lasting = state.peers[peer].out.lasting
        if lasting is not None and lasting.owes and peer not in state.sessions.away:
            state.sessions.owing[peer] = lasting
    confirm(state)


def on_heard(state: ClusterState, found: Client | Worker | None, message: Heard) -> None:
    """The peer has heard so much."""
    if found is not None:
        if found.out.lasting is None:
            raise Misuse("it has nothing to confirm")
        _was_heard(state, found, found.out.lasting, message.count)


def _was_heard(state: ClusterState, found: Client | Worker, lasting: Lasting, count: int) -> None:
    try:
        heard = lasting.was_heard(count)
    except ValueError as error:
        raise Misuse(str(error)) from None
    if state.mirrors.marks and not isinstance(found, Worker):
        mirroring.heard(state, found, heard)


def lost(state: ClusterState, peer: int, now: float) -> bool:
    """The peer's connection broke; whether it may come back."""
    sessions, found = state.sessions, state.peers.get(peer)
    if found is None or peer not in sessions.secrets:
        return False
    if peer not in sessions.away:
        sessions.away[peer] = now
        sessions.again.pop(peer, None)
        if isinstance(found, Worker):
            found.away = True
            found.slots = found.usable_slots
            mirroring.unsettle(state)
            touch(state, found)
    return True


def resume(state: ClusterState, message: Resume, now: float) -> int | None:
    """Somebody is there on a new connection: the peer that it is, None if it is none of them.

    Raises:
        Misuse: it cannot be as it says.
    """
    sessions = state.sessions
    peer = sessions.peers.get(message.secret)
    if peer is None:
        reunion.looks_again(state, message.secret)
        return None
    found = state.peers[peer]
    lasting = found.out.lasting
    assert lasting is not None
    _was_heard(state, found, lasting, message.heard)
    sessions.again[peer] = [Resumed(lasting.heard), *lasting.unheard()]
    if sessions.away.pop(peer, None) is not None and isinstance(found, Worker):
        found.away = peer in state.reunion.reports
        found.slots = found.usable_slots
        found.last_seen = now
        mirroring.unsettle(state)
        touch(state, found)
    return peer


def overdue(state: ClusterState, now: float) -> list[int]:
    """Who has been away for too long."""
    limit = now - state.settings.reconnect_s
    return [peer for peer, since in state.sessions.away.items() if since <= limit]


def end(sessions: Sessions, peer: int) -> None:
    """The peer has left for good."""
    secret = sessions.secrets.pop(peer, None)
    if secret is not None:
        del sessions.peers[secret]
    for books in (sessions.away, sessions.owing, sessions.again):
        books.pop(peer, None)


def name_of(state: ClusterState, peer: int) -> str:
    """What people call the peer; empty if it has not registered."""
    found = state.peers.get(peer)
    if isinstance(found, Worker):
        place = "" if found.name == found.address else f" ({found.address})"
        return f"worker {found.name}{place}"
    return f"client {found.name}" if found is not None else ""


def awaited(state: ClusterState, peer: int) -> str | None:
    """The address of a peer that is away, empty for a client; None if nobody waits for it."""
    found = state.peers.get(peer)
    if found is None or peer not in state.sessions.away:
        return None
    return found.address if isinstance(found, Worker) else ""
