"""A peer whose connection breaks may come back; until then its window and its wants stay."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scheduler.conftest import Driver
from trio_dask.messages import Message, session, tasks as words
from trio_dask.messages.ids import first_id
from trio_dask.messages.reunion import Members
from trio_dask.scheduler.core import Misuse

C, A, B = 1, 2, 3
SECRET = "a secret of somebody"


class Town(Driver):
    """With peers that have secrets."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(reconnect_s=10.0, **settings)

    def heard(self, peer: int, *, keep: bool = False) -> list[Message]:
        """What was said to the peer, but for who the members are."""
        return [each for each in super().heard(peer, keep=keep) if not isinstance(each, Members)]

    def lose(self, peer: int) -> None:
        """Its connection breaks."""
        self.core.lost(peer, "test", self.now)
        self.settle()
        self.said[peer].clear()  # it hears nothing of this

    def resume(self, secret: str, heard: int) -> int | None:
        """Somebody is on a new connection."""
        peer = self.core.resume(session.Resume(secret, heard), self.now)
        self.settle()
        return peer

    def lasting_client(self) -> int:
        """A client that may come back; its first id."""
        self.core.client_joined(C, session.RegisterClient("c", SECRET))
        self.settle()
        self.heard(C)
        first = first_id(1)
        self.tell(C, words.Functions([first], ["inc"], [b"INC"]))
        return first

    def lasting_worker(self, peer: int = A, name: str = "w", port: int = 1) -> None:
        """A worker that may come back."""
        message = session.RegisterWorker(
            name, f"tcp://host:{port}", 1, 0, {}, {}, f"{SECRET} {peer}"
        )
        self.core.worker_joined(peer, message, self.now)
        self.settle()
        self.said[peer].clear()


def test_a_worker_comes_back() -> None:
    """What it was sent and has not heard it is sent again; it keeps its window."""
    town = Town()
    first = town.client(C)
    town.lasting_worker()
    town.submit(first, [b"1", b"2", b"3"])
    window = dict(town.core.state.workers["tcp://host:1"].window)
    assert len(window) == 2
    town.lose(A)
    assert town.core.awaited(A) == "tcp://host:1"
    town.tick(9.0)
    assert town.core.state.workers["tcp://host:1"].window == window
    assert town.resume(f"{SECRET} {A}", 1) == A  # it has heard the welcome
    assert town.core.awaited(A) is None
    kinds = [type(message) for message in town.heard(A)]
    assert kinds == [session.Resumed, words.Functions, words.Run]


def test_nothing_new_for_a_worker_that_is_away() -> None:
    """It goes to others; what the one that is away has goes on being its own."""
    town = Town()
    first = town.client(C)
    town.lasting_worker()
    town.lose(A)
    tids = town.submit(first, [b"1"])
    assert not town.core.state.workers["tcp://host:1"].window
    town.worker(B)
    (run,) = [each for each in town.heard(B) if isinstance(each, words.Run)]
    assert run.tids == tids
    town.resume(f"{SECRET} {A}", 1)
    town.submit(first + 1, [b"2", b"3", b"4"])
    assert town.core.state.workers["tcp://host:1"].window


def test_a_worker_that_does_not_come_back() -> None:
    """Its tasks run elsewhere; its secret is worth nothing any more."""
    town = Town()
    first = town.client(C)
    town.lasting_worker()
    town.submit(first, [b"1"])
    town.lose(A)
    town.worker(B)
    town.heard(B)
    town.tick(10.5)
    assert [type(each) for each in town.heard(B)] == [words.Functions, words.Run]
    assert town.resume(f"{SECRET} {A}", 1) is None


def test_who_claims_the_place_of_one_that_is_away() -> None:
    """A process that was started again has its name or address: the old one has ended."""
    for name, port in (("w", 2), ("v", 1)):
        town = Town()
        first = town.client(C)
        town.lasting_worker(A)
        with pytest.raises(Misuse, match="there is already a worker"):
            town.lasting_worker(B, name, port)
        (tid,) = town.submit(first, [b"1"])
        town.lose(A)
        town.lasting_worker(B, name, port)
        assert town.core.awaited(A) is None
        assert [worker.peer for worker in town.core.state.workers.values()] == [B]
        assert town.core.state.tasks[tid].worker is town.core.state.peers[B]


def test_a_client_comes_back() -> None:
    """It is told what has become of its tasks meanwhile."""
    town = Town()
    town.worker(A)
    town.said[A].clear()
    first = town.lasting_client()
    tids = town.submit(first, [b"1"])
    (run,) = [each for each in town.heard(A) if isinstance(each, words.Run)]
    town.lose(C)
    assert town.core.awaited(C) == ""
    town.done(A, run)
    town.said[C].clear()
    town.tick(9.0)
    assert town.resume(SECRET, 1) == C
    resumed, finished = town.heard(C)
    assert resumed == session.Resumed(2)  # functions and a submission
    assert isinstance(finished, words.Finished)
    assert finished.tids == tids


def test_a_client_that_does_not_come_back() -> None:
    """Nobody wants its tasks any more."""
    town = Town()
    town.lasting_client()
    town.submit(first_id(1), [b"1"])
    town.lose(C)
    town.tick(10.5)
    assert not town.core.state.tasks
    assert town.resume(SECRET, 1) is None


def test_one_that_is_half_open_comes_back() -> None:
    """Its old connection is not known to be broken yet; the conversation goes on all the same."""
    town = Town()
    town.lasting_worker()
    assert town.resume(f"{SECRET} {A}", 1) == A
    assert town.heard(A) == [session.Resumed(0)]


def test_without_a_secret() -> None:
    """A connection that breaks is the end."""
    town = Town()
    town.worker(A)
    town.lose(A)
    assert town.core.awaited(A) is None
    assert not town.core.state.workers


def test_secrets_that_are_none() -> None:
    """Too short, or taken; and nobody says what cannot be."""
    town = Town()
    town.lasting_client()
    for secret in ("short", SECRET):
        with pytest.raises(Misuse, match="a secret that is none"):
            town.core.client_joined(7, session.RegisterClient("d", secret))
    with pytest.raises(Misuse, match="5 messages heard, of 2"):
        town.core.resume(session.Resume(SECRET, 5), 0.0)
    town.worker(A)
    with pytest.raises(Misuse, match="nothing to confirm"):
        town.tell(A, session.Heard(1))


def test_what_was_heard_is_confirmed() -> None:
    """At the tick, and after many messages; then nothing is kept for it."""
    town = Town()
    first = town.lasting_client()
    town.tick(0.5)
    assert town.heard(C) == [session.Heard(1)]
    town.tick(0.5)
    assert town.heard(C) == []
    for row in range(40):
        town.tell(C, words.Release([first + row]))
    assert town.heard(C) == [session.Heard(33)]
