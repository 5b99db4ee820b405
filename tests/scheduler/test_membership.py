"""Whoever outlives the scheduler, and comes to the next one first, makes it wait for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given, strategies as st

from tests.scheduler.conftest import Driver
from trio_dask.messages import Memory, session
from trio_dask.messages.reunion import Members

if TYPE_CHECKING:
    from trio_dask.messages import Message

A, B, D = 11, 12, 13
C, OTHER = 1, 2


class Village(Driver):
    """Those who are there, and what each remembers of who is."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[int, str | int] = {}
        self.memories: dict[int, Memory] = {}

    def keeper(self, peer: int) -> None:
        """A worker that would come back to another scheduler."""
        self.memories[peer] = Memory()
        self.names[peer] = self.worker(peer, secret=f"the secret of peer {peer}")
        self.listen()

    def lasting_client(self, peer: int) -> None:
        """A client that would come back."""
        self.memories[peer] = Memory()
        register = session.RegisterClient(f"c{peer}", f"the secret of peer {peer}")
        self.core.client_joined(peer, register)
        self.settle()
        (welcome,) = [each for each in self.said[peer] if isinstance(each, session.Welcome)]
        self.names[peer] = welcome.number
        self.listen()

    def leaves(self, peer: int) -> None:
        """It is gone for good."""
        del self.names[peer], self.memories[peer]
        self.leave(peer)
        self.listen()

    def listen(self) -> dict[int, list[Message]]:
        """Everybody remembers what it is told; that is returned."""
        told = {peer: self.heard(peer) for peer in self.memories}
        for peer, messages in told.items():
            for each in messages:
                if isinstance(each, Members):
                    self.memories[peer].told(each)
        return told

    def told(self) -> list[int]:
        """Who was told something since the last time."""
        return [peer for peer, messages in self.listen().items() if messages]

    def waits_for(self, first: int) -> set[int]:
        """For whom a scheduler waits to which this one comes first, and those who come then."""
        back: set[int] = set()
        coming = {first}
        while coming - back:
            back |= coming
            latest = max((self.memories[each] for each in back), key=lambda each: each.version)
            known = {*latest.workers, *latest.clients}
            coming = {peer for peer, name in self.names.items() if name in known}
        return back

    def holds(self) -> None:
        """Whoever comes first, all are waited for."""
        for peer in self.names:
            assert self.waits_for(peer) >= set(self.names), f"{peer} comes first"


def test_who_came_first_leads_to_who_came_last() -> None:
    """With no time in between: the first worker has not been told of everybody in any other way."""
    village = Village()
    village.keeper(A)
    village.keeper(B)
    village.lasting_client(C)
    village.lasting_client(OTHER)
    village.holds()


def test_only_one_is_told_at_once() -> None:
    """A thousand who come in one second are not told of each other a thousand times."""
    village = Village()
    village.keeper(A)
    village.keeper(B)
    village.tick(1.0)
    village.listen()
    for peer in range(20, 60):
        village.keeper(peer)
    assert village.core.state.membership.witness == A
    village.lasting_client(C)
    village.tick(1.0)
    assert village.told() == list(village.memories)
    said: dict[int, int] = {}
    village.core.client_joined(OTHER, session.RegisterClient("other", "a secret of another"))
    for peer, messages in village.core.flush():
        said[peer] = sum(len(each.workers) + len(each.clients) for each in members(messages))
    assert said == {A: 1, OTHER: 42 + 2}


def members(messages: list[Any]) -> list[Members]:
    """What they say of who is there."""
    return [each for each in messages if isinstance(each, Members)]


def settled() -> Village:
    """Three workers that have been told of each other."""
    village = Village()
    for peer in (A, B, D):
        village.keeper(peer)
    village.tick(1.0)
    village.listen()
    return village


def test_the_witness_leaves() -> None:
    """Another takes its place, and is told what only that one knew."""
    village = settled()
    village.lasting_client(C)
    village.leaves(A)
    village.holds()
    assert village.core.state.membership.witness == B
    assert village.names[C] in village.memories[B].clients
    assert village.names.keys() == village.waits_for(D)


def test_the_witness_is_away() -> None:
    """What it is told may never reach it: another is told, and all that the first may not know."""
    village = settled()
    village.lasting_client(C)
    village.core.lost(A, "test", village.now)
    village.lasting_client(OTHER)
    assert village.core.state.membership.witness == B
    assert village.memories[B].clients.keys() == {village.names[C], village.names[OTHER]}


def test_clients_witness_where_no_worker_does() -> None:
    """The first client has been there for a while, and then workers come."""
    village = Village()
    village.lasting_client(C)
    village.tick(1.0)
    village.listen()
    village.keeper(A)
    village.keeper(B)
    assert village.core.state.membership.witness == C
    village.holds()


def test_who_would_not_come_back_is_no_witness() -> None:
    """A worker without a secret hears nothing of all that."""
    village = Village()
    village.worker(99)
    village.tick(1.0)
    village.keeper(A)
    village.keeper(B)
    village.holds()
    assert members(village.heard(99)) == []


_EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("keeper"), st.integers(11, 15)),
        st.tuples(st.just("client"), st.integers(1, 4)),
        st.tuples(st.just("leaves"), st.integers(0, 9)),
        st.tuples(st.just("tick"), st.just(0)),
    ),
    max_size=40,
)


@given(_EVENTS)
def test_whoever_comes_first_all_are_waited_for(events: list[tuple[str, int]]) -> None:
    """At any time, however they have come and gone."""
    village = Village()
    for what, which in events:
        if what == "tick":
            village.tick(1.0)
            village.listen()
        elif what == "leaves":
            if village.names:
                village.leaves(list(village.names)[which % len(village.names)])
        elif which not in village.names:
            (village.keeper if what == "keeper" else village.lasting_client)(which)
        village.holds()
